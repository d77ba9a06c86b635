"""Whether a stage's result still stands: its inputs and outputs against the lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from penstock.base.errors import NotFound
from penstock.data.cache.hashing import hash_path
from penstock.data.cache.presence import has
from penstock.data.formats.output import HashInfo
from penstock.data.repository import DataRepository
from penstock.pipeline.lockfile import LockEntry
from penstock.pipeline.parameters import is_same, select_values
from penstock.pipeline.stage import Stage

Seen = dict[str, HashInfo | None]
"""Hashes of paths relative to the root; None is what is missing."""
MISSING = frozenset({"deleted", "not in cache"})


@dataclass(frozen=True)
class StageStatus:
    """What differs from the lock; empty when the stage is up to date.

    Paths are relative to the root; a change is `new`, `deleted`, `modified` or, of an output, `not in cache`.
    Parameters are told by file and key; a file that is missing has its own change instead of keys.
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

    def only_outputs(self, *states: str) -> bool:
        """Whether nothing but outputs differs, and all of those in one of the given ways."""
        rest = replace(self, outputs={})
        return not rest.is_changed and bool(self.outputs) and set(self.outputs.values()) <= set(states)

    def but_missing(self, entry: LockEntry | None, stage: Stage, made: Mapping[str, str]) -> StageStatus:
        """Return the status with what is only missing left out.

        Args:
            entry: what the stage ran with.
            stage: the stage itself.
            made: the md5 that other steps recorded of their outputs, by path. What is missing counts as modified where
                the stage ran with another content.
        """
        ran_with = {stage.place(item.path): item.hash.md5 for item in entry.dependencies} if entry else {}
        dependencies = {
            path: "modified" if change == "deleted" else change
            for path, change in self.dependencies.items()
            if change != "deleted" or made.get(path, ran_with.get(path)) != ran_with.get(path)
        }
        outputs = {path: change for path, change in self.outputs.items() if change not in MISSING}
        return replace(self, dependencies=dependencies, outputs=outputs)

    def reasons(self) -> list[str]:
        """Say in words what changed, most telling first."""
        if self.never_ran:
            return ["it never ran"]
        words = [f"{path} {change}" for path, change in self.dependencies.items()]
        for file, changes in self.parameters.items():
            keys = {"": changes} if isinstance(changes, str) else changes
            words += [f"{file}{':' if key else ''}{key} {change}" for key, change in keys.items()]
        if self.command_changed:
            words.append("the command changed")
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


def current_hash(
    repo: DataRepository, root: Path, stage: Stage, path: str, seen: Seen | None = None
) -> HashInfo | None:
    """Return the hash of a declared path as it is in the workspace, or None when it is missing."""
    place = stage.place(path)
    if seen is not None and place in seen:
        return seen[place]
    try:
        found = hash_path(repo, root / place)
    except NotFound:
        found = None
    if seen is not None:
        seen[place] = found
    return found


def stage_status(
    repo: DataRepository, root: Path, stage: Stage, entry: LockEntry | None, seen: Seen | None = None
) -> StageStatus:
    """Compare a stage with its lock entry; changes nothing.

    Args:
        seen: the hashes of one look, in which nothing changes: what one stage makes another reads.

    Raises:
        NotFound: a parameter file does not exist.
    """
    if entry is None:
        status = StageStatus(never_ran=True, outputs={path: _presence(root, path) for path in stage.makes})
        return status if stage.is_frozen else replace(status, **_all_inputs(root, stage))
    locked_outputs = {item.path: item.hash for item in entry.outputs}
    paths = tuple(item.path for item in stage.outputs)
    lost = {
        stage.place(item.path): "not in cache"
        for item in stage.outputs
        if item.is_cached and item.path in locked_outputs and not has(repo, locked_outputs[item.path])
    }
    command_changed = entry.command != command_of(stage)
    outputs = _changes(repo, root, stage, paths, locked_outputs, seen) | lost
    if stage.is_frozen:
        return StageStatus(command_changed=command_changed, outputs=outputs)
    locked_dependencies = {item.path: item.hash for item in entry.dependencies}
    return StageStatus(
        command_changed=command_changed,
        outputs=outputs,
        always_changed=stage.always_runs,
        dependencies=_changes(repo, root, stage, stage.dependencies, locked_dependencies, seen),
        parameters=_parameter_changes(root, stage, entry),
    )


def command_of(stage: Stage) -> str | tuple[str, ...]:
    """Return the command as the lock holds it: a text, or a list where it was written as one."""
    return stage.commands if stage.is_command_list else stage.commands[0]


def _presence(root: Path, path: str, there: str = "modified") -> str:
    return there if (root / path).exists() else "deleted"


def _all_inputs(root: Path, stage: Stage) -> dict[str, Any]:
    """Return what differs of a stage that never ran, in DVC's words: all there is."""
    return {
        "always_changed": stage.always_runs,
        "dependencies": {path: _presence(root, path) for path in stage.reads},
        "parameters": {
            stage.place(ref.file): _presence(root, stage.place(ref.file), "new") for ref in stage.parameters
        },
    }


def _changes(
    repo: DataRepository,
    root: Path,
    stage: Stage,
    paths: tuple[str, ...],
    locked: dict[str, HashInfo],
    seen: Seen | None,
) -> dict[str, str]:
    changes = {}
    for path in paths:
        now = current_hash(repo, root, stage, path, seen)
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
        if ref.file not in entry.parameters:
            changes[file] = "new"
            continue
        now = select_values(root / stage.directory, ref)
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
    return None if is_same(now[key], before[key]) else "modified"
