"""What a commit changes against what it is compared with, and which of its data nobody else can have."""

from __future__ import annotations

from typing import Any

from penstock.base.errors import PenstockError
from penstock.base.numbers import format_number
from penstock.ci.report import Changes
from penstock.flows.comparing.differences import Pair, compare_sides
from penstock.flows.comparing.sides import find_side
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
