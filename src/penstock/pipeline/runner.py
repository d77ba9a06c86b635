"""Reproduce pipelines: make what changed, in order, and lock each result.

The lock is written after every stage, so a killed run loses only the stage it was in; a stage's outputs
enter the cache before its lock entry names them.

Source: dvc/repo/reproduce.py, dvc/stage/__init__.py (3.67).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from penstock.base.errors import PenstockError, Refused
from penstock.data.formats.output import Output
from penstock.data.repository import DataRepository
from penstock.pipeline.graph import Extent, Node, below, plan, reverse, upstream_of
from penstock.pipeline.lockfile import LockEntry, load_entries, save_lock
from penstock.pipeline.making import Bring, Unlocked, begin, check_out, record_frozen, restore, run, store
from penstock.pipeline.outputs import stage_outputs
from penstock.pipeline.pointer_steps import PointerStep, changes_of, list_pointer_steps, record_source
from penstock.pipeline.stage import Stage
from penstock.pipeline.status import MISSING, StageStatus, stage_status
from penstock.pipeline.targets import Selection, choose

Action = Literal[
    "ran",
    "up to date",
    "checked out",
    "restored",
    "stored",
    "pulled",
    "recorded",
    "frozen",
    "failed",
    "skipped",
    "would run",
    "would record",
]
IDLE: frozenset[Action] = frozenset({"up to date", "frozen"})  # nothing was, or has to be, done
MADE: frozenset[Action] = frozenset({"ran", "restored", "recorded", "would run", "would record"})


@dataclass(frozen=True)
class StageResult:
    """What became of one step; `entry` is a stage's lock entry afterwards."""

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
    """What to reproduce, and how.

    `selection` None means every pipeline. `force` runs what is up to date, `force_downstream` what depends on what
    ran. `run_cache` takes the result of an earlier run of the same inputs instead of running again. `commit` puts
    outputs into the cache. `allow_missing` leaves alone what is only missing, `bring` fetches it. After a failure,
    `on_error` stops, goes on with what does not depend on it, or goes on with everything. `confirm` is asked before a
    stage is made. `unlocked` is entered while a command runs: others may have the repository then.
    """

    selection: Selection | None = field(default_factory=Selection)
    extent: Extent = "upstream"
    force: bool = False
    force_downstream: bool = False
    dry: bool = False
    run_cache: bool = True
    commit: bool = True
    allow_missing: bool = False
    bring: Bring | None = None
    on_error: Literal["stop", "keep going", "ignore"] = "stop"
    confirm: Callable[[str], bool] | None = None
    unlocked: Unlocked = nullcontext


def reproduce(
    repo: DataRepository, stages: Sequence[Stage], options: ReproduceOptions, watcher: Watcher
) -> list[StageResult]:
    """Bring outputs up to date and return what was done, in order; of pointers, only those that changed.

    The caller holds the repository's lock, and may lend it while commands run (`ReproduceOptions.unlocked`).

    Raises:
        NotFound: a target or a dependency does not exist.
        Refused: a stage's command failed (code `pipeline.command_failed`), or some did and the rest was done.
        Invalid: an output was not made; stages overlap or go in a circle.
    """
    nodes: list[Stage | PointerStep] = [*stages, *list_pointer_steps(repo)]
    chosen = choose(repo.root, nodes, options.selection) if options.selection is not None else []
    if options.selection is not None and not chosen:
        return []
    steps = plan(nodes, chosen, options.extent)
    return _Reproduction(repo, nodes, options, watcher).go_through(steps)


class _Reproduction:
    """One reproduction under way: what was made so far, what is forced and what has to be left out."""

    def __init__(
        self,
        repo: DataRepository,
        nodes: Sequence[Stage | PointerStep],
        options: ReproduceOptions,
        watcher: Watcher,
    ) -> None:
        self.repo, self.options, self.watcher = repo, options, watcher
        stages = [node for node in nodes if isinstance(node, Stage)]
        self.entries = load_entries(repo.root, stages)
        graph: Sequence[Node] = nodes if options.extent != "single" else ()
        self.downstream = reverse(upstream_of(graph, active=True))
        self.outputs = [
            output
            for node in nodes
            for output in (
                node.outputs
                if isinstance(node, PointerStep)
                else stage_outputs(repo.root, node, self.entries.get(node.address))
            )
        ]
        self.made = {repo.relative(one.path): one.hash.md5 for one in self.outputs if one.hash is not None}
        self.changed: set[str] = set()
        self.forced: set[str] = set()

    def go_through(self, steps: Sequence[Stage | PointerStep]) -> list[StageResult]:
        results: list[StageResult] = []
        skipped: set[str] = set()
        failures: list[tuple[str, PenstockError]] = []
        for step in steps:
            if step.address in skipped:
                results.append(self._tell(StageResult(step.address, "skipped", 0.0, None)))
                continue
            try:
                result = self._source(step) if isinstance(step, PointerStep) else self._stage(step)
            except PenstockError as error:
                if self.options.on_error == "stop":
                    raise
                failures.append((step.address, error))
                if self.options.on_error == "keep going":
                    skipped |= below(step.address, self.downstream)
                result = StageResult(step.address, "failed", 0.0, None, (error.message,))
            if isinstance(step, PointerStep) and result.action in IDLE:
                continue
            results.append(self._tell(result))
            self._note(step, result)
        if failures and self.options.on_error == "keep going":
            raise _failed(failures, results)
        return results

    def _tell(self, result: StageResult) -> StageResult:
        self.watcher.finished(result)
        return result

    def _note(self, step: Stage | PointerStep, result: StageResult) -> None:
        if result.action in MADE:
            self.changed.update(step.makes)
            if self.options.force_downstream:
                self.forced.update(self.downstream.get(step.address, ()))
        if isinstance(step, Stage) and result.entry is not None:
            self.made.update({step.place(item.path): item.hash.md5 for item in result.entry.outputs})

    def _source(self, source: PointerStep) -> StageResult:
        changes = changes_of(self.repo, source)
        if self.options.allow_missing:
            changes = {path: state for path, state in changes.items() if state not in MISSING}
        if not changes:
            return StageResult(source.address, "up to date", 0.0, None)
        reasons = tuple(f"{path} {state}" for path, state in changes.items())
        if self.options.dry:
            return StageResult(source.address, "would record", 0.0, None, reasons)
        record_source(self.repo, source, self.options.bring)
        return StageResult(source.address, "recorded", 0.0, None, reasons)

    def _stage(self, stage: Stage) -> StageResult:
        options, began = self.options, time.monotonic()
        entry = self.entries.get(stage.address)
        status = stage_status(self.repo, self.repo.root, stage, entry)
        present = status.but_missing(entry, stage, self.made)
        if options.allow_missing:
            status = present
        force = options.force or stage.address in self.forced
        pending = options.dry and not stage.is_frozen and any(path in self.changed for path in stage.reads)
        if stage.is_frozen and entry is not None and not status.outputs:
            return StageResult(stage.address, "frozen", 0.0, entry)
        if not (status.is_changed or force or pending):
            return StageResult(stage.address, "frozen" if stage.is_frozen else "up to date", 0.0, entry)
        reasons = tuple(status.reasons()) or (("an input will change",) if pending else ("forced",))
        if options.dry:
            would: Action = "would record" if stage.is_frozen else "would run"
            return StageResult(stage.address, would, 0.0, entry, reasons)
        if not force and options.bring is not None and not present.is_changed and self._bring_outputs(stage):
            return StageResult(stage.address, "pulled", time.monotonic() - began, entry, reasons)
        if options.confirm is not None and not options.confirm(stage.address):
            raise Refused(
                f"stage `{stage.address}` was not confirmed",
                code="pipeline.not_confirmed",
                stage=stage.address,
            )
        action, made = self._make(stage, entry, status, reasons, force=force)
        save_lock(self.repo.root / stage.home, {stage.name: made})
        return StageResult(stage.address, action, time.monotonic() - began, made, reasons)

    def _make(
        self,
        stage: Stage,
        entry: LockEntry | None,
        status: StageStatus,
        reasons: Sequence[str],
        *,
        force: bool,
    ) -> tuple[Action, LockEntry]:
        options = self.options
        work = begin(self.repo, stage, commit=options.commit, bring=options.bring, unlocked=options.unlocked)
        if stage.is_frozen:
            return "recorded", record_frozen(work, entry)
        if entry is not None and not force and status.only_outputs("deleted") and check_out(work, entry):
            return "checked out", entry
        if entry is not None and not force and status.only_outputs("not in cache") and store(work, entry):
            return "stored", entry
        if not force and options.bring is not None:
            self._bring_inputs(stage, options.bring)
        remembered = restore(work) if options.run_cache and not force else None
        if remembered is not None:
            return "restored", remembered
        self.watcher.started(stage, reasons)
        return "ran", run(work, lambda line: self.watcher.printed(stage, line))

    def _bring_outputs(self, stage: Stage) -> bool:
        outputs = stage_outputs(self.repo.root, stage, self.entries.get(stage.address))
        if self.options.bring is None:
            return False
        with suppress(PenstockError):  # then it is made
            self.options.bring(outputs)
        return all(output.path.exists() for output in outputs)

    def _bring_inputs(self, stage: Stage, bring: Bring) -> None:
        for path in stage.reads:
            place = self.repo.root / path
            if not place.exists():
                bring([one for one in self.outputs if _overlaps(one, place) and one.hash is not None])


def _overlaps(output: Output, place: Path) -> bool:
    return output.path.is_relative_to(place) or place.is_relative_to(output.path)


def _failed(failures: Sequence[tuple[str, PenstockError]], results: Sequence[StageResult]) -> Refused:
    first, error = failures[0]
    others = ", ".join(f"`{name}`" for name, _ in failures[1:])
    return Refused(
        f"{error.message}; so did {others}" if others else error.message,
        code="pipeline.command_failed",
        hint=error.hint or f"mend it, then penstock repro {first}",
        stages=[name for name, _ in failures],
        skipped=[item.stage for item in results if item.action == "skipped"],
    )
