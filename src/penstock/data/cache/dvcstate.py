"""Rows in DVC's own state, so that a `dvc status` after our add or checkout does not read the data again.

Only where DVC has already made its state for this clone (`<site cache>/repo/<token>`); nothing is created. Rows
are written in one transaction; what cannot be written is left out, since DVC then only reads more.

Source: dvc/repo/__init__.py (`site_cache_dir`), dvc_data/hashfile/state.py and cache.py (dvc-data 3.18).
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import pickle
import sqlite3
import stat
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from penstock.data.files.scan import scan_tree
from penstock.data.files.state import FileKey
from penstock.data.formats.output import HashInfo
from penstock.data.repository import DataRepository

DVC_MAJOR = 3
_INSERT = (
    "INSERT INTO Cache(key, raw, store_time, expire_time, access_time, tag, mode, filename, value)"
    " VALUES (?, 1, 0, null, 0, null, {mode}, null, ?)"
    " ON CONFLICT(key, raw) DO UPDATE SET value = excluded.value, mode = excluded.mode"
)
_MODE_RAW, _MODE_PICKLE = 1, 4  # diskcache/core.py
LinkRow = tuple[str, bytes]


def find_state(repo: DataRepository, site: str) -> Path | None:
    """Return the directory of DVC's state for this clone, or None where DVC has made none."""
    try:
        made = os.path.getmtime(repo.dvc_dir / "tmp" / "btime")
        user = getpass.getuser()
    except (OSError, KeyError):
        return None
    identity = str((os.path.realpath(repo.root), None, made, user, DVC_MAJOR, 0))
    state = Path(site, "repo") / hashlib.md5(identity.encode(), usedforsecurity=False).hexdigest()
    return state if (state / "hashes" / "local" / "cache.db").is_file() else None


def save_dvc_state(repo: DataRepository, site: str, outputs: Iterable[tuple[Path, HashInfo]]) -> None:
    """Tell DVC what these paths hold, and that they came from the cache.

    Only what our own state proves is told; files that were too fresh for it are left for DVC to read.
    """
    state = find_state(repo, site)
    if state is None:
        return
    hashes: list[tuple[str, str]] = []
    links: list[LinkRow] = []
    root = os.path.realpath(repo.root)
    for path, info in outputs:
        if info.algorithm != "md5":
            continue
        relative = os.path.relpath(path, repo.root)
        place = os.path.join(root, relative)
        mtimes: dict[str, float] = {}
        with suppress(OSError):
            for one in _files(repo, path, info):
                file = f"{place}/{one.name}" if one.name else place
                mtimes[file] = _seconds(one.mtime_ns)
                if one.is_proven:
                    hashes.append((file, _hash_row(one.ino, mtimes[file], one.size, one.md5)))
            if mtimes:
                token = _mtimes_token(mtimes) if info.is_tree else str(round(mtimes[place] * 1_000_000_000))
                links.append((relative, pickle.dumps((os.lstat(path).st_ino, token), 4)))
    _insert(state / "hashes" / "local" / "cache.db", _MODE_RAW, hashes)
    _insert(state / "links" / "cache.db", _MODE_PICKLE, links)


class _File(NamedTuple):
    """A file of an output as it is on disk now; proven when our state says that this content was hashed."""

    name: str
    ino: int
    size: int
    mtime_ns: int
    md5: str
    is_proven: bool


def _files(repo: DataRepository, path: Path, info: HashInfo) -> list[_File]:
    """Return an output's files; none where it is not what was just written."""
    if not info.is_tree:
        now = os.stat(path)
        key = FileKey(now.st_ino, now.st_dev, now.st_size, now.st_mtime_ns)
        if not stat.S_ISREG(now.st_mode) or now.st_size != info.size:
            return []
        proven = repo.state.find_file(key) == info.md5
        return [_File("", now.st_ino, now.st_size, now.st_mtime_ns, info.md5, proven)]
    snapshot = repo.state.find_snapshot(os.fsencode(os.path.relpath(path, repo.root)))
    if snapshot is None or snapshot.md5 != info.md5:
        return []
    names = os.fsdecode(snapshot.names).split("\0")
    digests, stats = snapshot.digests.hex(), snapshot.stats
    known: dict[str, tuple[int, int, int, str]] = {
        name: (ino, size, mtime_ns, digests[32 * at : 32 * at + 32])
        for at, (name, ino, size, mtime_ns) in enumerate(
            zip(names, stats[0::3], stats[1::3], stats[2::3], strict=True)
        )
    }
    scan = scan_tree(str(path), repo.ignore)
    found = []
    for at, name in enumerate(scan.names):
        ino, size, mtime_ns = scan.stats[3 * at : 3 * at + 3]
        past = known.get(name)
        if past is None or past[:2] != (ino, size) or past[2] not in {mtime_ns, 0}:
            return []  # changed since
        found.append(_File(name, ino, size, mtime_ns, past[3], past[2] == mtime_ns))
    return found if len(found) == len(known) else []


def _seconds(mtime_ns: int) -> float:
    """Return a time as `st_mtime` gives it, rounding included."""
    return mtime_ns // 10**9 + 1e-9 * (mtime_ns % 10**9)


def _hash_row(ino: int, mtime: float, size: int, md5: str) -> str:
    token = hashlib.md5(str(([ino, mtime, size],)).encode(), usedforsecurity=False).hexdigest()
    row = {"version": 1, "checksum": str(int(token, 16)), "size": size, "hash_info": {"md5": md5}}
    return json.dumps(row)


def _mtimes_token(mtimes: dict[str, float]) -> str:
    return hashlib.md5(json.dumps(mtimes, sort_keys=True).encode(), usedforsecurity=False).hexdigest()


def _insert(database: Path, mode: int, rows: list[tuple[str, str]] | list[LinkRow]) -> None:
    if not rows or not database.is_file():
        return
    failures = suppress(sqlite3.Error, UnicodeEncodeError)
    with failures, closing(sqlite3.connect(database, timeout=5)) as connection, connection:
        connection.executemany(_INSERT.format(mode=mode), rows)
