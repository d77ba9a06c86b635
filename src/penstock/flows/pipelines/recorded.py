"""What a dependency was when its stage ran: from the cache, or from one of git's last commits of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from penstock.base.errors import PenstockError
from penstock.base.git import Git
from penstock.data.formats.output import HashInfo
from penstock.data.formats.tree import render_tree, tree_md5
from penstock.data.repository import DataRepository
from penstock.flows.tracked.history import read_blobs

MOST_BYTES = 1 << 20
"""How large a file may be whose content is asked for."""
MOST_TREE_BYTES, MOST_TREE_FILES = 32 << 20, 5000
"""How large a directory may be that is looked for in git, whose files are read and hashed for it."""
MOST_COMMITS = 30


def recorded_file(repo: DataRepository, path: str, recorded: HashInfo) -> bytes | None:
    """Return a file as it was recorded; None where nobody has it any more, or it is large."""
    stored = repo.cache.find(recorded)
    if stored is not None:
        return Path(stored).read_bytes() if os.path.getsize(stored) <= MOST_BYTES else None
    git = Git(repo.root)
    for commit in _commits(git, path):
        try:
            data = git.show(commit, f"./{path}")
        except PenstockError:
            continue
        if _md5(data) == recorded.md5:
            return data
    return None


def recorded_files(repo: DataRepository, path: str, recorded: HashInfo) -> Mapping[str, str] | None:
    """Return a directory as it was recorded, md5 by relative path; None where nobody has it any more, or it is large.

    A commit's directory is it where its digest is the recorded one: what git does not track, or git alone, makes another.
    """
    try:
        if repo.cache.find(recorded) is not None:
            return repo.cache.load_tree(recorded)
        return _committed(Git(repo.root), path, recorded)
    except PenstockError:
        return None


def _committed(git: Git, path: str, recorded: HashInfo) -> Mapping[str, str] | None:
    known: dict[str, str] = {}
    for commit in _commits(git, path):
        listed = _listed(git, commit, path)
        size = sum(size for _, size in listed.values())
        if recorded.nfiles not in (None, len(listed)) or recorded.size not in (None, size):
            continue
        if size > MOST_TREE_BYTES or len(listed) > MOST_TREE_FILES:
            continue
        wanted = {blob for blob, _ in listed.values()} - known.keys()
        known |= {blob: _md5(data) for blob, data in read_blobs(git.root, wanted).items()}
        files = {name: known[listed[name][0]] for name in sorted(listed)}
        if tree_md5(render_tree(files.items())) == recorded.md5:
            return files
    return None


def _listed(git: Git, commit: str, path: str) -> dict[str, tuple[str, int]]:
    """Return blob and size of a commit's files below a directory, by relative path. Source: git-ls-tree(1)."""
    found = {}
    told = git.run_bytes("ls-tree", "-r", "-z", "--long", commit, "--", f"{path}/", check=False)
    for line in told.decode(errors="surrogateescape").split("\0"):
        words, _, name = line.partition("\t")
        if name.startswith(f"{path}/"):
            _, kind, blob, size = words.split()
            if kind == "blob":
                found[name[len(path) + 1 :]] = (blob, int(size))
    return found


def _commits(git: Git, path: str) -> Iterator[str]:
    words = ("log", f"-n{MOST_COMMITS}", "--format=%H", "--", f":(literal){path}")
    yield from git.run(*words, check=False).split()


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
