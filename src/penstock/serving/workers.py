"""The serve processes and what each of them really serves.

A worker registers at its start, beats while it lives and reports every revision it took over or could not
load. Who waits for a deployment reads this, not the endpoint's row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec
import sqlalchemy as sa

from penstock.base.errors import Unavailable
from penstock.base.store.database import metadata
from penstock.serving.deployments import endpoints, revisions

serving_workers = sa.Table(
    "serving_workers",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("host", sa.String(256), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("url", sa.String(512), nullable=False),
    sa.Column("started_ms", sa.BigInteger, nullable=False),
    sa.Column("seen_ms", sa.BigInteger, nullable=False),
    sqlite_autoincrement=True,  # an id is in prediction ids and window keys: never given twice
)
worker_revisions = sa.Table(
    "worker_revisions",
    metadata,
    sa.Column("worker_id", sa.Integer, sa.ForeignKey("serving_workers.id"), primary_key=True),
    sa.Column("endpoint", sa.String(256), primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("time_ms", sa.BigInteger, nullable=False),
)
ALIVE_MS = 5_000
"""So long after its last sign of life a process counts as one that runs."""
NO_URL = ""
"""Of a process that answers nobody: it writes what services of the user's own tell of their calls."""
BATCH = "batch"
"""What such a process says beside a revision that it told of as a batch job."""
State = Literal["ready", "failed", "fatal", "hindered", "waiting"]
"""`waiting`: it loads still. `hindered`: it cannot be loaded here, and nothing shows that what came last in it is at
fault. `failed`: what came last in it fails by itself, which was tried twice. `fatal`: it ends processes, and others do
not. All are tried again. Of the last three, what else is in the revision may be served."""
OWN_STATES = frozenset({"failed", "fatal"})
"""What a process says where what came last is at fault."""
NOT_LOADED_STATES = OWN_STATES | {"hindered"}
"""What a process says that tried and could not."""
PENDING = "pending"
"""Of a worker that has said nothing yet."""
_WORST_FIRST = ("fatal", "failed", "hindered", "waiting", PENDING, "ready")


class WorkerRevision(msgspec.Struct, frozen=True, kw_only=True):
    """That a worker serves a revision, or why it cannot; of one that is ready, why its shadows fail."""

    endpoint: str
    revision: int
    state: State
    message: str
    time_ms: int


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """One serve process; `revisions` are what it reported, oldest first."""

    id: int
    host: str
    pid: int
    url: str
    started_ms: int
    seen_ms: int
    revisions: tuple[WorkerRevision, ...]

    def is_alive(self, now_ms: int) -> bool:
        """Say whether it gave a sign of life lately.

        One that lies ahead is of before a clock was set back: it counts for no longer than one from now.
        """
        return abs(now_ms - self.seen_ms) < ALIVE_MS

    @property
    def place(self) -> str:
        """Where it answers: the address alone may be the same on every host."""
        return f"{self.url} on {self.host}"

    def state_of(self, endpoint: str, revision: int) -> WorkerRevision | None:
        """Return what this worker said about a revision, or None when it has not yet spoken."""
        for one in self.revisions:
            if one.endpoint == endpoint and one.revision == revision:
                return one
        return None


def register_worker(connection: sa.Connection, *, host: str, pid: int, url: str, time_ms: int) -> int:
    """Write a new worker and return its id, which no other process ever had."""
    done = connection.execute(
        serving_workers.insert().values(host=host, pid=pid, url=url, started_ms=time_ms, seen_ms=time_ms)
    )
    return int(done.inserted_primary_key[0])  # type: ignore[index]


def keep_registered(
    connection: sa.Connection, worker_id: int, *, host: str, pid: int, url: str, started_ms: int
) -> bool:
    """Write a worker anew, under its own number, into a store that does not know it; return whether it was so.

    A store may be put back as it was before the worker began.

    Raises:
        Unavailable: the store has given the number to another worker (`serving.worker_replaced`).
    """
    row = connection.execute(
        sa.select(serving_workers.c.pid, serving_workers.c.started_ms).where(
            serving_workers.c.id == worker_id
        )
    ).one_or_none()
    if row is None:
        values = {"id": worker_id, "host": host, "pid": pid, "url": url, "started_ms": started_ms}
        connection.execute(serving_workers.insert().values(**values, seen_ms=started_ms))
        if connection.dialect.name == "postgresql":  # its numbers do not go by what is in the table
            sequence = "pg_get_serial_sequence('serving_workers', 'id')"
            newest = "(SELECT max(id) FROM serving_workers)"
            connection.exec_driver_sql(f"SELECT setval({sequence}, {newest})")
        return True
    if (row.pid, row.started_ms) != (pid, started_ms):
        raise Unavailable(
            f"the store has given the number {worker_id} of this process to another: it is another or an older one",
            code="serving.worker_replaced",
            hint="start this process anew to follow this store, or put the one back that it began on",
        )
    return False


def beat(connection: sa.Connection, worker_id: int, time_ms: int) -> None:
    """Say that the worker lives. `time_ms` 0 says that it does not beat, a negative one that it ended then."""
    connection.execute(
        serving_workers.update().where(serving_workers.c.id == worker_id).values(seen_ms=time_ms)
    )


def end_worker(connection: sa.Connection, worker_id: int, time_ms: int) -> None:
    """Say that the worker has ended, and when: it is seen no more, and what it served is answered for until then."""
    beat(connection, worker_id, -time_ms)


def last_heard_ms(connection: sa.Connection) -> dict[str, int]:
    """Return when a process that served an endpoint was last heard of, also one that has ended; by endpoint."""
    last = sa.func.max(sa.func.abs(serving_workers.c.seen_ms))
    query = (
        sa.select(worker_revisions.c.endpoint, last)
        .join_from(worker_revisions, serving_workers, serving_workers.c.id == worker_revisions.c.worker_id)
        .where(serving_workers.c.url != NO_URL, serving_workers.c.seen_ms != 0)
        .group_by(worker_revisions.c.endpoint)
    )
    return {str(endpoint): int(time_ms) for endpoint, time_ms in connection.execute(query)}


def report_revision(connection: sa.Connection, worker_id: int, report: WorkerRevision) -> None:
    """Write what the worker has to say about a revision, replacing what it said before."""
    connection.execute(
        worker_revisions.delete().where(
            worker_revisions.c.worker_id == worker_id,
            worker_revisions.c.endpoint == report.endpoint,
            worker_revisions.c.revision == report.revision,
        )
    )
    connection.execute(
        worker_revisions.insert().values(worker_id=worker_id, **msgspec.structs.asdict(report))
    )


def has_loaded(connection: sa.Connection, model: str, version: int) -> bool:
    """Say whether a serve process ever took over a revision that has a version, in whatever part."""
    if has_answered(connection, model, version):
        return True
    query = (
        sa.select(revisions.c.shadows)
        .join(endpoints, endpoints.c.id == revisions.c.endpoint_id)
        .where(
            revisions.c.model == model,
            sa.cast(revisions.c.shadows, sa.Text) != "[]",
            sa.exists().where(
                worker_revisions.c.endpoint == endpoints.c.name,
                worker_revisions.c.revision == revisions.c.number,
                worker_revisions.c.state == "ready",
            ),
        )
    )
    return any(version in shadows for (shadows,) in connection.execute(query))


def has_answered(
    connection: sa.Connection, model: str, version: int, *, but_in: tuple[str, int] | None = None
) -> bool:
    """Say whether a serve process ever took over a revision in which a version answers, as the stable one or a canary.

    Args:
        but_in: an endpoint and its revision that do not count.
    """
    query = (
        sa.select(worker_revisions.c.worker_id)
        .join(serving_workers, serving_workers.c.id == worker_revisions.c.worker_id)
        .join(endpoints, endpoints.c.name == worker_revisions.c.endpoint)
        .join(
            revisions,
            sa.and_(
                revisions.c.endpoint_id == endpoints.c.id,
                revisions.c.number == worker_revisions.c.revision,
            ),
        )
        .where(
            worker_revisions.c.state == "ready",
            serving_workers.c.url != NO_URL,
            revisions.c.model == model,
            sa.or_(revisions.c.stable == version, revisions.c.canary_version == version),
        )
    )
    if but_in is not None:
        endpoint, number = but_in
        query = query.where(
            sa.or_(worker_revisions.c.endpoint != endpoint, worker_revisions.c.revision != number)
        )
    return connection.execute(query.limit(1)).first() is not None


def list_workers(connection: sa.Connection, seen_after_ms: int) -> list[Worker]:
    """Return the serve processes seen after a time, by id, each with its reports."""
    query = sa.select(serving_workers).where(
        serving_workers.c.seen_ms > seen_after_ms, serving_workers.c.url != NO_URL
    )
    rows = list(connection.execute(query.order_by(serving_workers.c.id)).mappings())
    reports: dict[int, list[WorkerRevision]] = {row["id"]: [] for row in rows}
    if rows:
        order = (worker_revisions.c.time_ms, worker_revisions.c.revision)
        said = sa.select(worker_revisions).where(worker_revisions.c.worker_id.in_(list(reports)))
        for row in connection.execute(said.order_by(*order)).mappings():
            values = dict(row)
            reports[values.pop("worker_id")].append(WorkerRevision(**values))
    return [Worker(**row, revisions=tuple(reports[row["id"]])) for row in rows]


def list_alive(connection: sa.Connection, now_ms: int) -> list[Worker]:
    """Return the serve processes that run, by id, each with its reports."""
    return [one for one in list_workers(connection, now_ms - ALIVE_MS) if one.is_alive(now_ms)]


def states_by_place(workers: Iterable[Worker], endpoint: str, revision: int) -> dict[str, str]:
    """Return where workers run, each with the state there of the one that is least ready for a revision."""
    found: dict[str, str] = {}
    for worker in workers:
        said = worker.state_of(endpoint, revision)
        state = said.state if said else PENDING
        found[worker.place] = min(found.get(worker.place, state), state, key=_WORST_FIRST.index)
    return found


class ToldOf(msgspec.Struct, frozen=True):
    """When calls of an endpoint were told of last, and whether by a batch job, which may rest between its runs."""

    time_ms: int
    is_batch: bool


def list_told_endpoints(connection: sa.Connection) -> dict[str, ToldOf]:
    """Return the endpoints that services of the user's own, or batch jobs, ever told of calls of."""
    query = (
        sa.select(
            worker_revisions.c.endpoint,
            worker_revisions.c.message,
            sa.func.max(worker_revisions.c.time_ms).label("last"),
        )
        .join_from(worker_revisions, serving_workers, serving_workers.c.id == worker_revisions.c.worker_id)
        .where(serving_workers.c.url == NO_URL)
        .group_by(worker_revisions.c.endpoint, worker_revisions.c.message)
    )
    found: dict[str, ToldOf] = {}
    for row in sorted(connection.execute(query), key=lambda one: int(one.last)):
        found[str(row.endpoint)] = ToldOf(int(row.last), row.message == BATCH)
    return found


def list_batch_endpoints(connection: sa.Connection) -> set[str]:
    """Return the endpoints that batch jobs told of calls of, and no serve process or other service ever."""
    of_others = (
        sa.select(worker_revisions.c.endpoint)
        .join_from(worker_revisions, serving_workers, serving_workers.c.id == worker_revisions.c.worker_id)
        .where((serving_workers.c.url != NO_URL) | (worker_revisions.c.message != BATCH))
    )
    query = sa.select(worker_revisions.c.endpoint).distinct()
    return set(connection.execute(query).scalars()) - set(connection.execute(of_others).scalars())
