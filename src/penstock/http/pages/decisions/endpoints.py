"""Rolling back and promoting a canary by clicking: a preview of what changes, then one click that does just that."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from penstock.base.errors import Conflict
from penstock.flows.production.revising import DeploymentPlan, apply_deployment, preview_changes
from penstock.flows.production.traffic.promoting import plan_promotion_of_canary
from penstock.flows.production.traffic.rolling_back import plan_rollback
from penstock.http.caller import caller_of
from penstock.http.pages.decisions.forms import MAX_REASON, actor_of, read_form, whole_number
from penstock.http.pages.queries import query_of
from penstock.http.pages.render import Renderer
from penstock.http.pages.telling.formatting import segment
from penstock.project.project import Project
from penstock.serving.deployments import get_revision


class DecisionPages:
    """Takes a canary out, makes an endpoint serve what it served before, or gives a canary all traffic."""

    def __init__(self, project: Project, renderer: Renderer) -> None:
        self._project = project
        self._renderer = renderer

    async def rollback(self, request: Request) -> Response:
        """GET shows what would change; POST does it, if the endpoint is still as the preview showed it."""
        return await self._answer(request, "rollback")

    async def promote(self, request: Request) -> Response:
        """The same for giving the canary all traffic."""
        return await self._answer(request, "promote")

    async def _answer(self, request: Request, verb: str) -> Response:
        if request.method != "POST":
            return await run_in_threadpool(self._preview, request, verb)
        asked = await read_form(request, "revision", "to", "reason")
        return await run_in_threadpool(self._apply, request, verb, asked)

    def _plan(self, request: Request, verb: str, to: str, reason: str = "") -> DeploymentPlan:
        name, actor, why = request.path_params["name"], actor_of(request), reason[:MAX_REASON] or None
        if verb == "promote":
            return plan_promotion_of_canary(self._project, name, reason=why, actor=actor)
        number = whole_number(to, "a revision") if to else None
        return plan_rollback(self._project, name, to=number, reason=why, actor=actor)

    def _preview(self, request: Request, verb: str) -> Response:
        self._require_admin(request)
        query = query_of(request)
        to = query["to"] if verb == "rollback" else ""
        plan = self._plan(request, verb, to)
        self._require_admin_of(request, plan.draft.model)
        with self._project.database.read() as connection:
            changes = preview_changes(connection, plan)
        return self._renderer.page(
            "decision.html", verb=verb, plan=plan, changes=changes, to=to, reason=query["reason"]
        )

    def _apply(self, request: Request, verb: str, asked: dict[str, str]) -> Response:
        self._require_admin(request)
        seen = whole_number(asked["revision"], "a revision")
        self._require(request.path_params["name"], seen)
        plan = self._plan(request, verb, asked["to"], asked["reason"])
        if plan.before is not None and plan.before.number != seen:
            self._require(plan.endpoint, seen)
        self._require_admin_of(request, plan.draft.model)
        apply_deployment(self._project, plan)
        return RedirectResponse(f"{self._renderer.base}/endpoints/{segment(plan.endpoint)}", 303)

    def _require_admin(self, request: Request) -> None:
        with self._project.database.read() as connection:
            model = get_revision(connection, request.path_params["name"]).model
        self._require_admin_of(request, model)

    def _require_admin_of(self, request: Request, model: str) -> None:
        """Make sure that who asks may decide about a model: of the one that answers now, and of the one that would then."""
        with self._project.database.read() as connection:
            caller_of(request.scope).require(connection, "model", model, "admin")

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
