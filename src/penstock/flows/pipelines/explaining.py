"""Why stages are stale: the parameter's old and new value, the lines of code that changed, the stage it waits for.

Looks only; what differs at all is `pipeline.status`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.base.errors import PenstockError
from penstock.base.numbers import counted
from penstock.data.cache.hashing import hash_tree
from penstock.data.formats.output import HashInfo
from penstock.data.repository import DataRepository
from penstock.flows.pipelines.recorded import MOST_BYTES, recorded_file, recorded_files
from penstock.flows.pipelines.status import meant_stages, shown_address
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.graph import plan, upstream_of
from penstock.pipeline.lockfile import LockEntry, load_entries
from penstock.pipeline.parameters import flatten, is_same, select_values
from penstock.pipeline.stage import ParameterRef, Stage
from penstock.pipeline.status import StageStatus, command_of, stage_status

MOST_LINES = 12


@dataclass(frozen=True)
class Reason:
    """One reason why a stage is stale.

    `kind` is `never ran`, `command`, `parameter`, `dependency`, `output`, `stage` (one it needs is stale) or `always`.
    `old` and `new` are values of a parameter or texts of a command; `lines` a diff, or names of files in a directory.
    """

    kind: str
    subject: str
    change: str
    old: Any = None
    new: Any = None
    lines: tuple[str, ...] = ()

    def to_document(self) -> dict[str, Any]:
        """Return it for `--json`."""
        found: dict[str, Any] = {"kind": self.kind, "subject": self.subject, "change": self.change}
        if self.kind in {"parameter", "command"}:
            found |= {"old": self.old, "new": self.new}
        return found | ({"lines": list(self.lines)} if self.lines else {})


def explain(
    repo: DataRepository, targets: Sequence[str], base: Path
) -> tuple[dict[str, list[Reason]], set[str]]:
    """Return why each stage would run, named as seen from `base`, in their order; and the targets that mean stages.

    Raises:
        Invalid: a definition or lock cannot be read, or stages go in a circle.
    """
    stages = load_all_stages(repo)
    chosen, known = (list(stages), set[str]()) if not targets else meant_stages(repo, stages, targets, base)
    wanted = {stage.address for stage in chosen}
    locked, upstream = load_entries(repo.root, stages), upstream_of(stages, active=True)
    shown = {stage.address: shown_address(repo, stage, base) for stage in stages}
    stale: set[str] = set()
    found: dict[str, list[Reason]] = {}
    for stage in plan(stages, []):
        reasons = list(_reasons(repo, stage, locked.get(stage.address)))
        waits = [need for need in upstream[stage.address] if need in stale]
        reasons += [Reason("stage", shown[need], "is stale: what it makes may change") for need in waits]
        if reasons and not stage.is_frozen:
            stale.add(stage.address)
        if reasons and stage.address in wanted:
            found[shown[stage.address]] = reasons
    return found, known


def render(found: Mapping[str, Sequence[Reason]]) -> str:
    """Return the reasons as text for people."""
    lines = []
    for stage, reasons in found.items():
        lines.append(f"{stage}:")
        for reason in reasons:
            lines.append(f"\t{_sentence(reason)}")
            lines += [f"\t\t{line}" for line in reason.lines]
    return "\n".join(lines)


def _sentence(reason: Reason) -> str:
    if reason.kind == "parameter" and reason.change == "modified":
        return f"parameter {reason.subject}: {reason.old!r} -> {reason.new!r}"
    if reason.kind == "parameter":
        value = reason.new if reason.change == "new" else reason.old
        return f"parameter {reason.subject} {reason.change}{f' ({value!r})' if value is not None else ''}"
    if reason.kind == "command":
        return "its command changed"
    if reason.kind in {"never ran", "always"}:
        return reason.change
    return f"{reason.kind} {reason.subject} {reason.change}"


def _reasons(repo: DataRepository, stage: Stage, entry: LockEntry | None) -> Iterator[Reason]:
    status = stage_status(repo, repo.root, stage, entry)
    if entry is None:
        yield Reason("never ran", stage.address, "it never ran")
        return
    if status.command_changed:
        old, new = entry.command, command_of(stage)
        before, after = _texts(old), _texts(new)
        lines = [*(f"- {line}" for line in before), *(f"+ {line}" for line in after)]
        yield Reason("command", stage.address, "modified", old, new, tuple(_short(lines)))
    yield from _parameters(repo, stage, entry, status)
    recorded = {stage.place(item.path): item.hash for item in entry.dependencies}
    for path, change in status.dependencies.items():
        lines = _changed_lines(repo, path, recorded.get(path)) if change == "modified" else []
        yield Reason("dependency", path, change, lines=tuple(_short(lines)))
    for path, change in status.outputs.items():
        yield Reason("output", path, change)
    if status.always_changed:
        yield Reason("always", stage.address, "it always runs")


def _texts(command: str | tuple[str, ...]) -> list[str]:
    return command.splitlines() if isinstance(command, str) else list(command)


def _parameters(
    repo: DataRepository, stage: Stage, entry: LockEntry, status: StageStatus
) -> Iterator[Reason]:
    refs: dict[str, ParameterRef] = {stage.place(ref.file): ref for ref in stage.parameters}
    for file, changes in status.parameters.items():
        if isinstance(changes, str):
            yield Reason("parameter", file, changes)
            continue
        ref = refs[file]
        before: Mapping[str, Any] = entry.parameters.get(ref.file, {})
        now = select_values(repo.root / stage.directory, ref)
        for key, change in changes.items():
            yield from _inner(f"{file}:{key}", change, before.get(key), now.get(key))


def _inner(subject: str, change: str, old: Any, new: Any) -> Iterator[Reason]:
    """Yield a parameter's change; of a mapping, those of its inner keys."""
    if not (change == "modified" and isinstance(old, Mapping) and isinstance(new, Mapping)):
        yield Reason("parameter", subject, change, old, new)
        return
    before, now = flatten(old), flatten(new)
    found = False
    for key in dict.fromkeys([*before, *now]):
        if key not in before or key not in now:
            found = True
            change = "new" if key in now else "deleted"
            yield Reason("parameter", f"{subject}.{key}", change, before.get(key), now.get(key))
        elif not is_same(before[key], now[key]):
            found = True
            yield Reason("parameter", f"{subject}.{key}", "modified", before[key], now[key])
    if not found:  # such as keys that were written as texts
        yield Reason("parameter", subject, change, old, new)


def _changed_lines(repo: DataRepository, path: str, recorded: HashInfo | None) -> list[str]:
    """Return what changed in a file or directory since it was recorded; nothing where that is not known."""
    if recorded is None:
        return []
    place = repo.root / path
    if place.is_dir():
        return _changed_files(repo, path, recorded) if recorded.is_tree else []
    if recorded.is_tree or place.stat().st_size > MOST_BYTES:
        return []
    before = recorded_file(repo, path, recorded)
    return [] if before is None else _difference(before, place.read_bytes())


def _difference(before: bytes, after: bytes) -> list[str]:
    """Return the lines of a file that changed, or in words what of it did where no line shows it."""
    try:
        old, new = before.decode(), after.decode()
    except UnicodeDecodeError:
        old, new = "\0", ""
    if "\0" in old or "\0" in new:
        return [f"binary: {len(before)} -> {counted(len(after), 'byte')}"]
    found = list(difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0))[2:]
    if found or old == new:
        return [line if line.startswith("@@") else f"{line[0]} {line[1:]}" for line in found]
    if new in (f"{old}\n", f"{old}\r\n"):
        return ["last newline added"]
    return ["last newline removed" if old in (f"{new}\n", f"{new}\r\n") else "line endings changed"]


def _changed_files(repo: DataRepository, path: str, recorded: HashInfo) -> list[str]:
    before = recorded_files(repo, path, recorded)
    if before is None:
        return []
    try:
        now = hash_tree(repo, repo.root / path).files()
    except PenstockError:
        return []
    marks = [("-", name) for name in before.keys() - now.keys()]
    marks += [("+", name) for name in now.keys() - before.keys()]
    marks += [("~", name) for name in now.keys() & before.keys() if now[name] != before[name]]
    return [f"{mark} {name}" for mark, name in sorted(marks, key=lambda one: one[1])]


def _short(lines: Sequence[str]) -> list[str]:
    left = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], *([f"… {left} more lines"] if left > 0 else [])]
