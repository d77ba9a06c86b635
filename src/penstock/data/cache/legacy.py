"""Digests as DVC 2 computed them: text files with line ends normalised. Read only.

A file is read a mebibyte at a time, and each is looked at by itself: whether it is text, and where its lines end.
A CR at the end of one with its LF at the start of the next stay.

Source: dvc_data/hashfile/hash.py, `Dos2UnixHashStreamFile` and `fobj_md5`, and `istextfile.py` (3.18).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from penstock.data.cache.hashing import digest_md5
from penstock.data.files.regular import open_regular
from penstock.data.files.scan import scan_tree
from penstock.data.formats.output import TREE_SUFFIX, HashInfo
from penstock.data.formats.tree import render_tree, tree_md5
from penstock.data.repository import DataRepository

_TEXT = frozenset(bytes(range(32, 127)) + b"\n\r\t\f\b")
SAMPLE_BYTES = 512
READ_BYTES = 1 << 20


def legacy_md5(repo: DataRepository, path: Path) -> str:
    """Return the `md5-dos2unix` of a file or directory."""
    if not path.is_dir():
        return _file_md5(path)
    return tree_md5(render_tree(legacy_files(repo, path).items()))


def legacy_files(repo: DataRepository, path: Path) -> dict[str, str]:
    """Return the `md5-dos2unix` of every file of a directory, by relative path."""
    return {name: _file_md5(path / name) for name in scan_tree(str(path), repo.ignore).names}


def holds_legacy(repo: DataRepository, path: Path, info: HashInfo) -> bool:
    """Say whether a path holds what DVC 2 noted of it."""
    return info.algorithm != "md5" and path.is_dir() == info.is_tree and legacy_md5(repo, path) == info.md5


def is_legacy_content(path: str, md5: str) -> bool:
    """Say whether an object of DVC 2's cache holds what its name says."""
    if md5.endswith(TREE_SUFFIX):
        return digest_md5(path) + TREE_SUFFIX == md5
    return _file_md5(Path(path)) == md5


def _file_md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with open(open_regular(str(path)), "rb") as file:
        while data := file.read(READ_BYTES):
            is_text = _is_text(data[:SAMPLE_BYTES])
            digest.update(data.replace(b"\r\n", b"\n") if is_text else data)
    return digest.hexdigest()


def _is_text(sample: bytes) -> bool:
    if b"\0" in sample:
        return False
    odd = sum(byte not in _TEXT for byte in sample)
    return odd / len(sample) <= 0.3
