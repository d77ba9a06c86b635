"""What a reproduction is asked, tells and returns. How it goes is `runner`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from penstock.pipeline.executors.role import Executor
from penstock.pipeline.graph import Extent
from penstock.pipeline.lockfile import LockEntry
from penstock.pipeline.making import Bring, IsSeen
from penstock.pipeline.stage import Stage
from penstock.pipeline.targets import Selection

Unlocked = Callable[[], AbstractContextManager[object]]

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
    "would fail",
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

    def retried(self, stage: Stage, why: str, left: int) -> None:
        """An attempt at the command failed, and another begins; so many are left then."""

    def finished(self, result: StageResult) -> None:
        """A stage is done with."""


@dataclass(frozen=True)
class ReproduceOptions:
    """What to reproduce, and how.

    `selection` None means every pipeline. `force` runs what is up to date, `force_downstream` what depends on what
    ran. `run_cache` takes the result of an earlier run of the same inputs instead of running again. `commit` puts
    outputs into the cache. `allow_missing` leaves alone what is only missing, `bring` fetches it. After a failure,
    `on_error` stops, goes on with what does not depend on it, or goes on with everything. `confirm` is asked before a
    stage is made. `unlocked` is entered while it waits for commands: others may have the repository then. Up to `jobs`
    stages run at once, by `executor`, or by this machine; what each printed goes to a file in `logs`, if that is given.
    `is_seen` says of a result whether it was seen to be made by running: no other is taken then, from the lock or the
    run cache; its stage runs.
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
    jobs: int = 1
    executor: Executor | None = None
    logs: Path | None = None
    is_seen: IsSeen | None = None
