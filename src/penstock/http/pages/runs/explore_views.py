"""Charts to explore runs by: what is drawn of which runs, the same as pictures, and the library that draws it.

The library is Vega-Lite's, out of the installed package of the extra `plots`; only this module's addresses need it.
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import Response

from penstock.base.errors import NotFound
from penstock.http.pages.drawing.exploring import MOST_AXES, Dimension, Spec, dimensions_of, parallel, scatter
from penstock.http.pages.queries import query_of, refusal
from penstock.http.pages.runs.tables import is_loss
from penstock.pipeline.plots.drawing import draw_svg, find_build, script
from penstock.project.project import Project
from penstock.tracking import runs as tracking
from penstock.tracking.entities import Run

FEW = 3
"""Fewer runs than that show nothing that a table does not."""
EXPLORED = 100
"""So many runs are drawn."""
A_YEAR = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Explored:
    """What a page draws of runs: two specifications by their name, what may stand on the axes, where pictures are.

    `library` names the library's build, None where it is not installed.
    """

    drawings: Mapping[str, Spec]
    x: str
    y: str
    offered: tuple[str, ...]
    pictures: str
    library: str | None


def explore(runs: Sequence[Run], query: Mapping[str, str], judged: Sequence[str] = ()) -> Explored | None:
    """Return what is drawn of runs, by the axes `x` and `y` of an address; None where too little differs.

    Args:
        judged: the metrics that gates judge; the first is what is drawn upwards where the address says nothing.

    Raises:
        Invalid: an axis is nothing that can be drawn.
    """
    dimensions = {one.name: one for one in dimensions_of(runs)}
    if len(runs) < FEW or len(dimensions) < 2:
        return None
    for axis in ("x", "y"):
        if query[axis] and query[axis] not in dimensions:
            raise refusal(axis, f"is nothing that these runs differ in: {query[axis][:100]!r}")
    y = dimensions.get(query["y"]) or _first_y(list(dimensions.values()), judged)
    others = [one for one in dimensions.values() if one.name != y.name]
    x = dimensions.get(query["x"]) or next((one for one in others if one.is_number), others[0])
    axes = (
        [x, *(one for one in others if one.name != x.name)][: MOST_AXES - 1] if x.name != y.name else others
    )
    return Explored(
        {"scatter": scatter(runs, x, y), "parallel": parallel(runs, [*axes[: MOST_AXES - 1], y], y)},
        x.name,
        y.name,
        tuple(dimensions),
        urlencode({"runs": ",".join(one.id for one in runs), "x": x.name, "y": y.name}),
        find_build(),
    )


def _first_y(dimensions: Sequence[Dimension], judged: Sequence[str]) -> Dimension:
    """Return what runs are judged by: by gates, a metric whose name tells which way is better, any, the last."""
    metrics = [one for one in dimensions if one.name.startswith("metrics.")]
    gated = [one for name in judged for one in metrics if one.name == f"metrics.{name}"]
    known = [one for one in metrics if is_loss(one.title) is not None]
    return (gated or known or metrics or dimensions[-1:])[0]


def named_runs(connection: sa.Connection, texts: Sequence[str]) -> tuple[list[Run], int]:
    """Return the runs that an address names, each once, and how many more it names than are looked at.

    Raises:
        NotFound: one of them is not there.
    """
    named = list(dict.fromkeys(one.strip()[:300] for text in texts for one in text.split(",") if one.strip()))
    wanted = named[:EXPLORED]
    whole = [row.id for row in tracking.list_rows(connection, [one for one in wanted if len(one) == 32])]
    known = {one.id: one for one in tracking.load_runs(connection, whole)}
    found = [known[one] if one in known else tracking.get_run(connection, one) for one in wanted]
    return list({one.id: one for one in found}.values()), len(named) - len(wanted)


class ExplorePages:
    """Answers with the library, and with the drawings as pictures."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._library: tuple[bytes, bytes] | None = None
        self._lock = threading.Lock()

    def library(self, request: Request) -> Response:
        """The library's JavaScript; its address names its build, so that browsers load it once."""
        if request.path_params["build"] != find_build():
            raise NotFound(
                "no such version is installed", code="pages.no_library", hint="open the page again"
            )
        with self._lock:  # it takes seconds the first time; who comes meanwhile waits for the same
            if self._library is None:
                whole = script(self._project.home / "cache").encode()
                self._library = (whole, gzip.compress(whole, 6))
        is_packed = "gzip" in request.headers.get("accept-encoding", "")
        headers = {"Cache-Control": A_YEAR, "Vary": "Accept-Encoding"}
        if is_packed:
            headers["Content-Encoding"] = "gzip"
        return Response(self._library[is_packed], 200, headers, "text/javascript")

    def picture(self, request: Request) -> Response:
        """A drawing as a picture, for browsers that run no script."""
        query = query_of(request)
        with self._project.database.read() as connection:
            runs, _ = named_runs(connection, query.every("runs"))
        found = explore(runs, query)
        name = request.path_params["name"]
        if found is None or name not in found.drawings:
            raise NotFound(
                "nothing is drawn of these runs", code="pages.no_drawing", hint="compare at least three"
            )
        return Response(draw_svg(found.drawings[name]), 200, {"Cache-Control": "no-store"}, "image/svg+xml")
