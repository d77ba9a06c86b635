"""Data that no stage makes: pointers as the first steps of a pipeline.

A reproduction records what changed in them, as `penstock commit` would, before what reads them runs.

Source: dvc/stage/__init__.py, `Stage.reproduce` and `Stage.run` (3.67).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from penstock.base.errors import NotFound
from penstock.data.formats.output import Output
from penstock.data.pointers.pointer import Pointer, list_pointers
from penstock.data.repository import DataRepository
from penstock.data.verbs.adding import commit_pointer
from penstock.data.verbs.status import State, output_state


@dataclass(frozen=True)
class PointerStep:
    """A pointer as a step; `file` and `makes` are relative to the root."""

    pointer: Pointer
    file: str
    makes: tuple[str, ...]
    reads: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The pointer file's own name."""
        return self.pointer.path.name

    @property
    def address(self) -> str:
        """The pointer file, relative to the root."""
        return self.file

    @property
    def is_frozen(self) -> bool:
        """Whether the pointer says so, as imports do."""
        return self.pointer.frozen

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What the pointer tracks."""
        return self.pointer.outputs


def list_pointer_steps(repo: DataRepository) -> list[PointerStep]:
    """Return every pointer of the repository as a step."""
    return [
        PointerStep(
            pointer,
            repo.relative(pointer.path),
            tuple(repo.relative(output.path) for output in pointer.outputs),
        )
        for pointer in list_pointers(repo)
    ]


def changes_of(repo: DataRepository, source: PointerStep) -> dict[str, State]:
    """Return what differs from the pointer by path; an import that was never downloaded is left alone."""
    states = {
        output.path: output_state(repo, output)
        for output in source.outputs
        if not (output.hash is None and source.pointer.dependencies)
    }
    return {repo.relative(path): state for path, state in states.items() if state != "unchanged"}


def record_source(
    repo: DataRepository, source: PointerStep, bring: Callable[[Sequence[Output]], None] | None = None
) -> None:
    """Record what a pointer's paths hold now; what is missing is brought first where that is asked for.

    Raises:
        NotFound: data are missing.
    """
    missing = [output for output in source.outputs if not output.path.exists()]
    if missing and bring is not None:
        bring(missing)
        missing = [output for output in missing if not output.path.exists()]
    if missing:
        path = repo.relative(missing[0].path)
        raise NotFound(
            f"{path}, which {source.file} tracks, is missing",
            code="data.path_missing",
            hint=f"penstock pull {shlex.quote(path)}, or penstock repro --pull",
            path=path,
        )
    commit_pointer(repo, source.pointer)
