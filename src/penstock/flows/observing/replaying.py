"""A store as it was at a moment, in memory: windows, revisions and versions that were there by then.

So that a look at the past is the controller's own look, and not another idea of it. The recorded labels are
known with their predictions: when each arrived is not recorded.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from penstock.base.store.database import metadata
from penstock.monitoring.windows import windows
from penstock.registry.tables import verdicts, version_states, versions
from penstock.serving.deployments import endpoints, revisions

Row = dict[str, Any]
LABELS_S = 7 * 86_400
"""How long before its beginning a replay knows windows: those whose labels a policy may judge."""


class Replay:
    """One endpoint's past, told moment by moment, forwards only.

    Args:
        connection: the store it is read from.
        since_ms: where it begins.
        with_labels: whether anything judges what labels said; reading it is half of the cost of a look.
    """

    def __init__(
        self, connection: sa.Connection, endpoint: str, since_ms: int, *, with_labels: bool = True
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
        self._later[windows] = deque(
            (1000 * (row["start_s"] + row["window_s"]), {**row, **hidden}) for row in rows
        )
        self.moments = sorted({at for at, _ in self._later[windows] if at > since_ms})
        """When windows ended since the beginning, in milliseconds."""

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
