"""What a commit changes against what it is compared with, and which of its data nobody else can have."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from penstock.base.errors import PenstockError
from penstock.base.numbers import format_number
from penstock.ci.jobs import ENVIRONMENT
from penstock.ci.report import Changes
from penstock.flows.ci.branches import Pushed
from penstock.flows.comparing.differences import Pair, compare_sides
from penstock.flows.comparing.sides import find_side
from penstock.flows.models.proving import told_files
from penstock.flows.tracked.selection import status
from penstock.pipeline.lockfile import LOCK_FILE
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion

SHOWN = 80


def changes_of(project: Project, commit: str, champion: ModelVersion | None) -> Changes | None:
    """Return what differs between a commit and that of the champion, or where that is not known, the commit before it.

    None where there is neither, or it cannot be read.
    """
    known = champion.provenance.commit if champion is not None else None
    for base, name in ((known, champion.ref if champion else ""), (f"{commit}^", "the commit before")):
        if base is None or not project.git.run("rev-parse", "--verify", "--quiet", base, check=False):
            continue
        try:
            found = compare_sides(project, find_side(project, base), find_side(project, commit))
        except PenstockError:
            continue
        return Changes(
            base=name,
            parameters={key: _told(pair) for key, pair in found.parameters.items()},
            data={key: _told(pair) for key, pair in found.data.items()},
            code=tuple(name for name in found.code or () if not _is_made(name)),
        )
    return None


def list_uncommitted(project: Project, *more: str, new: bool = True) -> list[str]:
    """Return the project's files that differ from what is committed, `new` ones too, and of `more` paths of git's."""
    untracked = f"--untracked-files={'normal' if new else 'no'}"
    status = project.git.run_bytes("status", "--porcelain", "-z", "--no-renames", untracked, "--", ".", *more)
    return [entry[3:].decode(errors="replace") for entry in status.split(b"\0") if len(entry) > 3]


def list_unjudged(project: Project, commit: str, pushed: Pushed) -> tuple[str, ...]:
    """Return what a run on the commit that is checked out does not see: uncommitted files, and data that changed since.

    In the checkout of a CI system nobody edits: new files are what its job installed.
    """
    if commit != project.git.head():
        return ()
    data: list[str] = []
    with suppress(PenstockError):  # what is wrong with the data, the run tells
        data = [path for entries in status(project.data).values() for path in _modified(entries)]
    edited = list_uncommitted(project, f":(top,exclude){ENVIRONMENT}", new=pushed.told is None)
    return tuple(dict.fromkeys((*edited, *data)))


def told_unjudged(names: Sequence[str]) -> str:
    """Say that files were not judged; empty where there are none."""
    return f"not judged: uncommitted changes in {told_files(names)}" if names else ""


def _modified(entries: Sequence[Any]) -> list[str]:
    outputs = [one["changed outs"] for one in entries if isinstance(one, dict) and "changed outs" in one]
    return [path for found in outputs for path, state in found.items() if state == "modified"]


def _is_made(name: str) -> bool:
    return name.endswith((LOCK_FILE, ".dvc"))


def _told(pair: Pair) -> tuple[str, str]:
    return _word(pair[0]), _word(pair[1])


def _word(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return format_number(value)
    return str(value)[:SHOWN]
