"""Pages: plain HTML, rendered on the server."""

from __future__ import annotations

from starlette.routing import Route

from penstock.flows.project import Project
from penstock.flows.supervise import ControllerLoop


def page_routes(project: Project, controller: ControllerLoop) -> list[Route]:
    """Return the routes of all pages."""
    return []
