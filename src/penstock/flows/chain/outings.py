"""What became of model versions in production: which serve now, which did, and what labels said of each there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec
import sqlalchemy as sa

from penstock.monitoring.quality.live import find_live_quality
from penstock.registry.entities import ModelVersion
from penstock.registry.states import VersionState
from penstock.serving.deployments import Revision, list_endpoints, list_revisions_of_versions

Standing = Literal["live", "canary", "rolled back", "was live", "never out"]
LABELLED = (60, 5_000)
"""So many windows with labels, and so many labels, are enough to tell a version's live quality."""


MOST_ENDPOINTS = 5
"""Of so many endpoints the live quality of a version is told: those that serve it now, then the newest."""


class LiveOn(msgspec.Struct, frozen=True, kw_only=True):
    """What labels said of a version on the traffic of one endpoint, by metric."""

    endpoint: str
    label_count: int
    metrics: dict[str, float]


class Outing(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one version. `endpoints` serve it now, or did, newest first.

    `live` is its quality on labelled live traffic, of each endpoint that has labels of it.
    """

    standing: Standing = "never out"
    endpoints: tuple[str, ...] = ()
    since_ms: int | None = None
    percent: float | None = None
    live: tuple[LiveOn, ...] = ()

    @property
    def still(self) -> str:
        """That it answers, and where, in the words for one that may not go out; empty where it does not."""
        if self.standing not in {"live", "canary"}:
            return ""
        share = f"{self.percent:g} % of " if self.percent is not None and len(self.endpoints) == 1 else ""
        return f"It answers {share}{', '.join(self.endpoints)} all the same."

    def live_values(self, metric: str) -> list[tuple[LiveOn, float]]:
        """Return a metric's live values, each with where labels told it."""
        return [(one, one.metrics[metric]) for one in self.live if metric in one.metrics]


def view_outings(
    connection: sa.Connection,
    versions: Iterable[ModelVersion],
    rolled_back: Mapping[tuple[str, int], VersionState],
) -> dict[tuple[str, int], Outing]:
    """Return what became of versions, by model and number."""
    current = list_endpoints(connection)
    found: dict[tuple[str, int], Outing] = {}
    served = list_revisions_of_versions(connection, [(one.model, one.number) for one in versions])
    for key, revisions in served.items():
        if not revisions:
            found[key] = Outing(standing="rolled back" if key in rolled_back else "never out")
            continue
        stable = [one for one in current if (one.model, one.stable) == key]
        canary = [
            one for one in current if one.model == key[0] and one.canary and one.canary.version == key[1]
        ]
        now = stable or canary
        standing: Standing = (
            "live"
            if stable
            else "canary"
            if canary
            else "rolled back"
            if key in rolled_back
            else "was live"
            if any(one.stable == key[1] for one in revisions)
            else "never out"
        )
        newest = max(revisions, key=lambda one: one.created_ms)
        ever = list(
            dict.fromkeys(
                one.endpoint for one in sorted(revisions, key=lambda one: one.created_ms, reverse=True)
            )
        )
        names = [one.endpoint for one in now] or ever
        share = canary[0].canary.percent if canary and canary[0].canary else None
        found[key] = Outing(
            standing=standing,
            endpoints=tuple(names),
            since_ms=_since_ms(now[0].endpoint, key, revisions) if now else newest.created_ms,
            percent=100.0 if stable else share,
            live=_live(connection, list(dict.fromkeys([*names, *ever]))[:MOST_ENDPOINTS], key[1]),
        )
    return found


def _live(connection: sa.Connection, endpoints: Sequence[str], version: int) -> tuple[LiveOn, ...]:
    """Return what labels said of a version, of each of these endpoints that has labels of it."""
    told = [(name, find_live_quality(connection, name, version, LABELLED)) for name in endpoints]
    return tuple(
        LiveOn(endpoint=name, label_count=one.label_count, metrics=one.metrics)
        for name, one in told
        if one.label_count
    )


def _since_ms(endpoint: str, key: tuple[str, int], revisions: Sequence[Revision]) -> int:
    """Return when an endpoint began to serve a version on the route it is on now, without a break since."""
    mine = [one for one in revisions if one.endpoint == endpoint]
    newest = max(mine, key=lambda one: one.number)
    is_stable = newest.stable == key[1]
    since = newest
    for one in sorted(mine, key=lambda one: one.number, reverse=True)[1:]:
        if one.number != since.number - 1 or (one.stable == key[1]) != is_stable:
            break
        since = one
    return since.created_ms
