"""The graph of a pipeline as a picture: SVG that stands alone, in light and dark. Pure."""

from __future__ import annotations

from html import escape

from penstock.base.numbers import counted
from penstock.flows.pipelines.dag import Dag

CHARACTER, HEIGHT, PAD, GAP_X, GAP_Y, MARGIN = 7.3, 32, 12, 56, 16, 12
MOST_CHARACTERS = 40
STYLE = (
    "rect{fill:#fff;stroke:#57606a}text{font:12px ui-monospace,monospace;fill:#1f2328}path{fill:none;stroke:#57606a}"
    "marker path{fill:#57606a}@media(prefers-color-scheme:dark){rect{fill:#161b22;stroke:#8b949e}text{fill:#e6edf3}"
    "path{stroke:#8b949e}marker path{fill:#8b949e}}"
)


def render_svg(dag: Dag) -> str:
    """Return the graph as SVG: each node stands to the right of what it needs, in the order given."""
    columns = _columns(dag)
    left, boxes = float(MARGIN), dict[str, tuple[float, float, float]]()
    for nodes in columns:
        width = max(min(len(node), MOST_CHARACTERS) for node in nodes) * CHARACTER + 2 * PAD
        for row, node in enumerate(nodes):
            boxes[node] = (left, MARGIN + row * (HEIGHT + GAP_Y), width)
        left += width + GAP_X
    full_width = max(left - GAP_X + MARGIN, 2 * MARGIN) if columns else 2 * MARGIN
    rows = max(map(len, columns), default=0)
    full_height = 2 * MARGIN + max(rows * (HEIGHT + GAP_Y) - GAP_Y, 0)
    steps = counted(len(dag.nodes), "step")
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {full_width:g} {full_height:g}" width="{full_width:g}" '
        f'height="{full_height:g}" role="img" aria-label="{steps}">',
        f"<style>{STYLE}</style>",
        '<defs><marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z"/></marker></defs>',
    ]
    for need, user in dag.edges:
        (x, y, width), (to_x, to_y, _) = boxes[need], boxes[user]
        start, middle_y, end_y = x + width, y + HEIGHT / 2, to_y + HEIGHT / 2
        bend = (start + to_x) / 2
        lines.append(
            f'<path d="M{start:g},{middle_y:g} C{bend:g},{middle_y:g} {bend:g},{end_y:g} {to_x:g},{end_y:g}" '
            'marker-end="url(#end)"/>'
        )
    for node, (x, y, width) in boxes.items():
        shown = node if len(node) <= MOST_CHARACTERS else f"{node[: MOST_CHARACTERS - 1]}…"
        lines.append(
            f'<g><title>{escape(node)}</title><rect x="{x:g}" y="{y:g}" width="{width:g}" height="{HEIGHT}" rx="4"/>'
            f'<text x="{x + PAD:g}" y="{y + HEIGHT / 2 + 4:g}">{escape(shown)}</text></g>'
        )
    return "\n".join([*lines, "</svg>"])


def _columns(dag: Dag) -> list[list[str]]:
    """Return the nodes by how many steps come before them; the graph has no circle."""
    needs: dict[str, list[str]] = {node: [] for node in dag.nodes}
    users: dict[str, list[str]] = {node: [] for node in dag.nodes}
    for need, user in dag.edges:
        needs[user].append(need)
        users[need].append(user)
    left = {node: len(found) for node, found in needs.items()}
    depth = dict.fromkeys(dag.nodes, 0)
    ready = [node for node, count in left.items() if count == 0]
    for node in ready:
        for user in users[node]:
            depth[user] = max(depth[user], depth[node] + 1)
            left[user] -= 1
            if left[user] == 0:
                ready.append(user)
    columns: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for node in dag.nodes:
        columns[depth[node]].append(node)
    return columns
