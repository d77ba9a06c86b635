"""Where the files are that describe data: pointers (`*.dvc`) and definitions of pipelines, found by one walk."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from penstock.data.files.ignore import BUILT_IN, FILE_NAME
from penstock.data.git.patterns import GitPatterns, Level
from penstock.data.repository import DataRepository

SUFFIX = ".dvc"
DEFINITION_FILE = "dvc.yaml"


def find_pointer_files(repo: DataRepository) -> list[Path]:
    """Return the path of every `.dvc` file, skipping what `.dvcignore` or git ignores and what pointers track."""
    return _walk(repo)


def find_definitions(repo: DataRepository) -> tuple[Path, ...]:
    """Return the path of every `dvc.yaml`, the root's first, the others in order.

    What the last walk for pointers saw counts, so that a command walks once; `note_definition` adds one.
    """
    if "definitions" not in repo.seen:
        _walk(repo)
    return repo.seen["definitions"]


def definitions_above(repo: DataRepository, paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return the `dvc.yaml` files of the directories around these paths, without walking through the repository.

    A pipeline's outputs are hardly ever beside or above it: this is what a command about single paths looks at.
    """
    folders = {above for path in paths for above in path.parents if above.is_relative_to(repo.root)}
    found = {str(folder / DEFINITION_FILE) for folder in folders | {repo.root}}
    return _in_order(repo, {path for path in found if os.path.isfile(path)})


def note_definition(repo: DataRepository, path: Path) -> None:
    """Let `find_definitions` know of a file that was written since."""
    repo.seen["definitions"] = _in_order(repo, {*map(str, find_definitions(repo)), str(path)})


def _in_order(repo: DataRepository, paths: set[str]) -> tuple[Path, ...]:
    top = str(repo.root / DEFINITION_FILE)
    return tuple(Path(path) for path in sorted(paths, key=lambda path: (path != top, path)))


def _walk(repo: DataRepository) -> list[Path]:
    found: list[str] = []
    unsure: list[str] = []
    git_root = repo.git_root()
    patterns = GitPatterns(git_root) if git_root is not None else None
    pending = [(str(repo.root), patterns.start(repo.root) if patterns is not None else Level())]
    plain = repo.ignore.is_trivial(str(repo.root))
    while pending:
        folder, level = pending.pop()
        try:
            with os.scandir(folder) as listing:
                entries = list(listing)
        except (PermissionError, FileNotFoundError):
            continue
        names = {entry.name for entry in entries}
        plain = plain and FILE_NAME not in names
        if ".dvc" in names and folder != str(repo.root):
            continue
        if patterns is not None and ".gitignore" in names:
            level = patterns.enter(level, folder)
        for entry in entries:
            name = entry.name
            is_dir = entry.is_dir(follow_symlinks=False)
            if name in BUILT_IN or (name == ".venv" and is_dir):
                continue
            if not plain and repo.ignore.is_entry_ignored(folder, name, is_dir):
                continue
            is_metafile = not is_dir and (name.endswith(SUFFIX) or name == DEFINITION_FILE)
            if not (is_dir or is_metafile):
                continue
            if patterns is not None and patterns.is_ignored(level, name, entry.path, is_dir):
                continue
            if is_metafile:
                (found if level.is_sure else unsure).append(entry.path)
            elif f"{name}{SUFFIX}" not in names:
                pending.append((entry.path, level))
    if unsure and git_root is not None:
        found += _not_ignored(git_root, unsure)
    definitions = {path for path in found if not path.endswith(SUFFIX)}
    repo.seen["definitions"] = _in_order(repo, definitions)
    return [Path(path) for path in sorted(found) if path not in definitions]


def _not_ignored(git_root: Path, paths: list[str]) -> list[str]:
    from penstock.base.git import Git  # 6 ms, and the patterns of many repositories are plain

    start = len(str(git_root)) + 1
    ignored = Git(git_root).list_ignored([path[start:] for path in paths])
    return [path for path in paths if path[start:] not in ignored]
