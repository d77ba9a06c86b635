"""Moving an alias by clicking: what stands for and against it, then one click that moves it and nothing else.

Also approving a version, which a gate may ask of people first.
"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from penstock.base.errors import Conflict
from penstock.flows.chain.comparable import why_incomparable
from penstock.flows.models.aliases import AliasPolicy, PromotionPlan, apply_move, plan_promotion
from penstock.flows.models.evidence.approving import decide_approval
from penstock.flows.models.evidence.holds import list_holds
from penstock.flows.production.fitting import view_takeovers
from penstock.flows.production.traffic.straying import canaries_beside
from penstock.http.caller import caller_of
from penstock.http.pages.decisions.forms import MAX_REASON, actor_of, read_form, whole_number
from penstock.http.pages.queries import query_of
from penstock.http.pages.render import Renderer
from penstock.http.pages.telling.formatting import segment
from penstock.http.pages.telling.measures import beside_each_other
from penstock.http.subjects import named_version
from penstock.project.project import Project
from penstock.registry.entities import CHAMPION
from penstock.registry.versions import get_version
from penstock.serving.deployments import list_endpoints


class AliasPages:
    """Points an alias of a model at a version."""

    def __init__(self, project: Project, renderer: Renderer) -> None:
        self._project = project
        self._renderer = renderer

    async def promote(self, request: Request) -> Response:
        """GET shows what would change; POST does it, if the alias still is where the preview showed it."""
        if request.method != "POST":
            return await run_in_threadpool(self._preview, request)
        asked = await read_form(request, "alias", "previous", "reason")
        return await run_in_threadpool(self._apply, request, asked)

    async def approve(self, request: Request) -> Response:
        """POST approves a version in the name of who is signed in, or takes that back."""
        asked = await read_form(request, "comment", "withdraw")
        return await run_in_threadpool(self._approve, request, asked)

    def _approve(self, request: Request, asked: dict[str, str]) -> Response:
        found = named_version(self._project, request.path_params["name"], request.path_params["number"])
        model = found.version.model
        with self._project.database.read() as connection:
            caller_of(request.scope).require(connection, "model", model, "writer")
        decide_approval(
            self._project,
            found.version,
            actor_of(request),
            asked["comment"],
            withdraw=bool(asked["withdraw"]),
        )
        return RedirectResponse(f"{self._renderer.base}/models/{segment(model)}/{found.version.number}", 303)

    def _plan(self, request: Request, alias: str) -> PromotionPlan:
        found = named_version(self._project, request.path_params["name"], request.path_params["number"])
        with self._project.database.read() as connection:
            caller_of(request.scope).require(connection, "model", found.version.model, "writer")
        return plan_promotion(self._project, found.version.ref, alias)

    def _preview(self, request: Request) -> Response:
        plan = self._plan(request, query_of(request)["alias"] or CHAMPION)
        model = plan.version.model
        with self._project.database.read() as connection:
            before = None
            if plan.previous is not None and not plan.changes_nothing:
                before = get_version(connection, model, plan.previous, deleted=True)
            held = list_holds(connection, [plan.version]).get((model, plan.version.number))
            apart = why_incomparable(self._project, connection, [plan.version, before] if before else [])
            served = [one for one in list_endpoints(connection) if one.model == model]
            canaries = canaries_beside(connection, (model, plan.alias), plan.version.number)
        theirs = before.metrics if before else {}
        return self._renderer.page(
            "promote.html",
            plan=plan,
            before=before,
            apart=apart,
            metrics=beside_each_other(plan.version.metrics, theirs, sorted({*plan.version.metrics, *theirs})),
            served=served,
            canaries=canaries,
            refusals=[one for one in view_takeovers(self._project, plan.version) if one.refusal],
            held=held,
            reason=query_of(request)["reason"],
            is_protected=AliasPolicy.of(self._project).protects(model, plan.alias),
        )

    def _apply(self, request: Request, asked: dict[str, str]) -> Response:
        plan = self._plan(request, asked["alias"] or CHAMPION)
        seen = whole_number(asked["previous"], "a version") if asked["previous"] else None
        if plan.previous != seen:
            raise Conflict(
                f"{plan.version.model}@{plan.alias} moved since the preview was shown: nothing was changed",
                code="registry.alias_moved",
                hint="open the preview again",
            )
        why = asked["reason"][:MAX_REASON]
        if not plan.changes_nothing:
            with self._project.database.write() as connection:
                apply_move(connection, plan, actor_of(request), {"reason": why} if why else None)
        place = f"/models/{segment(plan.version.model)}/{plan.version.number}"
        return RedirectResponse(f"{self._renderer.base}{place}", 303)
