"""The run of a reproduction, written to an embedded store without the toolkit that all else goes through.

Loading that toolkit takes as long as an experiment of a small pipeline takes otherwise. What is written is what `runs`,
`values` and `metrics` write, and a test holds the two equal. Where something is not as nearly always (another schema, a
deleted experiment, a value that has to be cut, a store that does not answer), nothing is written and the answer is
None or false: those then write it, or say what is wrong.
"""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from penstock.base.clock import now_ms
from penstock.base.numbers import storable
from penstock.base.store.connection import open_store
from penstock.base.store.head import HEAD
from penstock.base.store.script import SCRIPT
from penstock.records.limits import MAX_EXPERIMENT_NAME, MAX_PARAM_VALUE, MAX_TAG_VALUE
from penstock.tracking.entities import NAME_TAG, MetricPoint, Run, RunStatus, StageRecord

BUSY_TIMEOUT_S = 1.0
"""How long this way waits for another writer: the toolkit, which is asked next, waits as long as anybody."""
_RUNNING = """
SELECT runs.id, run_tags.value FROM runs JOIN run_tags ON run_tags.run_id = runs.id
WHERE runs.status = 'RUNNING' AND run_tags.key = ?
"""
_EXPERIMENT = """
INSERT INTO experiments (name, created_ms, updated_ms) SELECT ?1, ?2, ?3
WHERE NOT EXISTS (SELECT 1 FROM experiments WHERE name = ?1)
"""
_RUN = """
INSERT INTO runs (id, experiment_id, name, status, start_ms, end_ms, "commit", dirty_digest, lock_digest, "user")
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_TAG = """
INSERT INTO run_tags (run_id, key, value) VALUES (?, ?, ?)
ON CONFLICT (run_id, key) DO UPDATE SET value = excluded.value
"""
_INPUT = "INSERT INTO run_inputs (run_id, path, digest) VALUES (?, ?, ?)"
_PARAM = "INSERT INTO run_params (run_id, key, value) VALUES (?, ?, ?)"
_POINT = "INSERT INTO run_metrics (run_id, key, step, time_ms, value, is_nan) VALUES (?, ?, ?, ?, ?, ?)"
_LATEST = """
INSERT INTO run_latest_metrics (run_id, key, step, time_ms, value, is_nan, experiment_id)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_STAGE = "INSERT INTO run_stages (run_id, position, name, digest, action, seconds) VALUES (?, ?, ?, ?, ?, ?)"
_END = "UPDATE runs SET status = ?, end_ms = ?, lock_digest = coalesce(?, lock_digest) WHERE id = ?"


class _UnusualError(Exception):
    """Something that the toolkit has to write or to refuse."""


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended and what it gave."""

    status: RunStatus
    params: dict[str, str] = {}
    metrics: dict[str, float] = {}
    stages: tuple[StageRecord, ...] = ()
    lock_digest: str | None = None
    tags: dict[str, str] = {}


def make_store(store: Path) -> None:
    """Make the store of this version in a file that is not there; where it cannot be made, another way says why.

    A kill leaves no store, an empty one, which is filled by whoever opens it, or the whole.
    """
    time_ms = now_ms()
    dated = f"UPDATE experiments SET created_ms = {time_ms}, updated_ms = {time_ms} WHERE id = 0;"
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(store, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # it holds hashes of passwords
        with closing(open_store(store, busy_timeout_s=BUSY_TIMEOUT_S)) as connection:
            connection.executescript(f"BEGIN IMMEDIATE;\n{SCRIPT.read_text()}\n{dated}\nCOMMIT;")
    except (OSError, sqlite3.Error):  # another process was sooner, or nobody may
        return


def begin_run(store: Path, run: Run, tag: str, has_ended: Callable[[str], bool]) -> bool:
    """Write a run that begins, and mark as killed those whose process has ended; false where nothing was written.

    Args:
        store: the store's file.
        tag: the tag that names a run's process.
        has_ended: says of its value whether that process is known to have ended.
    """
    try:
        with _writing(store) as connection:
            ended = [one for one, process in connection.execute(_RUNNING, (tag,)) if has_ended(process)]
            connection.executemany(_END, [("KILLED", now_ms(), None, one) for one in ended])
            experiment = _experiment(connection, run.experiment)
            begun = (run.id, experiment, run.name, run.status, run.start_ms, run.end_ms)
            origin = (run.commit, run.dirty_digest, run.lock_digest, run.user[:256])
            _write(connection, _RUN, [(*begun, *origin)])
            _write(connection, _TAG, _pairs(run.id, run.tags, MAX_TAG_VALUE))
            _write(connection, _INPUT, [(run.id, *item) for item in run.inputs.items()])
    except (sqlite3.Error, ValueError, _UnusualError):
        return False
    return True


def end_run(store: Path, run: Run, ending: Ending) -> Run | None:
    """Write how a run of `begin_run` ended, and return it as it is recorded now; None where nothing was written."""
    points = [MetricPoint(key, value, now_ms()) for key, value in ending.metrics.items()]
    end_ms = now_ms()
    try:
        with _writing(store) as connection:
            experiment = _experiment_of(connection, run.id)
            _write(connection, _TAG, _pairs(run.id, ending.tags, MAX_TAG_VALUE))
            _write(connection, _PARAM, _pairs(run.id, ending.params, MAX_PARAM_VALUE))
            rows = [
                (run.id, one.key, one.step, one.time_ms, storable(one.value), one.value != one.value)
                for one in points
            ]
            _write(connection, _POINT, rows)
            _write(connection, _LATEST, [(*row, experiment) for row in rows])
            stages = enumerate(ending.stages)
            _write(connection, _STAGE, [(run.id, at, *msgspec.structs.astuple(one)) for at, one in stages])
            connection.execute(_END, (ending.status, end_ms, ending.lock_digest, run.id))
    except (sqlite3.Error, ValueError, _UnusualError):
        return None
    return msgspec.structs.replace(
        run,
        status=ending.status,
        end_ms=end_ms,
        lock_digest=ending.lock_digest or run.lock_digest,
        params=dict(sorted(ending.params.items())),
        metrics={
            key: value if math.isnan(value) else float(storable(value))
            for key, value in sorted(ending.metrics.items())
        },
        tags=dict(sorted({**run.tags, **ending.tags}.items())),
        inputs=dict(sorted(run.inputs.items())),
        stages=ending.stages,
    )


@contextmanager
def _writing(store: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection whose changes are all written at the end of the block, or none.

    Raises:
        sqlite3.Error: the store is not there, does not answer, or refuses something.
        _UnusualError: it is of another program's version.
    """
    with closing(open_store(store, busy_timeout_s=BUSY_TIMEOUT_S)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("SELECT version_num FROM alembic_version").fetchone() != (HEAD,):
            raise _UnusualError
        yield connection
        connection.execute("COMMIT")


def _write(connection: sqlite3.Connection, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if any("\0" in value for row in rows for value in row if type(value) is str):
        raise _UnusualError  # PostgreSQL has no place for it, so no store takes it
    connection.executemany(sql, rows)


def _pairs(run_id: str, pairs: Mapping[str, str], most: int) -> list[tuple[str, str, str]]:
    if NAME_TAG in pairs or any(len(value) > most for value in pairs.values()):
        raise _UnusualError
    return [(run_id, key, value) for key, value in pairs.items()]


def _experiment(connection: sqlite3.Connection, name: str) -> int:
    """Return the id of the experiment of a name that can be written to; one that is not there is made."""
    if not name.strip() or len(name) > MAX_EXPERIMENT_NAME or "\0" in name:
        raise _UnusualError
    connection.execute(_EXPERIMENT, (name, now_ms(), now_ms()))
    return _active(connection.execute("SELECT id, deleted_ms FROM experiments WHERE name = ?", (name,)))


def _experiment_of(connection: sqlite3.Connection, run_id: str) -> int:
    """Return the id of the experiment of a run that can be written to."""
    return _active(connection.execute("SELECT experiment_id, deleted_ms FROM runs WHERE id = ?", (run_id,)))


def _active(rows: Iterable[tuple[Any, ...]]) -> int:
    for number, deleted_ms in rows:
        if deleted_ms is None:
            return int(number)
    raise _UnusualError
