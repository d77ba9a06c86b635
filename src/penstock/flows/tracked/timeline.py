"""Tracked data over the history of git: which commit changed what, read in one walk. Writes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from penstock.base.errors import PenstockError
from penstock.base.git import Git
from penstock.data.formats.output import HashInfo, Output
from penstock.data.repository import DataRepository
from penstock.flows.tracked.history import DEFINITION, LOCK, parse_metafile, read_blobs

COMMITS = 500
"""So many commits that changed tracked data are looked at, the newest."""
_ID = re.compile(r"[0-9a-f]{40,64}")
_FORMAT = "--format=%x01%H%x00%ct%x00%an%x00%s"


@dataclass(frozen=True)
class Commit:
    """A commit that changed tracked data."""

    id: str
    time_ms: int
    author: str
    subject: str


@dataclass(frozen=True)
class History:
    """What commits changed, newest first, as far as it is known: `cut` says why not what was before, empty where it is.

    A change at one of `cut_at` may be older: a shallow clone ends there.
    """

    changes: Sequence[Change] = ()
    cut: str = ""
    cut_at: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Change:
    """What a commit made of one tracked path; `info` is None where it was no longer tracked."""

    path: str
    commit: Commit
    info: HashInfo | None
    before: HashInfo | None
    source: str


@dataclass(frozen=True)
class _Touched:
    commit: Commit
    name: str
    old: str
    new: str


def read_history(repo: DataRepository, limit: int = COMMITS) -> History:
    """Return what the commits that led to HEAD changed of tracked data, and where that ends.

    What cannot be read is left out. Merges count as one commit. Costs three git processes, in a shallow clone four, however many
    commits and pointers.
    """
    git = Git(repo.root)
    if repo.git_root() is None or git.head() is None:
        return History()
    touched, cut_at = _read_log(git, limit + 1), _ends_of(git)
    cut = "this clone is shallow; next: git fetch --unshallow" if cut_at else ""
    commits = list(dict.fromkeys(one.commit.id for one in touched))
    if len(commits) > limit:
        cut = f"only the newest {limit} commits that changed tracked data are looked at"
        touched = [one for one in touched if one.commit.id != commits[limit]]
    return History(_read_changes(repo, touched), cut, cut_at)


def _ends_of(git: Git) -> frozenset[str]:
    """Return the commit that a shallow clone cut from those before it, on the way that led to HEAD."""
    cut_at = git.cut_commits()
    return cut_at and cut_at & {*git.run("rev-list", "--first-parent", "--max-parents=0", "HEAD").split()}


def changes_in(repo: DataRepository, commit: str) -> list[Change]:
    """Return what one commit changed of tracked data, against its first parent.

    Raises:
        Invalid: git does not have it.
    """
    return _read_changes(repo, _read_log(Git(repo.root), 1, f"{commit}^!"))


def _read_changes(repo: DataRepository, touched: list[_Touched]) -> list[Change]:
    texts = read_blobs(repo.root, {blob for one in touched for blob in (one.old, one.new) if blob})
    known: dict[tuple[str, str], dict[str, Output]] = {}

    def outputs(name: str, blob: str) -> dict[str, Output]:
        if (name, blob) not in known:
            known[name, blob] = _outputs(repo, name, texts.get(blob, b"")) if blob else {}
        return known[name, blob]

    found: list[Change] = []
    for one in touched:
        before, after = outputs(one.name, one.old), outputs(one.name, one.new)
        for path in sorted({*before, *after}):
            was = before[path].hash if path in before else None
            now = after[path].hash if path in after else None
            if (was and was.md5) != (now and now.md5):
                source = (after.get(path) or before[path]).source
                found.append(Change(path, one.commit, now, was, source))
    return found


def changes_of(changes: Iterable[Change], path: str) -> list[Change]:
    """Return the changes of one path."""
    return [one for one in changes if one.path == path]


def _outputs(repo: DataRepository, name: str, text: bytes) -> dict[str, Output]:
    definition = b""
    if name.endswith(LOCK):
        place: Path = repo.root / f"{name.removesuffix(LOCK)}{DEFINITION}"
        definition = place.read_bytes() if place.is_file() else b""
    try:
        found = parse_metafile(repo, name, text, definition)
    except (PenstockError, UnicodeDecodeError):
        return {}
    return {repo.relative(one.path): one for one in found if one.cached}


def _read_log(git: Git, limit: int, revision: str = "HEAD") -> list[_Touched]:
    arguments = ("log", "--first-parent", "-m", "--raw", "-z", "--no-abbrev", "--no-renames", "--relative")
    wanted = ("--", "*.dvc", f"{LOCK}", f"*/{LOCK}")
    text = git.run(*arguments, f"--max-count={limit}", _FORMAT, revision, *wanted)
    found: list[_Touched] = []
    for part in text.split("\x01")[1:]:
        fields = part.split("\0")
        if len(fields) < 4 or not _ID.fullmatch(fields[0]) or not fields[1].isdigit():
            continue
        commit = Commit(fields[0], 1000 * int(fields[1]), fields[2], fields[3])
        rest = [one.lstrip("\n") for one in fields[4:]]
        for head, name in pairwise(rest):
            words = head.split(" ")
            if head.startswith(":") and len(words) == 5:
                old, new = (blob if set(blob) != {"0"} else "" for blob in words[2:4])
                found.append(_Touched(commit, name, old, new))
    return found
