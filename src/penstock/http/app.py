"""The server's application: health, the product's own API, and pages."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import penstock
from penstock.flows.project import Project
from penstock.flows.supervise import ControllerLoop
from penstock.http.api import api_routes
from penstock.http.errors import EXCEPTION_HANDLERS, json_response
from penstock.http.pages import page_routes


def build_server_app(project: Project, controller: ControllerLoop) -> Starlette:
    """Return the ASGI application of one server process."""

    async def health(_request: Request) -> Response:
        seen = controller.health
        return json_response(
            {
                "status": "ok",
                "controller": {
                    "ticked_ms": seen.ticked_ms,
                    "endpoints": seen.endpoint_count,
                    "problem": seen.problem,
                },
            }
        )

    async def version(_request: Request) -> Response:
        return Response(penstock.__version__, media_type="text/plain")

    routes = [
        Route("/health", health, methods=["GET"]),
        Route("/version", version, methods=["GET"]),
        *api_routes(project),
        *page_routes(project, controller),
    ]
    return Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS)
