"""Reproduce a pipeline: run the stages whose inputs changed, in order, and lock each result.

The lock is written after every stage, so a killed run loses only the stage it was in; a stage's outputs
enter the cache before its lock entry names them.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from penstock.base.errors import Invalid, NotFound, PenstockError, Refused
from penstock.data.checkout import checkout_output
from penstock.data.gitignore import ignore_path
from penstock.data.hashing import hash_path, save_path
from penstock.data.objects import has
from penstock.data.output import HashInfo, Output
from penstock.data.repository import DataRepository
from penstock.pipeline.graph import order
from penstock.pipeline.lockfile import LockedPath, LockEntry, load_lock, save_lock
from penstock.pipeline.parameters import select_values
from penstock.pipeline.process import run_command
from penstock.pipeline.runcache import find_run, is_cacheable, restore_run, save_run
from penstock.pipeline.stage import Stage, StageOutput
from penstock.pipeline.status import StageStatus, command_of, stage_status

Action = Literal["ran", "up to date", "checked out", "restored", "frozen", "would run"]


@dataclass(frozen=True)
class StageResult:
    """What became of one stage; `entry` is its lock entry afterwards."""

    stage: str
    action: Action
    seconds: float
    entry: LockEntry | None
    reasons: tuple[str, ...] = ()


class Watcher(Protocol):
    """Is told how a reproduction goes."""

    def started(self, stage: Stage, reasons: Sequence[str]) -> None:
        """A stage's command is about to run."""

    def printed(self, stage: Stage, line: str) -> None:
        """The command printed a line."""

    def finished(self, result: StageResult) -> None:
        """A stage is done with."""


@dataclass(frozen=True)
class ReproduceOptions:
    """How to reproduce: `force` runs what is up to date, `single` leaves upstream stages alone.

    `run_cache` takes the result of an earlier run of the same inputs instead of running again.
    """

    targets: tuple[str, ...] = ()
    force: bool = False
    single: bool = False
    dry: bool = False
    run_cache: bool = True


def reproduce(
    repo: DataRepository,
    root: Path,
    stages: Sequence[Stage],
    options: ReproduceOptions,
    watcher: Watcher,
) -> list[StageResult]:
    """Bring the targets' outputs up to date and return what was done, in order.

    The caller holds the repository's lock.

    Raises:
        NotFound: a target or a dependency does not exist.
        Refused: a stage's command failed (code `pipeline.command_failed`).
        Invalid: an output was not made.
    """
    results: list[StageResult] = []
    changed: set[str] = set()
    for stage in order(stages, options.targets, single=options.single):
        entry = load_lock(root).get(stage.name)
        status = stage_status(repo, root, stage, entry)
        result = _reproduce_stage(_Work(repo, root, stage, options, watcher), entry, status, changed)
        if result.action in {"ran", "would run"}:
            changed.update(stage.place(output.path) for output in stage.outputs)
        watcher.finished(result)
        results.append(result)
    return results


@dataclass(frozen=True)
class _Work:
    repo: DataRepository
    root: Path
    stage: Stage
    options: ReproduceOptions
    watcher: Watcher


def _reproduce_stage(
    work: _Work, entry: LockEntry | None, status: StageStatus, changed: set[str]
) -> StageResult:
    stage, began = work.stage, time.monotonic()
    if stage.is_frozen and entry is not None:
        return StageResult(stage.name, "frozen", 0.0, entry)
    pending = work.options.dry and any(stage.place(path) in changed for path in stage.dependencies)
    if not (status.is_changed or work.options.force or pending):
        return StageResult(stage.name, "up to date", 0.0, entry)
    reasons = tuple(status.reasons()) or (("an input will change",) if pending else ("forced",))
    if work.options.dry:
        return StageResult(stage.name, "would run", 0.0, entry, reasons)
    if (
        entry is not None
        and not work.options.force
        and status.only_outputs_missing
        and _is_stored(work, entry)
    ):
        for output in _locked_outputs(work, entry):
            checkout_output(work.repo, output)
        return StageResult(stage.name, "checked out", time.monotonic() - began, entry, reasons)
    remembered = _find_remembered(work) if work.options.run_cache and not work.options.force else None
    if remembered is not None:
        restore_run(work.repo, work.root, stage, remembered)
        for declared in stage.outputs:
            if declared.is_cached:
                ignore_path(work.repo, work.root / stage.place(declared.path))
        save_lock(work.root, {stage.name: remembered})
        return StageResult(stage.name, "restored", time.monotonic() - began, remembered, reasons)
    entry = _run(work, reasons)
    save_run(work.repo, work.root, stage, entry)
    save_lock(work.root, {stage.name: entry})
    return StageResult(stage.name, "ran", time.monotonic() - began, entry, reasons)


def _find_remembered(work: _Work) -> LockEntry | None:
    stage = work.stage
    if not is_cacheable(stage):
        return None
    paths = sorted(output.path for output in stage.outputs)
    return find_run(work.repo, LockEntry(command_of(stage), *_inputs(work)), paths)


def _inputs(work: _Work) -> tuple[tuple[LockedPath, ...], dict[str, dict[str, Any]]]:
    directory = work.root / work.stage.wdir
    parameters = {ref.file: select_values(directory, ref) for ref in work.stage.parameters}
    return _hash_dependencies(work), parameters


def _locked_outputs(work: _Work, entry: LockEntry) -> list[Output]:
    declared = {output.path: output for output in work.stage.outputs}
    return [
        Output(
            path=work.root / work.stage.place(item.path),
            hash=item.hash,
            cached=True,
            push=declared[item.path].is_pushed,
            remote=declared[item.path].remote,
            source=f"dvc.yaml:{work.stage.name}",
        )
        for item in entry.outputs
        if item.path in declared and not (work.root / work.stage.place(item.path)).exists()
    ]


def _is_stored(work: _Work, entry: LockEntry) -> bool:
    cached = {output.path for output in work.stage.outputs if output.is_cached}
    missing = _locked_outputs(work, entry)
    uncached = [item for item in entry.outputs if item.path not in cached]
    if any(not (work.root / work.stage.place(item.path)).exists() for item in uncached):
        return False
    return all(output.hash is not None and has(work.repo, output.hash) for output in missing)


def _run(work: _Work, reasons: Sequence[str]) -> LockEntry:
    stage, root = work.stage, work.root
    directory = root / stage.wdir
    if not directory.is_dir():
        raise _fail(stage, f"its working directory {stage.wdir} does not exist")
    dependencies, parameters = _inputs(work)
    for output in stage.outputs:
        place = root / stage.place(output.path)
        if not output.is_persistent:
            _remove(place)
        place.parent.mkdir(parents=True, exist_ok=True)
    work.watcher.started(stage, reasons)
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line)
        del lines[:-20]
        work.watcher.printed(stage, line)

    for command in stage.commands:
        code = run_command(command, directory, on_line)
        if code != 0:
            raise Refused(
                f"stage `{stage.name}` failed: `{command}` exited with {code}",
                code="pipeline.command_failed",
                hint=f"mend it, then penstock repro {stage.name}",
                stage=stage.name,
                exit_code=code,
                output=lines[-20:],
            )
    after = _hash_dependencies(work)
    if after != dependencies:
        moved = [item.path for item, now in zip(dependencies, after, strict=True) if item != now]
        raise _fail(stage, f"{', '.join(moved)} changed while it ran")
    outputs = tuple(
        LockedPath(item.path, _keep(work, item)) for item in sorted(stage.outputs, key=lambda o: o.path)
    )
    return LockEntry(command_of(stage), dependencies, parameters, outputs)


def _hash_dependencies(work: _Work) -> tuple[LockedPath, ...]:
    found = []
    for path in sorted(work.stage.dependencies):
        try:
            found.append(LockedPath(path, hash_path(work.repo, work.root / work.stage.place(path))))
        except NotFound:
            raise NotFound(
                f"stage `{work.stage.name}` depends on {path}, which does not exist",
                code="pipeline.no_dependency",
                hint="penstock pull, or mend `deps` in dvc.yaml",
                stage=work.stage.name,
                path=path,
            ) from None
    return tuple(found)


def _keep(work: _Work, output: StageOutput) -> HashInfo:
    place = work.root / work.stage.place(output.path)
    if not place.exists():
        raise _fail(work.stage, f"its command made no {output.path}")
    if not output.is_cached:
        return hash_path(work.repo, place)
    ignore_path(work.repo, place)
    return save_path(work.repo, place)


def _fail(stage: Stage, problem: str) -> PenstockError:
    return Invalid(
        f"stage `{stage.name}`: {problem}",
        code="pipeline.bad_result",
        hint=f"mend the stage in dvc.yaml, then penstock repro {stage.name}",
        stage=stage.name,
    )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
