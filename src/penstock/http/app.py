"""The server's application: health, the product's own API, and pages."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

import penstock
from penstock.access.admission import Admission
from penstock.access.credentials import Authenticator
from penstock.access.sessions import Sessions
from penstock.base.web.deliveries import Deliveries
from penstock.flows.production.controlling.health import Watched
from penstock.http.api import api_routes
from penstock.http.auth import Authenticate, ReadsEverything
from penstock.http.errors import json_response
from penstock.http.hosts import HostCheck, Protect
from penstock.http.mlflow.routes import build_services, mlflow_routes
from penstock.http.mlflow.traces import absent_routes
from penstock.http.pages import build_turn_away, page_exception_handlers, page_routes, sign_in_routes
from penstock.http.prefix import Unprefix
from penstock.http.prometheus.judgement import NO_OUTBOX, NONE_END, JudgementMetrics
from penstock.http.prometheus.traffic import CONTENT_TYPE
from penstock.project.project import Project
from penstock.serving.deployments import find_revision


def build_server_app(
    project: Project,
    controller: Watched,
    allowed_hosts: tuple[str, ...] = (),
    *,
    asks_for_credentials: bool = False,
    prefix: str = "",
    ends: Mapping[str, float] = NONE_END,
    outboxes: Mapping[str, Deliveries] = NO_OUTBOX,
) -> Starlette:
    """Return the ASGI application of one server process.

    Args:
        allowed_hosts: the names it may be called by beside the loopback and the address it listens on.
        asks_for_credentials: whether every request but `/health` and `/version` must come from a known user.
        prefix: what a proxy puts before every path (`/penstock`); paths are answered with it and without.
        ends: when its certificates end, by the option that names their file.
        outboxes: what becomes of what it posts to webhooks, by what that is.
    """

    async def health(_request: Request) -> Response:
        seen = controller.health
        status = "ok" if seen.problem is None else "failing"
        if asks_for_credentials:
            return json_response({"status": status})
        return json_response(
            {
                "status": status,
                "controller": {
                    "ticked_ms": seen.ticked_ms,
                    "endpoints": seen.endpoint_count,
                    "problem": seen.problem,
                    "problems": dict(seen.problems),
                },
            }
        )

    async def version(_request: Request) -> Response:
        return Response(penstock.__version__, media_type="text/plain")

    judged = JudgementMetrics(controller, penstock.__version__, ends, outboxes)

    async def metrics(_request: Request) -> Response:
        return Response(judged.render(), headers={"content-type": CONTENT_TYPE})

    services = build_services(project)
    reads_everything = [Middleware(ReadsEverything, database=project.database)]
    routes = [
        Route("/health", health, methods=["GET"]),
        Route("/version", version, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"], middleware=reads_everything),
        *mlflow_routes(services),
        *api_routes(project, _admission(project) if asks_for_credentials else None),
        *absent_routes(),
        Mount(
            "",
            routes=page_routes(project, controller, services.artifacts, prefix),
            middleware=reads_everything,
        ),
    ]
    authenticator, sessions = Authenticator(project.database), Sessions(project.database)
    if asks_for_credentials:
        name = project.readable_settings.project
        routes[:0] = sign_in_routes(name, authenticator, sessions, prefix)
    middleware = [Middleware(Unprefix, prefix=prefix)] if prefix else []
    middleware += [Middleware(Protect), Middleware(HostCheck, allowed=allowed_hosts)]
    if asks_for_credentials:
        middleware.append(
            Middleware(
                Authenticate,
                authenticator=authenticator,
                sessions=sessions,
                turn_away=build_turn_away(project.readable_settings.project, prefix),
            )
        )
    return Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers=page_exception_handlers(project.readable_settings.project, prefix),
    )


def _admission(project: Project) -> Admission:
    def model_of(endpoint: str) -> str | None:
        with project.database.read() as connection:
            revision = find_revision(connection, endpoint)
        return None if revision is None else revision.model

    return Admission(project.database, model_of)
