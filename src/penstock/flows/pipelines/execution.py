"""Reproduce the pipeline and record it as a run."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from penstock.base.clock import now_ms
from penstock.base.errors import Invalid, PenstockError
from penstock.data.rwlock import check_free
from penstock.flows.models.provenance import capture_code, data_digests, keep_locks
from penstock.flows.pipelines.lineage_events import watch_run
from penstock.flows.pipelines.looking import SILENT, Look, looked
from penstock.flows.pipelines.recording import (
    PROCESS_TAG,
    find_run_of_lock,
    process_value,
    record_begin,
    record_end,
)
from penstock.pipeline.lockfile import load_entries, lock_digest
from penstock.pipeline.parameters import flatten, numbers, parse_any
from penstock.pipeline.runner import reproduce
from penstock.pipeline.running.reproducing import IDLE, ReproduceOptions, StageResult, Watcher
from penstock.pipeline.running.survivors import end_survivors
from penstock.pipeline.stage import Stage
from penstock.project.project import Project
from penstock.tracking.entities import RAN, SOURCE_TAG, Run, RunStatus, StageRecord
from penstock.tracking.quick_runs import Ending
from penstock.tracking.run_names import new_run_id


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
    renewed = {item.stage for item in look.planned if item.action == "would record"}
    run = _start(project, origin, renewed)
    told = watch_run(project, run, watcher)
    if told is not None:
        told.begin(run)
    noting = _Noting(told or watcher)
    lent = replace(options, unlocked=look.lock.lent)
    try:
        results = reproduce(project.data, look.stages, lent, noting)
    except (PenstockError, KeyboardInterrupt) as error:
        if told is not None:
            told.end(run, str(error) or "interrupted")
        status: RunStatus = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
        tags = {"penstock.error": str(error) or "interrupted"}
        ran = _records(look.stages, [one for one in noting.results if one.action == RAN])
        record_end(project, run, Ending(status=status, tags=tags, stages=ran))
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
    return None if digest is None else find_run_of_lock(project, digest)


def _start(project: Project, origin: Origin | None, renewed: Collection[str]) -> Run:
    code = capture_code(project)
    name = f"repro-{code.commit[:7] if code.commit else 'uncommitted'}"
    origin = origin or Origin("repro", name)
    run = Run(
        id=new_run_id(),
        experiment=project.name,
        name=origin.name,
        status="RUNNING",
        start_ms=now_ms(),
        commit=code.commit,
        dirty_digest=code.dirty_digest,
        tags={
            "penstock.actor": project.actor,
            SOURCE_TAG: origin.source,
            PROCESS_TAG: process_value(),
            **origin.tags,
        },
        inputs=data_digests(project, renewed),
    )
    record_begin(project, run)
    return run


@dataclass
class _Noting:
    """Tells another watcher, and notes what was done: of a reproduction that fails later, too."""

    watcher: Watcher
    results: list[StageResult] = field(default_factory=list)

    def started(self, stage: Stage, reasons: Sequence[str]) -> None:
        self.watcher.started(stage, reasons)

    def printed(self, stage: Stage, line: str) -> None:
        self.watcher.printed(stage, line)

    def retried(self, stage: Stage, why: str, left: int) -> None:
        self.watcher.retried(stage, why, left)

    def finished(self, result: StageResult) -> None:
        self.results.append(result)
        self.watcher.finished(result)


def _records(stages: Sequence[Stage], results: Sequence[StageResult]) -> tuple[StageRecord, ...]:
    addresses = {stage.address for stage in stages}
    return tuple(
        StageRecord(item.stage, item.entry.digest if item.entry else "", item.action, item.seconds)
        for item in results
        if item.stage in addresses
    )


def _finish(project: Project, run: Run, stages: tuple[Stage, ...], results: list[StageResult]) -> Run:
    ending = Ending(
        status="FINISHED",
        params=_parameters(project.root, stages),
        metrics=dict(load_metrics(project.root, stages)),
        stages=_records(stages, results),
        lock_digest=keep_locks(project),
    )
    return record_end(project, run, ending)


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
