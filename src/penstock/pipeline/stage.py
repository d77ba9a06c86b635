"""A stage and what it declares. How it is written down is `definition`; what it last did is `lockfile`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

OutputKind = Literal["out", "metric", "plot"]


@dataclass(frozen=True)
class StageOutput:
    """One declared output; `path` is relative to the stage's working directory."""

    path: str
    kind: OutputKind = "out"
    is_cached: bool = True
    is_persistent: bool = False
    is_pushed: bool = True
    remote: str | None = None


@dataclass(frozen=True)
class ParameterRef:
    """Keys of one parameter file a stage depends on; no keys means the whole file."""

    file: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """One step of a pipeline; paths are relative to `wdir`, which is relative to `dvc.yaml`."""

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

    @property
    def always_runs(self) -> bool:
        """Whether nothing can tell that the stage is up to date (DVC's callback stages)."""
        has_inputs = self.dependencies or self.parameters
        return self.is_always_changed or not (has_inputs or self.outputs)

    def place(self, path: str) -> str:
        """Return a declared path relative to the pipeline's directory, normalised.

        Example:
            >>> Stage("a", ("x",), wdir="src").place("../data/x.csv")
            'data/x.csv'
        """
        parts: list[str] = []
        for part in PurePosixPath(self.wdir, path).parts:
            if part == ".." and parts and parts[-1] != "..":
                parts.pop()
            elif part != ".":
                parts.append(part)
        return "/".join(parts) or "."
