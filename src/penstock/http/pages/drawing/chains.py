"""The graph of a chain as coordinates: a column a kind, boxes that lead on, curves between them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from penstock.base.numbers import counted
from penstock.flows.chain.graph import ChainGraph, Node

COLUMNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("made from", ("commit", "data", "file")),
    ("run", ("run",)),
    ("output", ("output",)),
    ("model version", ("model version",)),
    ("verdict", ("verdict",)),
    ("deployment", ("deployment",)),
    ("what became of it", ("rollback", "prediction")),
)
BOX_WIDTH, BOX_HEIGHT = 176, 44
COLUMN_GAP, ROW_GAP, TOP, SIDE = 44, 12, 28, 4


@dataclass(frozen=True)
class Box:
    """A node where it is drawn; `address` is its page."""

    node: Node
    x: int
    y: int
    address: str | None
    is_subject: bool


@dataclass(frozen=True)
class ChainDrawing:
    """Boxes, curves between them (an SVG path and whether it leads to what went wrong), and names of columns."""

    boxes: tuple[Box, ...]
    curves: tuple[tuple[str, bool], ...]
    heads: tuple[tuple[int, str], ...]
    width: int
    height: int
    left_out: int
    summary: str


def draw_chain(graph: ChainGraph, address_of: Callable[[Node], str | None]) -> ChainDrawing | None:
    """Return the drawing of a graph; None where there is nothing to connect."""
    columns = [(name, [one for one in graph.nodes.values() if one.kind in kinds]) for name, kinds in COLUMNS]
    columns = [(name, nodes) for name, nodes in columns if nodes]
    if not graph.edges:
        return None
    height = max(len(nodes) for _, nodes in columns) * (BOX_HEIGHT + ROW_GAP)
    boxes: dict[str, Box] = {}
    heads = []
    for place, (name, nodes) in enumerate(columns):
        x = SIDE + place * (BOX_WIDTH + COLUMN_GAP)
        heads.append((x, name))
        begin = TOP + (height - len(nodes) * (BOX_HEIGHT + ROW_GAP)) // 2
        for row, node in enumerate(_near_their_origin(graph, nodes, boxes)):
            is_subject = graph.subject in {node.key, node.path, node.label}
            boxes[node.id] = Box(node, x, begin + row * (BOX_HEIGHT + ROW_GAP), address_of(node), is_subject)
    curves = [
        (_curve(boxes[one], boxes[other]), boxes[other].node.kind == "rollback")
        for one, other in graph.edges
        if one in boxes and other in boxes
    ]
    return ChainDrawing(
        tuple(boxes.values()),
        tuple(curves),
        tuple(heads),
        2 * SIDE + len(columns) * (BOX_WIDTH + COLUMN_GAP) - COLUMN_GAP,
        TOP + height,
        graph.left_out,
        f"The chain of {graph.subject}: {counted(len(boxes), 'thing')} from {columns[0][0]} to {columns[-1][0]}",
    )


def _near_their_origin(graph: ChainGraph, nodes: list[Node], placed: dict[str, Box]) -> list[Node]:
    """Return nodes in the order of what they came from, so that few curves cross."""

    def height_of(node: Node) -> float:
        before = [placed[one].y for one, other in graph.edges if other == node.id and one in placed]
        return sum(before) / len(before) if before else 0.0

    return sorted(nodes, key=height_of)


def _curve(one: Box, other: Box) -> str:
    begin, end = one.x + BOX_WIDTH, other.x
    y, to = one.y + BOX_HEIGHT // 2, other.y + BOX_HEIGHT // 2
    middle = (begin + end) // 2
    return f"M{begin},{y} C{middle},{y} {middle},{to} {end},{to}"
