"""Runs in the store. Parameters and metrics are append-only; a finished run is not reopened."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.database import metadata
from penstock.base.errors import Invalid, NotFound
from penstock.tracking.entities import Run, RunStatus, StageRecord

MAX_VALUE_CHARACTERS = 6000

experiments = sa.Table(
    "experiments",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("name", sa.String(500), nullable=False, unique=True),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
)
runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("experiment_id", sa.ForeignKey("experiments.id"), nullable=False, index=True),
    sa.Column("name", sa.String(250), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("start_ms", sa.BigInteger, nullable=False, index=True),
    sa.Column("end_ms", sa.BigInteger),
    sa.Column("commit", sa.String(64), index=True),
    sa.Column("dirty_digest", sa.String(64)),
    sa.Column("lock_digest", sa.String(64), index=True),
)
run_params = sa.Table(
    "run_params",
    metadata,
    sa.Column("run_id", sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("key", sa.String(250), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
run_metrics = sa.Table(
    "run_metrics",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("run_id", sa.ForeignKey("runs.id"), nullable=False),
    sa.Column("key", sa.String(250), nullable=False),
    sa.Column("value", sa.Float, nullable=False),
    sa.Column("step", sa.BigInteger, nullable=False),
    sa.Column("time_ms", sa.BigInteger, nullable=False),
    sa.Index("ix_run_metrics_run_id_key", "run_id", "key", "step"),
)
run_tags = sa.Table(
    "run_tags",
    metadata,
    sa.Column("run_id", sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("key", sa.String(250), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
run_inputs = sa.Table(
    "run_inputs",
    metadata,
    sa.Column("run_id", sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("path", sa.String(1024), primary_key=True),
    sa.Column("digest", sa.String(80), nullable=False, index=True),
)
run_stages = sa.Table(
    "run_stages",
    metadata,
    sa.Column("run_id", sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(250), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False, index=True),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
)


def new_run_id() -> str:
    """Return a fresh run id: 32 hexadecimal digits, as MLflow's."""
    return uuid.uuid4().hex


def create_run(connection: sa.Connection, run: Run) -> None:
    """Write a run with all it already has."""
    connection.execute(
        runs.insert().values(
            id=run.id,
            experiment_id=ensure_experiment(connection, run.experiment),
            name=run.name,
            status=run.status,
            start_ms=run.start_ms,
            end_ms=run.end_ms,
            commit=run.commit,
            dirty_digest=run.dirty_digest,
            lock_digest=run.lock_digest,
        )
    )
    set_tags(connection, run.id, run.tags)
    log_params(connection, run.id, run.params)
    log_metrics(connection, run.id, run.metrics)
    log_inputs(connection, run.id, run.inputs)


def ensure_experiment(connection: sa.Connection, name: str) -> int:
    """Return the id of the experiment, making it when it is new."""
    found = connection.execute(sa.select(experiments.c.id).where(experiments.c.name == name)).scalar()
    if found is not None:
        return int(found)
    done = connection.execute(experiments.insert().values(name=name, created_ms=now_ms()))
    return int((done.inserted_primary_key or [0])[0])


def log_params(connection: sa.Connection, run_id: str, params: Mapping[str, str]) -> None:
    """Add parameters; one that is there already must have the same value.

    Raises:
        Invalid: a parameter exists with another value, or its value is too long.
    """
    known = _pairs(connection, run_params, run_id)
    for key, value in params.items():
        if known.get(key, value) != value:
            raise Invalid(
                f"run {run_id}: parameter {key!r} is {known[key]!r} and cannot become {value!r}",
                code="tracking.parameter_changed",
                hint="start another run",
            )
        if len(value) > MAX_VALUE_CHARACTERS:
            raise Invalid(
                f"run {run_id}: parameter {key!r} is longer than {MAX_VALUE_CHARACTERS} characters",
                code="tracking.value_too_long",
                hint="log it as an artifact",
            )
    new = [
        {"run_id": run_id, "key": key, "value": value} for key, value in params.items() if key not in known
    ]
    if new:
        connection.execute(run_params.insert(), new)


def log_metrics(connection: sa.Connection, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
    """Append one point to each metric."""
    time_ms = now_ms()
    rows = [
        {"run_id": run_id, "key": key, "value": value, "step": step, "time_ms": time_ms}
        for key, value in metrics.items()
    ]
    if rows:
        connection.execute(run_metrics.insert(), rows)


def set_tags(connection: sa.Connection, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags, replacing those of the same name."""
    if not tags:
        return
    connection.execute(run_tags.delete().where(run_tags.c.run_id == run_id, run_tags.c.key.in_(tags)))
    connection.execute(
        run_tags.insert(), [{"run_id": run_id, "key": key, "value": value} for key, value in tags.items()]
    )


def log_inputs(connection: sa.Connection, run_id: str, inputs: Mapping[str, str]) -> None:
    """Record the data a run used, digests by path."""
    if inputs:
        rows = [{"run_id": run_id, "path": path, "digest": digest} for path, digest in inputs.items()]
        connection.execute(run_inputs.insert(), rows)


def log_stages(connection: sa.Connection, run_id: str, stages: Sequence[StageRecord]) -> None:
    """Record the stage results of a run, in the order they were reached."""
    if stages:
        connection.execute(
            run_stages.insert(),
            [
                {
                    "run_id": run_id,
                    "position": position,
                    "name": stage.name,
                    "digest": stage.digest,
                    "action": stage.action,
                    "seconds": stage.seconds,
                }
                for position, stage in enumerate(stages)
            ],
        )


def finish_run(
    connection: sa.Connection, run_id: str, status: RunStatus, *, lock_digest: str | None = None
) -> None:
    """End a run, now."""
    values: dict[str, object] = {"status": status, "end_ms": now_ms()}
    if lock_digest is not None:
        values["lock_digest"] = lock_digest
    connection.execute(runs.update().where(runs.c.id == run_id).values(**values))


def list_running(connection: sa.Connection, tag: str) -> dict[str, str]:
    """Return the ids of runs that are not finished, with the value of a tag they carry."""
    query = (
        sa.select(runs.c.id, run_tags.c.value)
        .join(run_tags, run_tags.c.run_id == runs.c.id)
        .where(runs.c.status == "RUNNING", run_tags.c.key == tag)
    )
    return {row.id: row.value for row in connection.execute(query)}


def get_run(connection: sa.Connection, run_id: str) -> Run:
    """Return a run by its id or an unambiguous beginning of it (at least 4 digits).

    Raises:
        NotFound: no run, or more than one, begins so.
    """
    found: list[str] = []
    if len(run_id) >= 4 and set(run_id) <= set("0123456789abcdef"):
        query = sa.select(runs.c.id).where(runs.c.id.startswith(run_id, autoescape=True)).limit(2)
        found = list(connection.execute(query).scalars())
    if len(found) != 1:
        problem = "more than one run begins with" if found else "there is no run"
        raise NotFound(f"{problem} {run_id!r}", code="tracking.no_run", hint="penstock run list", run=run_id)
    return _load(connection, found)[0]


def find_run_of_lock(connection: sa.Connection, lock_digest: str) -> Run | None:
    """Return the newest finished run that produced this pipeline lock, or None."""
    query = (
        sa.select(runs.c.id)
        .where(runs.c.lock_digest == lock_digest, runs.c.status == "FINISHED")
        .order_by(runs.c.start_ms.desc())
        .limit(1)
    )
    found = connection.execute(query).scalar()
    return _load(connection, [found])[0] if found else None


def list_runs(connection: sa.Connection, *, experiment: str | None = None, limit: int = 50) -> list[Run]:
    """Return the newest runs, newest first."""
    query = sa.select(runs.c.id).order_by(runs.c.start_ms.desc(), runs.c.id).limit(limit)
    if experiment is not None:
        query = query.join(experiments).where(experiments.c.name == experiment)
    return _load(connection, list(connection.execute(query).scalars()))


def list_runs_of_input(connection: sa.Connection, digest: str) -> list[str]:
    """Return the ids of every run that used this data."""
    query = sa.select(run_inputs.c.run_id).where(run_inputs.c.digest == digest).distinct()
    return list(connection.execute(query).scalars())


def list_runs_of_commit(connection: sa.Connection, commit: str) -> list[str]:
    """Return the ids of every run made at this commit, oldest first."""
    query = sa.select(runs.c.id).where(runs.c.commit == commit).order_by(runs.c.start_ms)
    return list(connection.execute(query).scalars())


def _load(connection: sa.Connection, ids: Sequence[str]) -> list[Run]:
    query = (
        sa.select(runs, experiments.c.name.label("experiment")).join(experiments).where(runs.c.id.in_(ids))
    )
    rows = {row["id"]: row for row in connection.execute(query).mappings()}
    found = []
    for run_id in ids:
        row = rows[run_id]
        stages = connection.execute(
            sa.select(run_stages).where(run_stages.c.run_id == run_id).order_by(run_stages.c.position)
        ).mappings()
        found.append(
            Run(
                id=run_id,
                experiment=row["experiment"],
                name=row["name"],
                status=row["status"],
                start_ms=row["start_ms"],
                end_ms=row["end_ms"],
                commit=row["commit"],
                dirty_digest=row["dirty_digest"],
                lock_digest=row["lock_digest"],
                params=_pairs(connection, run_params, run_id),
                metrics=_latest_metrics(connection, run_id),
                tags=_pairs(connection, run_tags, run_id),
                inputs={
                    item.path: item.digest
                    for item in connection.execute(sa.select(run_inputs).where(run_inputs.c.run_id == run_id))
                },
                stages=tuple(
                    StageRecord(item["name"], item["digest"], item["action"], item["seconds"])
                    for item in stages
                ),
            )
        )
    return found


def _pairs(connection: sa.Connection, table: sa.Table, run_id: str) -> dict[str, str]:
    query = sa.select(table.c.key, table.c.value).where(table.c.run_id == run_id).order_by(table.c.key)
    return {row.key: row.value for row in connection.execute(query)}


def _latest_metrics(connection: sa.Connection, run_id: str) -> dict[str, float]:
    query = (
        sa.select(run_metrics.c.key, run_metrics.c.value)
        .where(run_metrics.c.run_id == run_id)
        .order_by(run_metrics.c.step, run_metrics.c.id)
    )
    return {row.key: row.value for row in connection.execute(query)}
