"""A working tree as git's tree and commit, made beside the user's index, which stays as it is."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from penstock.base.errors import Invalid
from penstock.base.git import Git

NOBODY = {
    "GIT_AUTHOR_NAME": "penstock",
    "GIT_AUTHOR_EMAIL": "penstock@localhost",
    "GIT_COMMITTER_NAME": "penstock",
    "GIT_COMMITTER_EMAIL": "penstock@localhost",
}


@contextmanager
def _own_index(git: Git) -> Iterator[Mapping[str, str]]:
    """Yield the variables with which git works on a copy of the index."""
    index = git.directory / "index"
    with tempfile.TemporaryDirectory(prefix="penstock-index-") as folder:
        copy = Path(folder) / "index"
        if index.exists():
            shutil.copy2(index, copy)  # with its time: git rehashes files as young as the index
        yield {"GIT_INDEX_FILE": str(copy)}


def write_tree(git: Git, further: Sequence[Path] = (), changed: Mapping[str, bytes] | None = None) -> str:
    """Write the working tree as a tree of git and return its id: what git tracks, as it is now.

    Args:
        further: files taken too, although git does not track or even ignores them; those that exist.
        changed: other content for files, by path relative to git's root.
    """
    with _own_index(git) as variables:
        git.run_bytes("add", "--update", "--", ":/", variables=variables)
        present = [str(path) for path in further if path.exists()]
        if present:
            git.run_bytes("add", "--force", "--", *present, variables=variables)
        for path, data in (changed or {}).items():
            blob = git.feed(data, "hash-object", "-w", "--stdin").decode().strip()
            git.run_bytes(
                "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", variables=variables
            )
        return git.run_bytes("write-tree", variables=variables).decode().strip()


def commit_tree(git: Git, tree: str, parent: str, message: str) -> str:
    """Write a commit and return its id; whom git knows no name of is `penstock`."""
    words = ("commit-tree", tree, "-p", parent, "-F", "-")
    try:
        return git.feed(message.encode(), *words).decode().strip()
    except Invalid:
        return git.feed(message.encode(), *words, variables=NOBODY).decode().strip()
