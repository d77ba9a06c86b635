"""Reproduce the pipeline and record it as a run."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import Invalid, PenstockError
from penstock.base.running import is_running
from penstock.data.rwlock import check_free
from penstock.flows.models.provenance import capture_code, data_digests
from penstock.flows.pipelines.lineage_events import watch_run
from penstock.flows.pipelines.looking import SILENT, Look, looked
from penstock.pipeline.lockfile import load_entries, lock_digest
from penstock.pipeline.parameters import flatten, numbers, parse_any
from penstock.pipeline.runner import reproduce
from penstock.pipeline.running.reproducing import IDLE, ReproduceOptions, StageResult, Watcher
from penstock.pipeline.running.survivors import end_survivors
from penstock.pipeline.stage import Stage
from penstock.project.project import Project
from penstock.tracking import runs
from penstock.tracking.entities import MetricPoint, Run, RunStatus, StageRecord
from penstock.tracking.metrics import log_points
from penstock.tracking.values import log_params, set_tags

PROCESS_TAG = "penstock.process"


@dataclass(frozen=True)
class Reproduction:
    """What a reproduction did. `run` is the recorded run: an earlier one when nothing had to be done.

    `untold` says why OpenLineage's events were not delivered, where they go anywhere.
    """

    results: tuple[StageResult, ...]
    run: Run | None
    is_up_to_date: bool
    untold: str | None = None


@dataclass(frozen=True)
class Origin:
    """What a run is recorded as: its name, what it comes from, and further tags."""

    source: str
    name: str
    tags: Mapping[str, str] = field(default_factory=dict)


def reproduce_and_record(
    project: Project,
    options: ReproduceOptions | None = None,
    watcher: Watcher | None = None,
    origin: Origin | None = None,
) -> Reproduction:
    """Bring the pipeline up to date and record what happened as a run.

    Where nothing has to be done and a run with this lock exists, that run is the record, unless an `origin` asks for
    one of its own. A failed reproduction is recorded as a failed run, and its error raised.

    Raises:
        NotFound, Invalid, Refused: as `pipeline.runner.reproduce`.
        Conflict: another command holds the repository, or a running stage uses what this one makes or reads, or a
            stage of a killed command cannot be ended.
    """
    options = options or ReproduceOptions()
    with looked(project, options) as look:
        return carry_out(project, look, options, watcher or SILENT, origin)


def carry_out(
    project: Project,
    look: Look,
    options: ReproduceOptions,
    watcher: Watcher,
    origin: Origin | None = None,
) -> Reproduction:
    """Do what a look at the pipeline found, and record it, as `reproduce_and_record`; the caller holds the look.

    Raises:
        NotFound, Invalid, Refused, Conflict: as `reproduce_and_record`.
    """
    if options.dry:
        return Reproduction(look.planned, None, look.is_idle)
    end_survivors(project.root)
    _check_free(project, look.stages, look.planned)
    known = _run_of_lock(project) if look.is_idle and origin is None else None
    if known is not None:
        for item in look.planned:
            watcher.finished(item)
        return Reproduction(look.planned, known, True)
    run = _start(project, origin)
    told = watch_run(project, run, watcher)
    if told is not None:
        told.begin(run)
    lent = replace(options, unlocked=look.lock.lent)
    try:
        results = reproduce(project.data, look.stages, lent, told or watcher)
    except (PenstockError, KeyboardInterrupt) as error:
        if told is not None:
            told.end(run, str(error) or "interrupted")
        with project.database.write() as connection:
            status: RunStatus = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
            set_tags(connection, run.id, {"penstock.error": str(error) or "interrupted"})
            runs.finish_run(connection, run.id, status)
        raise
    look.lock.give()  # what is recorded now and told elsewhere keeps nobody waiting
    if told is not None:
        told.end(run, None)
    untold = told.telling.problem if told is not None else None
    return Reproduction(tuple(results), _finish(project, run, look.stages, results), look.is_idle, untold)


def _check_free(project: Project, stages: Sequence[Stage], planned: Sequence[StageResult]) -> None:
    """Make sure that no running stage makes what would be read, or uses what would be written."""
    due = {item.stage for item in planned if item.action not in IDLE}
    chosen = [stage for stage in stages if stage.address in due]
    check_free(
        project.data,
        [project.root / path for stage in chosen for path in stage.reads],
        [project.root / path for stage in chosen for path in stage.makes],
    )


def _run_of_lock(project: Project) -> Run | None:
    digest = lock_digest(project.data)
    if digest is None:
        return None
    with project.database.read() as connection:
        return runs.find_run_of_lock(connection, digest)


def _end_abandoned(connection: sa.Connection) -> None:
    """Mark the runs of processes of this machine that are gone: they were killed."""
    host = socket.gethostname()
    for run_id, process in runs.list_running(connection, PROCESS_TAG).items():
        name, _, pid = process.rpartition(":")
        if name == host and pid.isdecimal() and len(pid) < 12 and not is_running(int(pid)):
            runs.finish_run(connection, run_id, "KILLED")


def _start(project: Project, origin: Origin | None) -> Run:
    code = capture_code(project)
    name = f"repro-{code.commit[:7] if code.commit else 'uncommitted'}"
    origin = origin or Origin("repro", name)
    run = Run(
        id=runs.new_run_id(),
        experiment=project.settings.project,
        name=origin.name,
        status="RUNNING",
        start_ms=now_ms(),
        commit=code.commit,
        dirty_digest=code.dirty_digest,
        tags={
            "penstock.actor": project.actor,
            "penstock.source": origin.source,
            PROCESS_TAG: f"{socket.gethostname()}:{os.getpid()}",
            **origin.tags,
        },
        inputs=data_digests(project),
    )
    with project.database.write() as connection:
        _end_abandoned(connection)
        runs.create_run(connection, run)
    return run


def _finish(project: Project, run: Run, stages: tuple[Stage, ...], results: list[StageResult]) -> Run:
    addresses = {stage.address for stage in stages}
    records = [
        StageRecord(item.stage, item.entry.digest if item.entry else "", item.action, item.seconds)
        for item in results
        if item.stage in addresses
    ]
    with project.database.write() as connection:
        log_params(connection, run.id, _parameters(project.root, stages))
        points = [
            MetricPoint(key, value, now_ms()) for key, value in load_metrics(project.root, stages).items()
        ]
        log_points(connection, runs.require_writable(connection, run.id), points)
        runs.log_stages(connection, run.id, records)
        runs.finish_run(connection, run.id, "FINISHED", lock_digest=capture_code(project).lock_digest)
        return runs.get_run(connection, run.id)


def _parameters(root: Path, stages: Sequence[Stage]) -> dict[str, str]:
    by_address = {stage.address: stage for stage in stages}
    found: dict[str, Any] = {}
    for address, entry in load_entries(root, stages).items():
        for file, values in entry.parameters.items():
            place = by_address[address].place(file)
            prefix = "" if place == "params.yaml" else f"{place}:"
            found.update({f"{prefix}{key}": value for key, value in flatten(values).items()})
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in sorted(found.items())
    }


def load_metrics(root: Path, stages: Sequence[Stage]) -> Mapping[str, float]:
    """Return every number of the pipeline's metric files; keys of one file stand as they are.

    A file that holds a number alone is a metric of the file's name; what cannot be read is none.
    """
    files = [
        stage.place(output.path) for stage in stages for output in stage.outputs if output.kind == "metric"
    ]
    found: dict[str, float] = {}
    for file in files:
        try:
            value = parse_any((root / file).read_text(encoding="utf-8"), Path(file))
        except (OSError, UnicodeDecodeError, Invalid):
            continue
        if isinstance(value, Mapping):
            prefix = "" if len(files) == 1 else f"{file}:"
            found.update({f"{prefix}{key}": number for key, number in numbers(value).items()})
        else:
            found.update(numbers({Path(file).stem: value}))
    return found
