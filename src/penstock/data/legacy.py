"""Digests as DVC 2 computed them: text files with line ends normalised. Read only.

Source: dvc_data/hashfile/hash.py, `HashStreamFile` with `text=True`, and `istextfile.py` (3.18).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from penstock.data.repository import DataRepository
from penstock.data.scan import scan_tree
from penstock.data.tree import render_tree, tree_md5

_TEXT = frozenset(bytes(range(32, 127)) + b"\n\r\t\f\b")
SAMPLE_BYTES = 512


def legacy_md5(repo: DataRepository, path: Path) -> str:
    """Return the `md5-dos2unix` of a file or directory."""
    if not path.is_dir():
        return _file_md5(path)
    names = scan_tree(str(path), repo.ignore).names
    return tree_md5(render_tree([(name, _file_md5(path / name)) for name in names]))


def _file_md5(path: Path) -> str:
    data = path.read_bytes()
    if _is_text(data[:SAMPLE_BYTES]):
        data = data.replace(b"\r\n", b"\n")
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _is_text(sample: bytes) -> bool:
    if not sample:
        return True
    if b"\0" in sample:
        return False
    odd = sum(byte not in _TEXT for byte in sample)
    return odd / len(sample) <= 0.3
