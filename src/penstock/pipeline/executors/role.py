"""The role of an executor: it runs the commands of stages, and tells how that goes.

It decides nothing: when a stage runs, whether it is tried again, and what becomes of its outputs is `scheduling`'s and
`making`'s. `tests/contracts/test_executors.py` holds every implementation to this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from penstock.pipeline.running.conditions import Resources

Ending = Literal["done", "failed", "timed out", "lost"]


@dataclass(frozen=True)
class Task:
    """One attempt at a stage's commands, one after the other, in `directory` below `root`.

    `reads` and `makes` are relative to `root`: what has to be there before, and what is there afterwards.
    """

    name: str
    commands: tuple[str, ...]
    root: Path
    directory: str = "."
    reads: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    """Outputs that are there before too: what the stage made last is added to."""
    variables: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = field(default_factory=Resources)
    timeout_s: float | None = None


@dataclass(frozen=True)
class Printed:
    """A command of a task printed a line."""

    name: str
    line: str


@dataclass(frozen=True)
class Ended:
    """A task's attempt is over: `lost` when what ran it is gone, through no fault of the command."""

    name: str
    ending: Ending
    command: str = ""
    exit_code: int | None = None
    detail: str = ""


Message = Printed | Ended
Tell = Callable[[Message], None]


class Executor(Protocol):
    """Runs tasks, several at once.

    `tell` is called from any thread, for one task with its lines in order and then `Ended`, once. What a task started
    does not outlive it where it is cancelled or out of time.
    """

    @property
    def name(self) -> str:
        """What it is called on the command line."""

    def check(self, task: Task) -> None:
        """Make sure that there can ever be room for the task.

        Raises:
            Refused: no machine has so much (code `pipeline.infeasible`).
            Unavailable: the cluster does not answer.
        """

    def submit(self, task: Task, tell: Tell) -> None:
        """Begin the task, or let it wait for room; returns at once."""

    def cancel(self) -> None:
        """End all that runs, with everything it started, and let nothing more begin; returns when that is done."""

    def close(self) -> None:
        """Let go of what it holds. It may be called twice."""
