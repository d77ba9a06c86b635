"""What the shadows of an endpoint say beside what its clients get."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from penstock.base.numbers import counted
from penstock.monitoring.profile import NumberColumn, Profile
from penstock.monitoring.windows import list_windows
from penstock.serving.call import DIFFERENCE
from penstock.serving.deployments import Revision


class ShadowView(msgspec.Struct, frozen=True, kw_only=True):
    """One shadow. `answered_count` are the requests that clients were answered beside it. `mean_differences` has an entry for each output: for classes and texts the share of rows that differ."""

    version: int
    request_count: int
    error_count: int
    row_count: int
    answered_count: int
    mean_differences: dict[str, float]

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
        return f"{counted(self.request_count, 'request')}{failed}{''.join('; ' + part for part in parts)}"


def list_shadows(connection: sa.Connection, revision: Revision) -> list[ShadowView]:
    """Return every shadow of a revision with what its windows say, in their order."""
    if not revision.shadows:
        return []
    of = [revision.number]
    windows = list_windows(connection, revision.endpoint, revisions=of, route="shadow")
    beside = [
        one
        for route in ("stable", "canary")
        for one in list_windows(connection, revision.endpoint, revisions=of, route=route, with_features=False)
    ]
    answered = sum(one.request_count - one.error_count for one in beside)
    found = []
    for version in revision.shadows:
        own = [one for one in windows if one.key.version == version]
        outputs = Profile()
        for one in own:
            outputs = outputs.merge(one.outputs)
        found.append(
            ShadowView(
                version=version,
                request_count=sum(one.request_count for one in own),
                error_count=sum(one.error_count for one in own),
                row_count=outputs.row_count,
                answered_count=answered,
                mean_differences={
                    name.removesuffix(DIFFERENCE): column.mean
                    for name in outputs.column_names
                    if name.endswith(DIFFERENCE) and isinstance(column := outputs.column(name), NumberColumn)
                },
            )
        )
    return found
