"""Runs in the store: starting, ending, naming, taking away, and looking them up.

What is logged to a run is appended (`metrics`, `values`, `datasets`); a run that was taken away accepts
nothing until it is restored.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import Invalid, NotFound
from penstock.records.limits import invalid_value
from penstock.tracking.entities import (
    GOING,
    NAME_TAG,
    RAN,
    RUN_STATUSES,
    MetricPoint,
    Run,
    RunRow,
    RunStatus,
    StageRecord,
)
from penstock.tracking.experiments import ensure_experiment, require_active
from penstock.tracking.metrics import RunReference, list_latest, log_points
from penstock.tracking.tables import (
    IS_PARENT,
    experiments,
    run_inputs,
    run_params,
    run_stages,
    run_tags,
    runs,
)
from penstock.tracking.values import in_parts, list_pairs, log_params, set_tags

_RUN_ID = re.compile(r"[a-zA-Z0-9][\w\-]{0,255}\Z")
# Statements are built once: building one costs three times as much as running it.
_STATE = sa.select(runs.c.experiment_id, runs.c.deleted_ms).where(runs.c.id == sa.bindparam("run_id"))
_ROWS = (
    sa.select(
        runs.c.id,
        runs.c.experiment_id,
        runs.c.name,
        runs.c.status,
        runs.c.start_ms,
        runs.c.end_ms,
        runs.c.user,
        runs.c.deleted_ms,
        runs.c.artifact_uri,
        experiments.c.artifact_uri,
    )
    .join(experiments)
    .where(runs.c.id.in_(sa.bindparam("run_ids", expanding=True)))
)


def create_run(connection: sa.Connection, run: Run) -> None:
    """Write a run with all it already has."""
    start_run(connection, run, ensure_experiment(connection, run.experiment))
    time_ms = now_ms()
    points = [MetricPoint(key, value, time_ms) for key, value in run.metrics.items()]
    experiment_id = connection.execute(
        sa.select(runs.c.experiment_id).where(runs.c.id == run.id)
    ).scalar_one()
    log_params(connection, run.id, run.params)
    log_points(connection, RunReference(run.id, experiment_id), points)
    log_inputs(connection, run.id, run.inputs)


def start_run(connection: sa.Connection, run: Run, experiment_id: int) -> None:
    """Write a run's own row and its tags, in an experiment that exists.

    Raises:
        NotFound: there is no such experiment.
        Invalid: the experiment is deleted.
    """
    require_active(connection, experiment_id)
    connection.execute(
        runs.insert().values(
            id=run.id,
            experiment_id=experiment_id,
            name=run.name,
            status=run.status,
            start_ms=run.start_ms,
            end_ms=run.end_ms,
            commit=run.commit,
            dirty_digest=run.dirty_digest,
            lock_digest=run.lock_digest,
            user=run.user[:256],
        )
    )
    set_tags(connection, run.id, run.tags)


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


def update_run(
    connection: sa.Connection,
    run_id: str,
    *,
    status: str | None = None,
    end_ms: int | None = None,
    name: str | None = None,
) -> None:
    """Change a run's state, end or name; what is None stays, but for the end of a run that goes on.

    Raises:
        NotFound, Invalid: as `require_writable`; or there is no such status.
    """
    require_writable(connection, run_id)
    if status is not None and status not in RUN_STATUSES:
        raise invalid_value("status", status, f"one of {', '.join(RUN_STATUSES)}")
    values: dict[str, Any] = {"status": status, "end_ms": end_ms}
    changed = {column: value for column, value in values.items() if value is not None}
    if status in GOING:
        changed["end_ms"] = end_ms
    if changed:
        connection.execute(runs.update().where(runs.c.id == run_id).values(**changed))
    if name:
        set_tags(connection, run_id, {NAME_TAG: name})


def delete_run(connection: sa.Connection, run_id: str) -> None:
    """Take a run away; `restore_run` brings it back.

    Raises:
        NotFound: there is none.
    """
    _check_exists(connection, run_id)
    connection.execute(
        runs.update().where(runs.c.id == run_id, runs.c.deleted_ms.is_(None)).values(deleted_ms=now_ms())
    )


def restore_run(connection: sa.Connection, run_id: str) -> None:
    """Bring a deleted run back.

    Raises:
        NotFound: there is none.
    """
    _check_exists(connection, run_id)
    connection.execute(runs.update().where(runs.c.id == run_id).values(deleted_ms=None))


def require_writable(connection: sa.Connection, run_id: str) -> RunReference:
    """Return a run that can be written to.

    Raises:
        NotFound: there is none.
        Invalid: it is deleted.
    """
    row = connection.execute(_STATE, {"run_id": run_id}).first()
    if row is None:
        raise no_run(run_id)
    if row.deleted_ms is not None:
        raise Invalid(
            f"The run {run_id} must be in the 'active' state. Current state is deleted.",
            code="tracking.deleted",
            hint="restore it first",
        )
    return RunReference(run_id, row.experiment_id)


def list_running(connection: sa.Connection, tag: str) -> dict[str, str]:
    """Return the ids of runs that are not finished, with the value of a tag they carry."""
    query = (
        sa.select(runs.c.id, run_tags.c.value)
        .join(run_tags, run_tags.c.run_id == runs.c.id)
        .where(runs.c.status == "RUNNING", run_tags.c.key == tag)
    )
    return {row.id: row.value for row in connection.execute(query)}


def list_rows(connection: sa.Connection, run_ids: Sequence[str]) -> list[RunRow]:
    """Return the rows of these runs in this order; unknown ones are left out."""
    rows: dict[str, RunRow] = {}
    for part in in_parts(run_ids):
        rows.update({row[0]: RunRow(*tuple(row)) for row in connection.execute(_ROWS, {"run_ids": part})})
    return [rows[run_id] for run_id in run_ids if run_id in rows]


def get_row(connection: sa.Connection, run_id: str) -> RunRow:
    """Return a run's own row by its whole id.

    Raises:
        NotFound: there is none.
    """
    found = list_rows(connection, [run_id])
    if not found:
        raise no_run(run_id)
    return found[0]


def get_run(connection: sa.Connection, run_id: str) -> Run:
    """Return a run by its id or an unambiguous beginning of it (at least 4 characters).

    Raises:
        NotFound: no run, or more than one, begins so.
    """
    found: list[str] = []
    if len(run_id) >= 4 and _RUN_ID.match(run_id):
        query = sa.select(runs.c.id).where(runs.c.id.startswith(run_id, autoescape=True)).limit(2)
        found = list(connection.execute(query).scalars())
    if not found:
        raise no_run(run_id)
    if len(found) > 1:
        raise NotFound(
            f"more than one run begins with {run_id!r}",
            code="tracking.ambiguous_run",
            hint="penstock run list",
            run=run_id,
        )
    return load_runs(connection, found)[0]


def find_run_of_lock(connection: sa.Connection, lock_digest: str) -> Run | None:
    """Return the newest finished run that produced this pipeline lock, or None."""
    query = (
        sa.select(runs.c.id)
        .where(runs.c.lock_digest == lock_digest, runs.c.status == "FINISHED", runs.c.deleted_ms.is_(None))
        .order_by(runs.c.start_ms.desc())
        .limit(1)
    )
    found = connection.execute(query).scalar()
    return load_runs(connection, [found])[0] if found else None


def list_makers(connection: sa.Connection, results: Collection[str]) -> dict[str, str]:
    """Return the newest run that ran a stage with each of these results, by the digest of its lock entry.

    Only commands that ran count: what was taken from the lock or the run cache was made by another run, or by none.
    """
    found: dict[str, str] = {}
    for part in in_parts(list(results)):
        query = (
            sa.select(run_stages.c.digest, run_stages.c.run_id)
            .join(runs, runs.c.id == run_stages.c.run_id)
            .where(run_stages.c.digest.in_(part), run_stages.c.action == RAN, runs.c.deleted_ms.is_(None))
            .order_by(runs.c.start_ms)
        )
        found |= {str(row.digest): str(row.run_id) for row in connection.execute(query)}
    return found


def list_runs(connection: sa.Connection, *, experiment: str | None = None, limit: int = 50) -> list[Run]:
    """Return the newest runs that are not deleted, newest first."""
    query = sa.select(runs.c.id).where(runs.c.deleted_ms.is_(None))
    query = query.order_by(runs.c.start_ms.desc(), runs.c.id).limit(limit)
    if experiment is not None:
        query = query.join(experiments).where(experiments.c.name == experiment)
    return load_runs(connection, list(connection.execute(query).scalars()))


def list_runs_of_commit(connection: sa.Connection, commit: str) -> list[str]:
    """Return the ids of every run made at this commit, oldest first."""
    query = sa.select(runs.c.id).where(runs.c.commit == commit).order_by(runs.c.start_ms)
    return list(connection.execute(query).scalars())


def list_children(connection: sa.Connection, run_id: str, *, limit: int = 50) -> list[tuple[str, str]]:
    """Return id and name of the runs that name this one as their parent, oldest first; deleted ones are left out."""
    query = (
        sa.select(runs.c.id, runs.c.name)
        .join(run_tags, run_tags.c.run_id == runs.c.id)
        .where(IS_PARENT, run_tags.c.value == run_id, runs.c.deleted_ms.is_(None))
        .order_by(runs.c.start_ms, runs.c.id)
        .limit(limit)
    )
    return [(row.id, row.name) for row in connection.execute(query)]


def load_runs(connection: sa.Connection, ids: Sequence[str]) -> list[Run]:
    """Return the runs of these ids in this order, with everything logged to them."""
    query = (
        sa.select(runs, experiments.c.name.label("experiment")).join(experiments).where(runs.c.id.in_(ids))
    )
    rows = {row["id"]: row for row in connection.execute(query).mappings()}
    params, tags = (list_pairs(connection, table, ids) for table in (run_params, run_tags))
    metrics, stages = _metrics(connection, ids), _stages(connection, ids)
    inputs = _inputs(connection, ids)
    names = (
        "experiment",
        "name",
        "status",
        "start_ms",
        "end_ms",
        "commit",
        "dirty_digest",
        "lock_digest",
        "user",
    )
    return [
        Run(
            id=run_id,
            **{name: rows[run_id][name] for name in names},
            params=params.get(run_id, {}),
            metrics=metrics.get(run_id, {}),
            tags=tags.get(run_id, {}),
            inputs=inputs.get(run_id, {}),
            stages=tuple(stages.get(run_id, ())),
        )
        for run_id in ids
    ]


def _metrics(connection: sa.Connection, ids: Sequence[str]) -> dict[str, dict[str, float]]:
    return {
        run_id: {key: float("nan") if is_nan else value for key, value, _, _, is_nan in points}
        for run_id, points in list_latest(connection, ids).items()
    }


def _inputs(connection: sa.Connection, ids: Iterable[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    query = sa.select(run_inputs).where(run_inputs.c.run_id.in_(ids)).order_by(run_inputs.c.path)
    for row in connection.execute(query):
        found.setdefault(row.run_id, {})[row.path] = row.digest
    return found


def _stages(connection: sa.Connection, ids: Iterable[str]) -> dict[str, list[StageRecord]]:
    found: dict[str, list[StageRecord]] = {}
    query = sa.select(run_stages).where(run_stages.c.run_id.in_(ids)).order_by(run_stages.c.position)
    for row in connection.execute(query):
        record = StageRecord(row.name, row.digest, row.action, row.seconds)
        found.setdefault(row.run_id, []).append(record)
    return found


def _check_exists(connection: sa.Connection, run_id: str) -> None:
    if connection.execute(sa.select(runs.c.id).where(runs.c.id == run_id)).scalar() is None:
        raise no_run(run_id)


def no_run(run_id: str) -> NotFound:
    """Make the error for a run that is not there."""
    return NotFound(
        f"there is no run {run_id!r}", code="tracking.no_run", hint="penstock run list", run=run_id
    )
