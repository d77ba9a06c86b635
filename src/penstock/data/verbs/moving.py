"""Move a tracked path together with its pointer and its `.gitignore` entry.

The new pointer is written before the data move and the old one goes last, so after a kill the same move can
be repeated.

Source: dvc/repo/move.py (3.67).
"""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.data.git.ignored import check_seen_by_git, ignore_path, unignore_path
from penstock.data.pointers.pointer import Pointer, check_inside, find_owner, pointer_path, save_text
from penstock.data.pointers.rendering import render_moved
from penstock.data.repository import DataRepository
from penstock.data.verbs.checkout import check_parents


@dataclass(frozen=True)
class MovePlan:
    """From where to where, and what the pointer becomes; `data_moved` says that a killed move got that far."""

    source: Path
    target: Path
    pointer: Pointer
    new_pointer: Path
    text: str
    data_moved: bool = False


def plan_move(repo: DataRepository, source: Path, target: Path) -> MovePlan:
    """Find out what moving a tracked path means; a directory as target takes it in under its own name.

    Where the data are not here, the pointer alone moves.

    Raises:
        NotFound: the source is not tracked by a pointer of its own.
        Conflict: something is at the target.
        Invalid: the target is outside the repository.
    """
    if target.is_dir() and source.exists():
        target = target / source.name
    check_inside(repo, target, "move")
    check_parents(repo, target)
    pointer = find_owner(repo, source)
    if pointer is None or all(output.path != source for output in pointer.outputs):
        raise NotFound(
            f"{repo.relative(source)} is not tracked by a pointer of its own",
            code="data.not_tracked",
            hint="penstock status; move outputs of a pipeline in dvc.yaml",
            path=repo.relative(source),
        )
    if len(pointer.outputs) != 1:
        raise Invalid(f"{pointer.path.name} has several outputs", code="data.bad_pointer")
    around = find_owner(repo, target.parent)
    if around is not None:
        raise Conflict(
            f"{repo.relative(target)} is inside {repo.relative(around.outputs[0].path)}, which is tracked",
            code="data.overlap",
            hint=f"to make it a part of that: penstock remove {shlex.quote(repo.relative(pointer.path))}, mv, penstock add",
            path=str(target),
        )
    own = pointer.path == pointer_path(source)
    new_pointer = pointer_path(target) if own else pointer.path
    if own:
        check_seen_by_git(repo, new_pointer)
    text = render_moved(repo.root, pointer, new_pointer, target)
    resumed = not os.path.lexists(source) and os.path.lexists(target) and _text(new_pointer) == text
    if not resumed:
        taken = target if os.path.lexists(target) else new_pointer
        if os.path.lexists(taken) and taken != pointer.path and _text(taken) != text:
            raise Conflict(f"{repo.relative(taken)} exists already", code="data.exists", path=str(taken))
    return MovePlan(source, target, pointer, new_pointer, text, not os.path.lexists(source))


def apply_move(repo: DataRepository, plan: MovePlan) -> tuple[Path, ...]:
    """Carry a move out and return the files that changed for git."""
    plan.target.parent.mkdir(parents=True, exist_ok=True)
    save_text(plan.new_pointer, plan.text)
    if not plan.data_moved:
        try:
            os.rename(plan.source, plan.target)
        except OSError:
            shutil.move(plan.source, plan.target)
    changed = [plan.new_pointer, ignore_path(repo, plan.target), unignore_path(repo, plan.source)]
    if plan.new_pointer != plan.pointer.path:
        plan.pointer.path.unlink()
        changed.append(plan.pointer.path)
    return tuple(dict.fromkeys(path for path in changed if path is not None))


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
