"""Remove objects nobody needs: planned first, then moved to a trash from which they can come back.

Tree objects go first and come back last, since a tree is taken as proof of its files. The trash is
`.dvc/tmp/penstock-trash` (beside the cache where that is on another file system); a later collection
deletes what has lain there longer than `TRASH_KEEP_S`. Which objects are needed is decided elsewhere
(`penstock.flows.tracked.collecting`). Objects on a remote have no trash: they are deleted.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from penstock.base.errors import NotFound
from penstock.base.threads import thread_pool
from penstock.data.formats.output import TREE_SUFFIX
from penstock.data.objects import PREFIXES, ObjectStore
from penstock.data.repository import DataRepository
from penstock.storage.backend import Backend

TRASH = "penstock-trash"
TRASH_KEEP_S = 7 * 24 * 3600.0
STRAY_S = 3600.0  # age from which another program's temporary file is taken for an abandoned one
_NAME = re.compile(r"[0-9a-f]{30}(\.dir)?\Z")
_KEY = re.compile(r"files/md5/([0-9a-f]{2})/([0-9a-f]{30}(?:\.dir)?)\Z")


@dataclass(frozen=True, slots=True)
class Doomed:
    """One object to remove; `place` is relative to the cache or the remote."""

    md5: str
    place: str
    size_bytes: int


@dataclass(frozen=True)
class Removal:
    """What would be removed from one place, trees first; `fresh_count` unneeded objects are too young."""

    where: str
    objects: tuple[Doomed, ...]
    kept_count: int = 0
    fresh_count: int = 0

    @property
    def total_bytes(self) -> int:
        """Bytes that are freed."""
        return sum(one.size_bytes for one in self.objects)


def plan_cache(cache: ObjectStore, used: Collection[str], legacy: Collection[str], grace_s: float) -> Removal:
    """List the cache's objects that are in neither set; those changed in the last `grace_s` stay.

    `legacy` are names in the layout of DVC 2.
    """
    limit = time.time() - grace_s
    doomed: list[Doomed] = []
    kept = fresh = 0
    for base, needed in (("files/md5/", used), ("", legacy)):
        for place, md5, info in _list_objects(cache.root, base):
            if md5 in needed:
                kept += 1
            elif info.st_mtime > (limit if md5 else time.time() - STRAY_S):
                fresh += bool(md5)
            else:
                doomed.append(Doomed(md5, place, info.st_size))
    return Removal(str(cache.root), _ordered(doomed), kept, fresh)


def _list_objects(root: Path, base: str) -> Iterator[tuple[str, str, os.stat_result]]:
    """Yield place, name and stat of every file in the object directories; strays have the name ""."""
    for prefix in PREFIXES:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(f"{root}/{base}{prefix}") as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    md5 = prefix + entry.name if _NAME.match(entry.name) else ""
                    yield f"{base}{prefix}/{entry.name}", md5, entry.stat(follow_symlinks=False)


def _ordered(doomed: list[Doomed]) -> tuple[Doomed, ...]:
    return tuple(sorted(doomed, key=lambda one: (not one.md5.endswith(TREE_SUFFIX), one.place)))


def apply_cache(repo: DataRepository, plan: Removal) -> Path | None:
    """Move the planned objects to the trash and return where; a killed move can be undone or repeated."""
    if not plan.objects:
        return None
    folder = trash_dir(repo) / f"{time.time_ns()}"
    root = Path(plan.where)
    made: set[str] = set()
    for one in plan.objects:
        parent = one.place.rpartition("/")[0]
        if parent not in made:
            _make(repo, folder / parent)
            made.add(parent)
        with suppress(FileNotFoundError):
            os.rename(root / one.place, folder / one.place)
    return folder


def _make(repo: DataRepository, folder: Path) -> None:
    if folder.is_relative_to(repo.cache.root):
        repo.cache.make_folder(str(folder))
    else:
        folder.mkdir(parents=True, exist_ok=True)


def trash_dir(repo: DataRepository) -> Path:
    """Return where removed objects wait, on the cache's own file system."""
    beside = repo.dvc_dir / "tmp"
    cache = repo.cache.root
    if not cache.exists() or not beside.exists() or cache.stat().st_dev == beside.stat().st_dev:
        return beside / TRASH
    return cache / "trash"


def undo_removal(repo: DataRepository) -> int:
    """Bring the last collection's objects back, files before trees; return how many.

    Raises:
        NotFound: the trash is empty.
    """
    folders = sorted(_folders(repo))
    if not folders:
        raise NotFound(
            "there is no collection to undo: the trash is empty",
            code="data.trash_empty",
            hint="penstock fetch brings objects back from a remote",
        )
    folder = folders[-1]
    places = [
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, names in os.walk(folder)
        for name in names
    ]
    for place in sorted(places, key=lambda place: place.endswith(TREE_SUFFIX)):
        target = repo.cache.root / place
        repo.cache.make_folder(str(target.parent))
        if target.exists():
            os.unlink(folder / place)
        else:
            os.rename(folder / place, target)
    shutil.rmtree(folder)
    return len(places)


def empty_trash(repo: DataRepository, keep_s: float = TRASH_KEEP_S) -> int:
    """Delete for good what has been in the trash for longer than `keep_s`; return how many collections."""
    limit = time.time_ns() - int(keep_s * 1e9)
    old = [folder for folder in _folders(repo) if int(folder.name) <= limit]
    for folder in old:
        shutil.rmtree(folder)
    return len(old)


def _folders(repo: DataRepository) -> list[Path]:
    with suppress(FileNotFoundError):
        return [folder for folder in trash_dir(repo).iterdir() if folder.name.isdigit()]
    return []


def plan_remote(remote: Backend, used: Collection[str], grace_s: float) -> Removal:
    """List a remote's objects that are not in `used` and were not stored in the last `grace_s`."""
    limit = time.time() - grace_s
    doomed: list[Doomed] = []
    kept = fresh = 0
    for entry in remote.list("files/md5"):
        match = _KEY.match(entry.key)
        if match is None:
            continue
        if match[1] + match[2] in used:
            kept += 1
        elif grace_s > 0 and entry.modified_s > limit:
            fresh += 1
        else:
            doomed.append(Doomed(match[1] + match[2], entry.key, entry.size_bytes))
    return Removal(remote.url, _ordered(doomed), kept, fresh)


def apply_remote(remote: Backend, plan: Removal, jobs: int = 0) -> int:
    """Delete the planned objects, all trees before the first file; return how many.

    Raises:
        Unavailable: the remote does not answer; repeating the collection completes it.
    """
    trees = [one.place for one in plan.objects if one.md5.endswith(TREE_SUFFIX)]
    files = [one.place for one in plan.objects if not one.md5.endswith(TREE_SUFFIX)]
    with thread_pool(jobs or remote.jobs) as pool:
        for part in (trees, files):
            list(pool.map(remote.delete, part))
    return len(plan.objects)
