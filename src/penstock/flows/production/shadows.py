"""What the shadows of an endpoint say beside what its clients get."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from penstock.base.numbers import counted
from penstock.monitoring.profile import NumberColumn, Profile
from penstock.monitoring.timings import RouteCount, count_revision
from penstock.monitoring.windows import list_windows
from penstock.serving.call import DIFFERENCE
from penstock.serving.deployments import Revision

COMPARED = 200
"""Of so many of the newest windows the differences are told; reading sketches is what it costs."""


class ShadowView(msgspec.Struct, frozen=True, kw_only=True):
    """One shadow. `answered_count` are the requests that clients were answered beside it. `mean_differences` has an entry for each output: for classes and texts the share of rows that differ; they are over `row_count` rows, the newest where `is_cut`."""

    version: int
    request_count: int
    error_count: int
    row_count: int
    answered_count: int
    mean_differences: dict[str, float]
    is_cut: bool = False

    @property
    def sentence(self) -> str:
        """Say it in words."""
        if not self.request_count:
            if self.answered_count:
                return (
                    f"nothing is told of it yet, beside {counted(self.answered_count, 'request')} that clients were answered: "
                    "it hangs, lags behind, or is not loaded; what servers say is told with them"
                )
            return "no traffic yet"
        failed = f", {self.error_count} failed" if self.error_count else ""
        parts = [f"{name} differs by {value:.4g} on average" for name, value in self.mean_differences.items()]
        over = f" over the newest {counted(self.row_count, 'row')}" if parts and self.is_cut else ""
        return (
            f"{counted(self.request_count, 'request')}{failed}{''.join('; ' + part for part in parts)}{over}"
        )


def list_shadows(connection: sa.Connection, revision: Revision) -> list[ShadowView]:
    """Return every shadow of a revision with what its windows say, in their order."""
    if not revision.shadows:
        return []
    counts = count_revision(connection, revision.endpoint, revision.number)
    answered = sum(
        one.request_count - one.error_count
        for (route, _), one in counts.items()
        if route in ("stable", "canary")
    )
    newest = list_windows(
        connection, revision.endpoint, revisions=[revision.number], route="shadow", limit=COMPARED
    )
    found = []
    for version in revision.shadows:
        count = counts.get(("shadow", version), RouteCount(0, 0, 0))
        own = [one for one in newest if one.key.version == version]
        outputs = Profile()
        for one in own:
            outputs = outputs.merge(one.outputs)
        found.append(
            ShadowView(
                version=version,
                request_count=count.request_count,
                error_count=count.error_count,
                row_count=outputs.row_count,
                answered_count=answered,
                mean_differences={
                    name.removesuffix(DIFFERENCE): column.mean
                    for name in outputs.column_names
                    if name.endswith(DIFFERENCE) and isinstance(column := outputs.column(name), NumberColumn)
                },
                is_cut=count.window_count > len(own),
            )
        )
    return found
