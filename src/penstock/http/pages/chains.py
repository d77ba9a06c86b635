"""The pages of the chain: what is behind a subject, each link with the page of its own."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from penstock.flows.chain.lineage import Explanation, Link
from penstock.http.pages.render import Renderer
from penstock.http.pages.telling.formatting import path
from penstock.http.subjects import explain_subject
from penstock.project.project import Project


class ChainPages:
    """Shows the chain of a subject."""

    def __init__(self, project: Project, renderer: Renderer) -> None:
        self._project = project
        self._renderer = renderer

    def lineage(self, request: Request) -> Response:
        """The chain of a subject."""
        chain = explain_subject(self._project, request.path_params["subject"])
        return self._renderer.page(
            "lineage.html", chain=chain, answer=_answer(chain), links=linked(chain.links)
        )


def linked(links: tuple[Link, ...]) -> list[tuple[Link, str | None]]:
    """Return links with the address of the page of each."""
    return [(link, link_address(link)) for link in links]


def link_address(link: Link) -> str | None:
    """Return the page of a link's own, or None."""
    if link.kind in {"model version", "rollback"}:
        return f"/models/{path(link.key)}"
    if link.kind == "deployment":
        return f"/endpoints/{quote(link.key.rpartition('#')[0], safe='')}"
    if link.kind == "run":
        return f"/runs/{path(link.key)}"
    if link.kind == "commit":
        return f"/lineage/{path(link.key)}"
    if link.kind == "data" and isinstance(link.details.get("path"), str):
        return f"/lineage/{path(link.details['path'])}"
    return None


def _answer(chain: Explanation) -> str:
    """Return in one sentence what went wrong with a subject, empty where nothing did."""
    rolled_back = [one for one in chain.links if one.kind == "rollback"]
    return f"{rolled_back[0].key} was {rolled_back[0].text}" if rolled_back else ""
