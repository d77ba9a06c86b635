"""Reproduce pipelines: make what changed, in order, and lock each result.

Only the calling thread looks at the repository and writes to it; what runs at once are commands (`scheduling`). The
lock is written after every stage, so a killed run loses only the stages it was in; a stage's outputs enter the cache
before its lock entry names them.

Source: dvc/repo/reproduce.py, dvc/stage/__init__.py (3.67). Differs in that stages run at once.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from penstock.base.errors import PenstockError, Refused
from penstock.data.formats.output import Output
from penstock.data.repository import DataRepository
from penstock.pipeline.graph import Node, below, plan, reverse, upstream_of
from penstock.pipeline.lockfile import LockEntry, load_entries
from penstock.pipeline.lockwriting import LockWriter
from penstock.pipeline.making import (
    Bring,
    Work,
    begin,
    check_out,
    finish,
    missing_outputs,
    record_frozen,
    restore,
    store,
)
from penstock.pipeline.outputs import stage_outputs
from penstock.pipeline.pointer_steps import PointerStep, changes_of, list_pointer_steps, record_source
from penstock.pipeline.running.reproducing import IDLE, MADE, Action, ReproduceOptions, StageResult, Watcher
from penstock.pipeline.running.scheduling import Due, Schedule
from penstock.pipeline.stage import Stage
from penstock.pipeline.status import MISSING, Seen, StageStatus, stage_status
from penstock.pipeline.targets import choose

NOT_SEEN = "no recorded run made what is locked"


def reproduce(
    repo: DataRepository, stages: Sequence[Stage], options: ReproduceOptions, watcher: Watcher
) -> list[StageResult]:
    """Bring outputs up to date and return what was done, in order; of pointers, only those that changed.

    The caller holds the repository's lock, and may lend it while commands run (`ReproduceOptions.unlocked`).

    Raises:
        NotFound: a target or a dependency does not exist.
        Refused: a stage's command failed (code `pipeline.command_failed`), or some did and the rest was done; or one
            asks for more than there is.
        Invalid: an output was not made; stages overlap or go in a circle.
    """
    nodes: list[Stage | PointerStep] = [*stages, *list_pointer_steps(repo)]
    chosen = choose(repo.root, nodes, options.selection) if options.selection is not None else []
    if options.selection is not None and not chosen:
        return []
    graph: Sequence[Node] = nodes if options.extent != "single" else ()
    upstream = upstream_of(graph, active=True)
    steps = plan(nodes, chosen, options.extent, None if options.extent == "single" else upstream)
    return _Reproduction(repo, nodes, steps, upstream, options, watcher).go_through()


class _Reproduction:
    """One reproduction under way: what was made so far, what is forced and what has to be left out."""

    def __init__(
        self,
        repo: DataRepository,
        nodes: Sequence[Stage | PointerStep],
        steps: Sequence[Stage | PointerStep],
        upstream: dict[str, tuple[str, ...]],
        options: ReproduceOptions,
        watcher: Watcher,
    ) -> None:
        self.repo, self.options, self.watcher, self.steps = repo, options, watcher, steps
        stages = [node for node in nodes if isinstance(node, Stage)]
        self.entries = load_entries(repo.root, stages)
        self.upstream = upstream
        self.downstream = reverse(self.upstream)
        self.nodes = nodes
        self.seen: Seen = {}
        self.changed: set[str] = set()
        self.forced: set[str] = set()
        self.skipped: set[str] = set()
        self.failures: list[tuple[str, PenstockError]] = []
        self.results: dict[str, StageResult] = {}

    @cached_property
    def locks(self) -> LockWriter:
        """What writes the locks; asked for by the first stage that is made."""
        return LockWriter(
            [(self.repo.root / step.home, step.name) for step in self.steps if isinstance(step, Stage)]
        )

    @cached_property
    def outputs(self) -> list[Output]:
        """What all steps make, as it is locked when this is first asked for."""
        return [
            output
            for node in self.nodes
            for output in (
                node.outputs
                if isinstance(node, PointerStep)
                else stage_outputs(self.repo.root, node, self.entries.get(node.address))
            )
        ]

    @cached_property
    def made(self) -> dict[str, str]:
        """The md5 of what all steps make, by path: as locked, and of what was made since."""
        return {self.repo.relative(one.path): one.hash.md5 for one in self.outputs if one.hash is not None}

    def go_through(self) -> list[StageResult]:
        """Look at every step when what it needs is done, and return what was done in the order of the plan."""
        is_ordered = self.options.extent == "single"  # they run in the order given, whatever they need
        schedule = Schedule(self.steps, self.upstream, self.options, self.watcher, one_by_one=is_ordered)
        schedule.run(self)
        if self.failures and self.options.on_error != "ignore":
            raise self._failed()
        return [self.results[step.address] for step in self.steps if step.address in self.results]

    @property
    def is_stopping(self) -> bool:
        """Whether a failure ends it all."""
        return bool(self.failures) and self.options.on_error == "stop"

    def begin(self, at: int) -> Due | None:
        """Do what a step needs, but for running commands."""
        step = self.steps[at]
        if step.address in self.skipped:
            self._tell(StageResult(step.address, "skipped", 0.0, None))
            return None
        try:
            if isinstance(step, Stage):
                found = self._stage(step)
                if isinstance(found, Due):
                    return found
            else:
                found = self._source(step)
        except PenstockError as error:
            self._fail(step, error)
            return None
        if not (isinstance(step, PointerStep) and found.action in IDLE):
            self._tell(found)
            self._note(step, found)
        return None

    def end(self, due: Due, error: PenstockError | None) -> None:
        """Keep and lock what a stage's commands made."""
        stage = due.stage
        if error is None and due.started is not None:
            try:
                made = finish(due.started)
                self.locks.save(self.repo.root / stage.home, {stage.name: made})
            except PenstockError as problem:
                error = problem
            else:
                seconds = time.monotonic() - due.began
                result = StageResult(stage.address, "ran", seconds, made, tuple(due.reasons))
                self._tell(result)
                self._note(stage, result)
        if error is not None:
            self._fail(stage, error)

    def _fail(self, step: Stage | PointerStep, error: PenstockError) -> None:
        self.failures.append((step.address, error))
        if self.options.on_error == "keep going":
            self.skipped |= below(step.address, self.downstream)
        if self.options.on_error != "stop" or self.options.jobs > 1:
            self._tell(StageResult(step.address, "failed", 0.0, None, (error.message,)))

    def _tell(self, result: StageResult) -> None:
        self.results[result.stage] = result
        self.watcher.finished(result)

    def _note(self, step: Stage | PointerStep, result: StageResult) -> None:
        if result.action in MADE:
            self.changed.update(step.makes)
            if self.options.force_downstream:
                self.forced.update(self.downstream.get(step.address, ()))
        if isinstance(step, Stage) and result.entry is not None and result.action not in IDLE:
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

    def _stage(self, stage: Stage) -> StageResult | Due:
        options, began = self.options, time.monotonic()
        entry = self.entries.get(stage.address)
        status = stage_status(self.repo, self.repo.root, stage, entry, self.seen if options.dry else None)
        present = status.but_missing(entry, stage, self.made) if status.is_changed else status
        if options.allow_missing:
            status = present
        force = options.force or stage.address in self.forced
        pending = options.dry and not stage.is_frozen and any(path in self.changed for path in stage.reads)
        if stage.is_frozen and entry is not None and not status.outputs:
            return StageResult(stage.address, "frozen", 0.0, entry)
        unseen = entry is not None and options.is_seen is not None and not options.is_seen(entry)
        unseen = unseen and not stage.is_frozen
        if not (status.is_changed or force or pending or unseen):
            return StageResult(stage.address, "frozen" if stage.is_frozen else "up to date", 0.0, entry)
        reasons = tuple(status.reasons()) or (
            ("an input will change",) if pending else (NOT_SEEN,) if unseen and not force else ("forced",)
        )
        if options.dry:
            return StageResult(stage.address, self._would(stage, entry), 0.0, entry, reasons)
        is_taken = not force and not unseen
        if is_taken and options.bring is not None and not present.is_changed and self._bring_outputs(stage):
            return StageResult(stage.address, "pulled", time.monotonic() - began, entry, reasons)
        if options.confirm is not None and not options.confirm(stage.address):
            raise Refused(
                f"stage `{stage.address}` was not confirmed",
                code="pipeline.not_confirmed",
                stage=stage.address,
            )
        work = begin(self.repo, stage, commit=options.commit, bring=options.bring, is_seen=options.is_seen)
        taken = self._taken(work, None if unseen else entry, status, force=force)
        if taken is None:
            return Due(stage, work, reasons, began)
        action, made = taken
        self.locks.save(self.repo.root / stage.home, {stage.name: made})
        return StageResult(stage.address, action, time.monotonic() - began, made, reasons)

    def _would(self, stage: Stage, entry: LockEntry | None) -> Action:
        """Say what becomes of a stage that is not up to date."""
        if not stage.is_frozen:
            return "would run"
        is_brought = self.options.bring is not None and entry is not None
        return "would record" if is_brought or not missing_outputs(self.repo.root, stage) else "would fail"

    def _taken(
        self, work: Work, entry: LockEntry | None, status: StageStatus, *, force: bool
    ) -> tuple[Action, LockEntry] | None:
        """Take a stage's result from where it is already, and say from where; None if it has to be run."""
        options, stage = self.options, work.stage
        if stage.is_frozen:
            return "recorded", record_frozen(work, entry)
        if entry is not None and not force and status.only_outputs("deleted") and check_out(work, entry):
            return "checked out", entry
        if entry is not None and not force and status.only_outputs("not in cache") and store(work, entry):
            return "stored", entry
        if not force and options.bring is not None:
            self._bring_inputs(stage, options.bring)
        as_locked = entry if not replace(status, outputs={}).is_changed else None
        remembered = restore(work, as_locked) if options.run_cache and not force else None
        return ("restored", remembered) if remembered is not None else None

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
                bring([one for one in self.outputs if _overlaps(one, place)])

    def _failed(self) -> PenstockError:
        """Return what is raised after failures: what failed too, and what was not run, is named."""
        first, error = self.failures[0]
        failed = [name for name, _ in self.failures]
        left = [
            step.address
            for step in self.steps
            if isinstance(step, Stage) and step.address not in failed and self._is_left(step.address)
        ]
        others = ", ".join(f"`{name}`" for name in failed[1:])
        message = f"{error.message}; also failed: {others}" if others else error.message
        hint = error.hint or f"mend it, then penstock repro {shlex.quote(first)}"
        raised = Refused(
            message,
            code="pipeline.command_failed",
            hint=f"{hint}; not run: {_listed(left)}" if left else hint,
            stages=failed,
            skipped=left,
        )
        if not self.is_stopping:
            return raised
        error.message, error.args = message, (message,)
        error.hint = raised.hint if left else error.hint
        error.fields.update(not_run=left)
        return error

    def _is_left(self, address: str) -> bool:
        found = self.results.get(address)
        return found is None or found.action == "skipped"


def _overlaps(output: Output, place: Path) -> bool:
    return output.path.is_relative_to(place) or place.is_relative_to(output.path)


def _listed(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
