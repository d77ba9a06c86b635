"""Search from every page: one thing that is called so opens, several are listed."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from penstock.flows.chain.finding import Hit, find_anything
from penstock.http.pages.queries import query_of
from penstock.http.pages.render import Renderer
from penstock.http.pages.telling.formatting import path, segment
from penstock.http.pages.telling.timeline import event_address
from penstock.project.project import Project


class SearchPages:
    """Finds things by what the product calls them."""

    def __init__(self, project: Project, renderer: Renderer) -> None:
        self._project = project
        self._renderer = renderer

    def search(self, request: Request) -> Response:
        """What a text names; the only one, or the only one that is called exactly so, opens."""
        text = query_of(request)["q"]
        hits = find_anything(self._project, text) if text.isprintable() else []
        exact = [one for one in hits if one.is_exact]
        only = exact if len(exact) == 1 else hits
        if len(only) == 1:
            return RedirectResponse(f"{self._renderer.base}{address_of(only[0])}", 303)
        return self._renderer.page(
            "search.html", text=text, hits=[(one, address_of(one)) for one in hits], is_asked=bool(text)
        )

    def why(self, request: Request) -> Response:
        """Lead to the chain of what was asked for."""
        subject = query_of(request)["subject"]
        if not subject:
            return self._renderer.page("search.html", text="", hits=[], is_asked=False)
        return RedirectResponse(f"{self._renderer.base}/why/{quote(subject, safe='/@')}", 303)


def address_of(hit: Hit) -> str:
    """Return the page of a hit."""
    if hit.kind == "alias":
        model, _, name = hit.key.rpartition("@")
        return f"/models/{segment(model)}/{segment(name)}"
    if hit.kind in {"model version", "verdict"}:
        model, _, number = hit.key.rpartition("/")
        return f"/models/{segment(model)}/{number}{'#verdict' if hit.kind == 'verdict' else ''}"
    if hit.kind == "event":
        return event_address(hit.key)
    if hit.kind == "stage":
        return f"/pipeline#stage-{segment(hit.key)}"
    if hit.kind == "tracked":
        return f"/data/{path(hit.key)}"
    places = {
        "endpoint": "/endpoints/",
        "model": "/models/",
        "run": "/runs/",
        "experiment": "/experiments/",
        "logged model": "/logged-models/",
    }
    place = places.get(hit.kind)
    return f"{place}{segment(hit.key)}" if place else f"/why/{path(hit.key)}"
