"""What a directory on this machine, behind a URL or on a configured remote holds (`penstock list-url`).

Source: dvc/repo/ls_url.py (3.67).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from penstock.base.errors import NotFound
from penstock.data.repository import DataRepository
from penstock.flows.sources.listing import Item
from penstock.flows.sources.urls import is_remote, open_remote


def list_place(
    repo: DataRepository | None,
    url: str,
    base: Path,
    options: Mapping[str, str],
    *,
    recursive: bool = False,
    level: int = 0,
) -> list[Item]:
    """List one directory, or every file below it (down to `level` directories, 0 is all), sorted by path.

    Directories are listed where their content is not.

    Raises:
        NotFound: nothing is there.
    """
    url = url.removeprefix("file://")
    sizes: dict[str, int | None]
    if is_remote(url):
        with open_remote(repo, url, options) as source:
            if not source.is_directory:
                return [Item(url.rpartition("/")[2], size=source.files[""].size_bytes)]
            sizes = {name: entry.size_bytes for name, entry in source.files.items()}
    else:
        path = Path(os.path.normpath(base / url))
        if path.is_file():
            return [Item(str(path), size=path.stat().st_size)]
        if not path.is_dir():
            raise NotFound(f"{url} does not exist", code="data.path_missing", hint="check the path", url=url)
        sizes = _files_below(path, recursive=recursive)
    limit = level if recursive else 1
    found: dict[str, Item] = {}
    for name, size in sizes.items():
        parts = name.split("/")
        if size is None or (limit and len(parts) > limit):
            short = "/".join(parts[:limit] if limit else parts)
            found[short] = Item(short, is_dir=True)
        else:
            found[name] = Item(name, size=size)
    return [found[name] for name in sorted(found)]


def _files_below(path: Path, *, recursive: bool) -> dict[str, int | None]:
    """Return sizes by relative path; None for a directory that is not looked into."""
    if not recursive:
        return {entry.name: None if entry.is_dir() else entry.lstat().st_size for entry in path.iterdir()}
    found: dict[str, int | None] = {}
    for folder, _, names in os.walk(path):
        for name in names:
            place = os.path.join(folder, name)
            found[os.path.relpath(place, path)] = os.lstat(place).st_size
    return found
