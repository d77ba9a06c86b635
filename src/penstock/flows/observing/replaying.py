"""A store as it was at a moment, in memory: windows, revisions and versions that were there by then.

A revision that ended within a window is known with that window just before it ended, so that what was done about it can be
found. So that a look at the past is the controller's own look, and not another idea of it. The recorded labels are
known with their predictions: when each arrived is not recorded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from penstock.base.clock import now_ms
from penstock.base.store.database import metadata
from penstock.monitoring.policies import policies
from penstock.monitoring.timings import CALLERS
from penstock.monitoring.windows import windows
from penstock.registry.tables import verdicts, version_states, versions
from penstock.serving.deployments import endpoints, revisions

Row = dict[str, Any]
LAST_MS = 2**62
"""What has not ended."""
JUST_OVER_MS = 1_000
"""A silence is looked at so long after it has become too long: looks are told in seconds."""
LABELS_S = 7 * 86_400
"""How long before its beginning a replay knows windows: those whose labels a policy may judge."""


def _heard(told: Iterable[tuple[int, Row]], ruled: Collection[int]) -> list[tuple[int, int]]:
    """Return when windows with traffic of callers began and ended, in milliseconds."""
    return [
        (1000 * row["start_s"], 1000 * (row["start_s"] + row["window_s"]))
        for _, row in told
        if row["request_count"]
        and (row["route"] in CALLERS or (row["route"] == "direct" and row["version"] in ruled))
    ]


def _silences(
    heard: Sequence[tuple[int, int]], began: Iterable[int], silences_s: Collection[float]
) -> set[int]:
    """Return the moments at which nothing was heard for longer than each silence that may be, in milliseconds.

    Args:
        heard: when windows with traffic began and ended.
        began: when revisions did, which are not silent for what was before them.
    """
    found: set[int] = set()
    if not silences_s or not heard:
        return found
    end_ms: int | None = None
    for start, end in [*sorted([*heard, *((at, at) for at in began)]), (now_ms(), 0)]:
        if end_ms is not None:
            late = (end_ms + int(1000 * most) + JUST_OVER_MS for most in silences_s)
            found |= {at for at in late if at < start}
        end_ms = end if end_ms is None else max(end, end_ms)
    return found


class Span(NamedTuple):
    """A revision as it is stored, and from when until when it was current."""

    number: int
    began_ms: int
    ended_ms: int
    row: Row


class Replay:
    """One endpoint's past, told moment by moment, forwards only.

    Args:
        connection: the store it is read from.
        since_ms: where it begins.
        with_labels: whether anything judges what labels said; reading it is half of the cost of a look.
        silences_s: how long a silence may be, as guardrails say: what is longer is a moment too.
        ruled: versions that rules sent callers to in that time.
    """

    def __init__(
        self,
        connection: sa.Connection,
        endpoint: str,
        since_ms: int,
        *,
        with_labels: bool = True,
        silences_s: Collection[float] = (),
        ruled: Collection[int] = (),
    ) -> None:
        engine = sa.create_engine("sqlite://", poolclass=StaticPool)
        metadata.create_all(engine)
        self.connection = engine.connect()
        self._engine = engine
        known = {"revisions": revisions.c.created_ms, "version_states": version_states.c.time_ms}
        own = connection.execute(sa.select(endpoints).where(endpoints.c.name == endpoint)).mappings().one()
        self._copy(endpoints, [dict(own)])
        for table in (versions, verdicts):
            self._copy(table, [dict(row) for row in connection.execute(sa.select(table)).mappings()])
        held = sa.select(policies).where(policies.c.endpoint == endpoint)
        self._copy(policies, [dict(row) for row in connection.execute(held).mappings()])
        self._later: dict[sa.Table, deque[tuple[int, Row]]] = {}
        for table in (revisions, version_states):
            moment = known[table.name]
            query = sa.select(table).order_by(moment)
            if table is revisions:
                query = query.where(revisions.c.endpoint_id == own["id"])
            rows = connection.execute(query).mappings()
            self._later[table] = deque((int(row[moment.name]), dict(row)) for row in rows)
        query = sa.select(windows).where(
            windows.c.endpoint == endpoint, windows.c.start_s >= since_ms // 1000 - LABELS_S
        )
        rows = connection.execute(query.order_by(windows.c.start_s + windows.c.window_s)).mappings()
        hidden: Row = {} if with_labels else {"quality": None, "label_count": 0}
        began = [(int(row["number"]), at) for at, row in self._later[revisions]]
        ended = {number: at - 1 for (number, _), (_, at) in pairwise(began)}
        known_at = (
            (min(1000 * (row["start_s"] + row["window_s"]), ended.get(row["revision"], LAST_MS)), row)
            for row in rows
        )
        told = [(at, {**row, **hidden}) for at, row in known_at]
        self._later[windows] = deque(sorted(told, key=lambda one: one[0]))
        self.ends = frozenset(ended.values()) & {at for at, _ in told if at > since_ms}
        """When revisions that answered something ended since the beginning, in milliseconds."""
        silent = _silences(_heard(told, ruled), [at for _, at in began], silences_s)
        self.silences = frozenset(at for at in silent if at > since_ms)
        """When a silence had become too long since the beginning, in milliseconds."""
        self.moments = sorted({*(at for at, _ in told if at > since_ms), *self.silences})
        """When windows, or revisions within them, ended since the beginning, or were silent too long, in milliseconds."""
        self.revisions = [
            Span(number, at, ended.get(number, LAST_MS), row) for (number, at), (_, row) in
            zip(began, self._later[revisions], strict=True) if ended.get(number, LAST_MS) > since_ms
        ]  # fmt: skip
        """The revisions since the beginning."""

    def advance(self, time_ms: int) -> int | None:
        """Let everything be known that was by a moment; return the revision that was current, None before the first."""
        for table, waiting in self._later.items():
            rows = []
            while waiting and waiting[0][0] <= time_ms:
                rows.append(waiting.popleft()[1])
            self._copy(table, rows)
        number = self.connection.scalar(sa.select(sa.func.max(revisions.c.number)))
        if number is not None:
            self.connection.execute(endpoints.update().values(current_revision=number))
        return None if number is None else int(number)

    def close(self) -> None:
        """Forget it."""
        self.connection.close()
        self._engine.dispose()

    def _copy(self, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        if rows:
            self.connection.execute(table.insert(), rows)
