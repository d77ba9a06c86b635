"""Walk a tracked directory: names and what identifies each file, in the directory's own order.

Nothing is read or hashed here (`penstock.data.cache.hashing` does).
"""

from __future__ import annotations

import os
import stat
from array import array
from dataclasses import dataclass

from penstock.base.errors import Denied, Invalid
from penstock.data.files.ignore import BUILT_IN, FILE_NAME, IgnoreRules
from penstock.data.files.regular import check_kind


@dataclass(slots=True)
class Scan:
    """Files of a directory: `names` are relative POSIX paths, `stats` (inode, size, mtime_ns) per file.

    `links` are the names that are symbolic links to files.
    """

    names: list[str]
    stats: array[int]
    dev: int
    links: list[str]

    def encoded_names(self) -> bytes:
        """Return the names joined by zero bytes, as they stand on disk."""
        return os.fsencode("\0".join(self.names))


def scan_tree(root: str, rules: IgnoreRules) -> Scan:
    """List every file below `root` that is not ignored; symbolic links to files count as their target.

    Empty directories leave no trace, and links to directories are not entered, as in DVC.

    Raises:
        Denied: a directory cannot be read.
        Invalid: there is a `.dvcignore` inside, a broken link, or something that is not a file.
    """
    scan = Scan([], array("q"), os.stat(root).st_dev, [])
    names, extend = scan.names, scan.stats.extend
    plain = rules.is_trivial(root)
    pending = [("", root)]
    while pending:
        prefix, folder = pending.pop()
        try:
            entries = os.scandir(folder)
        except PermissionError:
            raise Denied(
                f"no permission to read the directory {folder}", code="data.denied", hint=f"ls -ld {folder}"
            ) from None
        with entries:
            for entry in entries:
                name = entry.name
                is_dir = entry.is_dir(follow_symlinks=False)
                if name in BUILT_IN or (not plain and rules.is_entry_ignored(folder, name, is_dir)):
                    continue
                if is_dir:
                    pending.append((f"{prefix}{name}/", entry.path))
                    continue
                if name == FILE_NAME:
                    raise Invalid(
                        f"{entry.path} is not allowed inside a tracked directory",
                        code="data.ignore_inside",
                        hint=f"move its patterns to the {FILE_NAME} at the root",
                    )
                info = _stat(entry)
                if info is not None:
                    names.append(prefix + name)
                    extend((info.st_ino, info.st_size, info.st_mtime_ns))
                    if not entry.is_file(follow_symlinks=False):
                        scan.links.append(prefix + name)
    return scan


def _stat(entry: os.DirEntry[str]) -> os.stat_result | None:
    if entry.is_file(follow_symlinks=False):
        return entry.stat(follow_symlinks=False)
    try:
        info = entry.stat()
    except FileNotFoundError:
        raise Invalid(
            f"{entry.path} is a broken link", code="data.broken_link", hint="remove it or restore its target"
        ) from None
    if stat.S_ISDIR(info.st_mode):
        return None
    check_kind(entry.path, info.st_mode)
    return info
