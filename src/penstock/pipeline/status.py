"""Whether a stage's result still stands: its inputs and outputs against the lock."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.base.errors import NotFound
from penstock.data.hashing import hash_path
from penstock.data.output import HashInfo
from penstock.data.repository import DataRepository
from penstock.pipeline.lockfile import LockEntry
from penstock.pipeline.parameters import select_values
from penstock.pipeline.stage import Stage


@dataclass(frozen=True)
class StageStatus:
    """What differs from the lock; empty when the stage is up to date.

    Paths are relative to the pipeline's directory; a change is `new`, `deleted` or `modified`. Parameters
    are told by file and key; a file that is missing has its own change instead of keys.
    """

    command_changed: bool = False
    always_changed: bool = False
    never_ran: bool = False
    dependencies: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, dict[str, str] | str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def is_changed(self) -> bool:
        """Whether the stage has to run."""
        return bool(
            self.command_changed
            or self.always_changed
            or self.never_ran
            or self.dependencies
            or self.parameters
            or self.outputs
        )

    @property
    def only_outputs_missing(self) -> bool:
        """Whether nothing but absent outputs differs, so that the cache can answer instead of a run."""
        rest = (
            self.command_changed
            or self.always_changed
            or self.never_ran
            or self.dependencies
            or self.parameters
        )
        return not rest and bool(self.outputs) and set(self.outputs.values()) == {"deleted"}

    def reasons(self) -> list[str]:
        """Say in words what changed, most telling first."""
        words = [f"{path} {change}" for path, change in self.dependencies.items()]
        for file, changes in self.parameters.items():
            keys = {"": changes} if isinstance(changes, str) else changes
            words += [f"{file}{':' if key else ''}{key} {change}" for key, change in keys.items()]
        if self.command_changed:
            words.append("the command changed")
        if self.never_ran:
            words.append("it never ran")
        if self.always_changed:
            words.append("it always runs")
        words += [f"{path} {change}" for path, change in self.outputs.items()]
        return words

    def to_document(self) -> list[Any]:
        """Return the list that `dvc status --json` shows for a stage."""
        document: list[Any] = []
        if self.dependencies or self.parameters:
            document.append({"changed deps": {**self.dependencies, **self.parameters}})
        if self.outputs:
            document.append({"changed outs": self.outputs})
        if self.command_changed:
            document.append("changed command")
        if self.always_changed:
            document.append("always changed")
        return document


def current_hash(repo: DataRepository, root: Path, stage: Stage, path: str) -> HashInfo | None:
    """Return the hash of a declared path as it is in the workspace, or None when it is missing."""
    try:
        return hash_path(repo, root / stage.place(path))
    except NotFound:
        return None


def stage_status(repo: DataRepository, root: Path, stage: Stage, entry: LockEntry | None) -> StageStatus:
    """Compare a stage with its lock entry; changes nothing.

    Raises:
        NotFound: a parameter file does not exist.
    """
    if stage.is_frozen and entry is not None:
        return StageStatus()
    if entry is None:
        dependencies = {stage.place(path): _presence(root, stage, path) for path in stage.dependencies}
        outputs = {stage.place(output.path): _presence(root, stage, output.path) for output in stage.outputs}
        return StageStatus(never_ran=True, dependencies=dependencies, outputs=outputs)
    locked_dependencies = {item.path: item.hash for item in entry.dependencies}
    locked_outputs = {item.path: item.hash for item in entry.outputs}
    return StageStatus(
        command_changed=entry.command != command_of(stage),
        always_changed=stage.always_runs,
        dependencies=_changes(repo, root, stage, stage.dependencies, locked_dependencies),
        parameters=_parameter_changes(root, stage, entry),
        outputs=_changes(repo, root, stage, tuple(item.path for item in stage.outputs), locked_outputs),
    )


def command_of(stage: Stage) -> str | tuple[str, ...]:
    """Return the command as the lock holds it: a text, or a list where it was written as one."""
    return stage.commands if stage.is_command_list else stage.commands[0]


def _presence(root: Path, stage: Stage, path: str) -> str:
    return "new" if (root / stage.place(path)).exists() else "deleted"


def _changes(
    repo: DataRepository,
    root: Path,
    stage: Stage,
    paths: tuple[str, ...],
    locked: dict[str, HashInfo],
) -> dict[str, str]:
    changes = {}
    for path in paths:
        now = current_hash(repo, root, stage, path)
        before = locked.get(path)
        if now is None:
            changes[stage.place(path)] = "deleted"
        elif before is None:
            changes[stage.place(path)] = "new"
        elif (now.md5, now.isexec) != (before.md5, before.isexec):
            changes[stage.place(path)] = "modified"
    return changes


def _parameter_changes(root: Path, stage: Stage, entry: LockEntry) -> dict[str, dict[str, str] | str]:
    changes: dict[str, dict[str, str] | str] = {}
    for ref in stage.parameters:
        file = stage.place(ref.file)
        if not (root / file).is_file():
            changes[file] = "deleted"
            continue
        now = select_values(root / stage.wdir, ref)
        before = dict(entry.parameters.get(ref.file, {}))
        keys = {key: _change(now, before, key) for key in sorted({*now, *before, *ref.keys}, key=str)}
        differing = {str(key): change for key, change in keys.items() if change is not None}
        if differing:
            changes[file] = differing
    return changes


def _change(now: dict[str, Any], before: dict[str, Any], key: str) -> str | None:
    if key not in now:
        return "deleted"
    if key not in before:
        return "new"
    return "modified" if now[key] != before[key] else None
