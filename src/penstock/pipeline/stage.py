"""A stage and what it declares. How it is written down is `definition`; what it last did is `lockfile`."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal

from penstock.data.pointers.metafiles import DEFINITION_FILE
from penstock.pipeline.running.conditions import NONE, Conditions

OutputKind = Literal["out", "metric", "plot"]


@dataclass(frozen=True)
class StageOutput:
    """One declared output; `path` is relative to the stage's working directory, `display` says how a plot is drawn."""

    path: str
    kind: OutputKind = "out"
    is_cached: bool = True
    is_persistent: bool = False
    is_pushed: bool = True
    remote: str | None = None
    display: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class ParameterRef:
    """Keys of one parameter file a stage depends on; no keys means the whole file."""

    file: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """One step of a pipeline; paths are relative to `wdir`, which is relative to `dvc.yaml`.

    `home` is where its `dvc.yaml` is, relative to the root; empty for the root itself.
    """

    name: str
    commands: tuple[str, ...]
    is_command_list: bool = False
    wdir: str = "."
    dependencies: tuple[str, ...] = ()
    parameters: tuple[ParameterRef, ...] = ()
    outputs: tuple[StageOutput, ...] = ()
    is_frozen: bool = False
    is_always_changed: bool = False
    description: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    home: str = ""
    conditions: Conditions = NONE

    @property
    def always_runs(self) -> bool:
        """Whether nothing can tell that the stage is up to date (DVC's callback stages)."""
        has_inputs = self.dependencies or self.parameters
        return self.is_always_changed or not (has_inputs or self.outputs)

    @property
    def file(self) -> str:
        """Where it is defined, relative to the root."""
        return f"{self.home}/{DEFINITION_FILE}" if self.home else DEFINITION_FILE

    @cached_property
    def address(self) -> str:
        """What it is called in the whole repository: its name, after its file when that is not the root's."""
        return f"{self.file}:{self.name}" if self.home else self.name

    @property
    def directory(self) -> str:
        """The directory its commands run in, relative to the root."""
        return self.place(".")

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """The files and directories it depends on, relative to the root."""
        return tuple(map(self.place, self.dependencies))

    @cached_property
    def makes(self) -> tuple[str, ...]:
        """Its outputs, relative to the root."""
        return tuple(self.place(output.path) for output in self.outputs)

    def place(self, path: str) -> str:
        """Return a declared path relative to the root, normalised.

        Example:
            >>> Stage("a", ("x",), wdir="src", home="sub").place("../data/x.csv")
            'sub/data/x.csv'
        """
        return _placed(self.home, self.wdir, path)


@lru_cache(maxsize=1 << 16)  # each path of a pipeline is asked for about ten times
def _placed(home: str, wdir: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(home, wdir, path))
