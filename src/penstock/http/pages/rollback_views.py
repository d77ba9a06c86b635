"""Rolling back by clicking: a preview that names what changes, then one click that does just that."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from penstock.base.errors import Conflict, Invalid
from penstock.flows.production.revising import DeploymentPlan, apply_deployment, preview_changes
from penstock.flows.production.rolling_back import plan_rollback
from penstock.http.bodies import read_body
from penstock.http.caller import ANYBODY, caller_of
from penstock.http.pages.render import Renderer
from penstock.http.pages.telling.formatting import segment
from penstock.project.project import Project
from penstock.serving.deployments import get_revision

MAX_BODY = 10_000


class RollbackPages:
    """Takes a canary out, or makes an endpoint serve what it served before."""

    def __init__(self, project: Project, renderer: Renderer) -> None:
        self._project = project
        self._renderer = renderer

    async def rollback(self, request: Request) -> Response:
        """GET shows what would change; POST does it, if the endpoint is still as the preview showed it."""
        if request.method != "POST":
            return await run_in_threadpool(self._preview, request)
        form = parse_qs((await read_body(request, MAX_BODY)).decode("utf-8", "replace"))
        asked = {name: form.get(name, [""])[0].strip() for name in ("revision", "to", "reason")}
        return await run_in_threadpool(self._apply, request, asked)

    def _plan(self, request: Request, to: str, reason: str = "") -> DeploymentPlan:
        actor = caller_of(request.scope).actor
        plan = plan_rollback(
            self._project,
            request.path_params["name"],
            to=_number(to) if to else None,
            reason=reason[:500] or None,
            actor=actor if actor != ANYBODY.actor else "page",
        )
        model = plan.before.model if plan.before else plan.draft.model
        with self._project.database.read() as connection:
            caller_of(request.scope).require(connection, "model", model, "admin")
        return plan

    def _preview(self, request: Request) -> Response:
        to = request.query_params.get("to", "")
        plan = self._plan(request, to)
        with self._project.database.read() as connection:
            changes = preview_changes(connection, plan)
        return self._renderer.page("rollback.html", plan=plan, changes=changes, to=to)

    def _apply(self, request: Request, asked: dict[str, str]) -> Response:
        seen = _number(asked["revision"])
        self._require(request.path_params["name"], seen)
        plan = self._plan(request, asked["to"], asked["reason"])
        if plan.before is not None and plan.before.number != seen:
            self._require(plan.endpoint, seen)
        apply_deployment(self._project, plan)
        return RedirectResponse(f"{self._renderer.base}/endpoints/{segment(plan.endpoint)}", 303)

    def _require(self, endpoint: str, seen: int) -> None:
        """Make sure that an endpoint is still at the revision that the preview showed."""
        with self._project.database.read() as connection:
            now = get_revision(connection, endpoint).number
        if now != seen:
            raise Conflict(
                f"{endpoint} is at revision {now} now, and the preview showed revision {seen}: nothing was changed",
                code="serving.revision_moved",
                hint="open the preview again",
            )


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Invalid(f"a revision is a whole number, not {text[:40]!r}", code="http.bad_parameter")
    return int(text)
