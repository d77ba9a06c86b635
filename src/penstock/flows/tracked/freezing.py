"""Freeze and unfreeze a stage of dvc.yaml, or a pointer: the `frozen` key of its entry.

Source: dvc/repo/freeze.py (3.67).
"""

from __future__ import annotations

from pathlib import Path

from penstock.data.formats.yamltext import dump_document, load_document
from penstock.data.lock import repository_lock
from penstock.data.pointers.metafiles import DEFINITION_FILE, SUFFIX
from penstock.data.pointers.pointer import load_pointer, save_text
from penstock.data.repository import DataRepository
from penstock.pipeline.targets import no_stage, split_target


def set_frozen(repo: DataRepository, target: str, base: Path, *, is_frozen: bool) -> list[Path]:
    """Set or remove `frozen` where `target` (a stage's name, or a `.dvc` file) is declared.

    Returns the file, or nothing when it says so already.

    Raises:
        NotFound: there is no such stage or pointer.
    """
    with repository_lock(repo):
        if target.endswith(SUFFIX):
            path = base / target
            text = load_pointer(repo, path).text
            document = entry = load_document(text, str(path))
        else:
            path, name = find_definition(repo, target, base)
            text = path.read_text(encoding="utf-8") if path.is_file() else ""
            document = load_document(text, DEFINITION_FILE)
            stages = document.get("stages") or {}
            if name not in stages:
                raise no_stage(target, stages)
            entry = stages[name].get("do", stages[name])
        if bool(entry.get("frozen")) == is_frozen:
            return []
        if is_frozen:
            entry["frozen"] = True
        else:
            del entry["frozen"]
        return [path] if save_text(path, dump_document(document)) else []


def find_definition(repo: DataRepository, target: str, base: Path) -> tuple[Path, str]:
    """Return the `dvc.yaml` a stage's target means, relative to `base`, and the stage's name.

    A bare name that `base` has no file for is looked for in the root's.
    """
    file, name = split_target(target, base.relative_to(repo.root).as_posix())
    path = repo.root / file
    return (path if path.is_file() or ":" in target else repo.root / DEFINITION_FILE), name
