"""The pages of the chain: what is behind a subject and what came of it, in a sentence, as a graph, as a list."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from penstock.flows.chain.graph import Node, build_graph
from penstock.flows.chain.links import Link
from penstock.http.pages.drawing.chains import draw_chain
from penstock.http.pages.render import Renderer
from penstock.http.pages.telling.chains import sentence_of
from penstock.http.pages.telling.formatting import path
from penstock.http.pages.telling.timeline import event_address
from penstock.http.subjects import explain_subject
from penstock.project.project import Project

MOST = 12
"""So many versions are told of; `penstock why` tells of all."""


class ChainPages:
    """Shows the chain of a subject."""

    def __init__(self, project: Project, renderer: Renderer) -> None:
        self._project = project
        self._renderer = renderer

    def lineage(self, request: Request) -> Response:
        """The chain of a subject: whatever `penstock why` explains."""
        chain = explain_subject(self._project, request.path_params["subject"], MOST)
        graph = build_graph(self._project, chain)
        return self._renderer.page(
            "lineage.html",
            chain=chain,
            is_cut=len({one.key for one in chain.links if one.kind == "model version"}) >= MOST,
            is_bad=any(
                one.kind == "rollback" and f"model version:{one.path}" in graph.nodes
                for one in graph.nodes.values()
            ),
            answer=sentence_of(chain, graph),
            drawing=draw_chain(graph, node_address),
            links=linked(chain.links),
        )


def linked(links: tuple[Link, ...]) -> list[tuple[Link, str | None]]:
    """Return links with the address of the page of each."""
    return [(link, link_address(link)) for link in links]


def link_address(link: Link) -> str | None:
    """Return the page of a link's own, or None."""
    if link.kind in {"model version", "taken out", "rollback"}:
        return f"/models/{path(link.key)}"
    if link.kind == "deployment":
        return f"/endpoints/{quote(link.key.rpartition('#')[0], safe='')}"
    if link.kind == "run":
        return f"/runs/{path(link.key)}"
    if link.kind == "event":
        return event_address(link.key)
    if link.kind == "commit":
        return f"/why/{path(link.key)}"
    if link.kind == "dependency" and not link.details.get("is_tracked"):
        return None
    if link.kind in {"data", "dependency", "change", "path"} and isinstance(link.details.get("path"), str):
        return f"/why/{path(link.details['path'])}"
    if link.kind == "ci run":
        return f"/ci/{path(link.key)}"
    return None


def node_address(node: Node) -> str | None:
    """Return where a node of the graph leads; a run that is not kept here leads nowhere, nor does a file of git."""
    if node.kind in {"model version", "rollback", "verdict"}:
        return f"/models/{path(node.path or node.key)}{'#verdict' if node.kind == 'verdict' else ''}"
    if node.kind == "deployment":
        return f"/why/{path(node.key)}"
    if node.kind == "file":
        return None
    if node.kind == "run":
        return None if node.note == "not kept here" else f"/runs/{path(node.key)}"
    if node.kind in {"data", "output", "prediction"}:
        return f"/why/{path(node.path or node.key)}"
    return f"/why/{path(node.key)}"
