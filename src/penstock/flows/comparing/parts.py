"""The parts of which a difference between two commits may be made, and the files that belong to each.

Every file that differs belongs to one part: what a pointer tracks and tables that stages read are data, files that
stages name under `params` are parameters, the lock is a result, and all else is code.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from penstock.data.pointers.metafiles import SUFFIX
from penstock.flows.comparing.differences import changed_files
from penstock.flows.pipelines.snapshot import Snapshot, at_revision
from penstock.pipeline.definition import DEFAULT_PARAMETER_FILE, load_all_stages
from penstock.pipeline.lockfile import LOCK_FILE
from penstock.pipeline.running.code_names import is_code
from penstock.project.project import Project

Kind = Literal["data", "parameters", "code"]
KINDS: tuple[Kind, ...] = ("data", "parameters", "code")


@dataclass(frozen=True)
class Part:
    """What is swapped at once; `files` are relative to the project's root, sorted."""

    name: str
    kind: Kind
    files: tuple[str, ...]


def find_parts(project: Project, first: str, second: str, *, by_file: bool = False) -> tuple[Part, ...]:
    """Return the parts in which two commits differ, data first; none where only results do.

    Args:
        by_file: let every file of data and of parameters be a part of its own.
    """
    read: set[str] = set()
    parameters = {DEFAULT_PARAMETER_FILE}
    made: set[str] = set()
    for commit in (first, second):
        with at_revision(project.data, commit) as snapshot:
            _collect(snapshot, read, parameters, made)
    by_kind: dict[Kind, list[str]] = {kind: [] for kind in KINDS}
    for file in changed_files(project, first, second):
        kind = _kind(file, read, parameters, made)
        if kind is not None:
            by_kind[kind].append(file)
    return tuple(
        part for kind in KINDS for part in _parts(kind, by_kind[kind], is_split=by_file and kind != "code")
    )


def _collect(snapshot: Snapshot, read: set[str], parameters: set[str], made: set[str]) -> None:
    for stage in load_all_stages(snapshot.repo):
        read.update(stage.reads)
        made.update(stage.makes)
        parameters.update(stage.place(ref.file) for ref in stage.parameters)


def _kind(file: str, read: set[str], parameters: set[str], made: set[str]) -> Kind | None:
    path = PurePosixPath(file)
    around = {file, *(parent.as_posix() for parent in path.parents)}
    if path.name == LOCK_FILE or around & made:
        return None
    if path.suffix == SUFFIX:
        return "data"
    if file in parameters:
        return "parameters"
    return "data" if around & read and not is_code(path.name) else "code"


def _parts(kind: Kind, files: list[str], *, is_split: bool) -> list[Part]:
    if not files:
        return []
    if not is_split:
        return [Part(kind, kind, tuple(files))]
    return [Part(file.removesuffix(SUFFIX), kind, (file,)) for file in files]
