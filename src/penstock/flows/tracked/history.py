"""What other commits track: pointers' and pipelines' outputs as of a set of revisions.

Every distinct `.dvc` and `dvc.lock` text is parsed once, however many commits hold it, and all are read
through one `git cat-file` process.
"""

from __future__ import annotations

import datetime
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.base.errors import Invalid, PenstockError
from penstock.base.git import Git
from penstock.data.formats.output import Output
from penstock.data.pointers.metafiles import SUFFIX
from penstock.data.pointers.pointer import parse_pointer
from penstock.data.repository import DataRepository
from penstock.pipeline.outputs import parse_outputs

LOCK, DEFINITION = "dvc.lock", "dvc.yaml"


@dataclass(frozen=True)
class Scope:
    """Which commits count: tips of branches and tags, all commits, the last `count` of a revision, by date.

    `since` is an ISO date (commits of that day and later); `count` below 1 means no limit.
    """

    branches: bool = False
    tags: bool = False
    commits: bool = False
    experiments: bool = False
    revision: str | None = None
    count: int = 1
    since: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it names no commit at all."""
        return not (
            self.branches
            or self.tags
            or self.commits
            or self.experiments
            or self.revision
            or self.since is not None
        )


def list_commits(git: Git, scope: Scope) -> list[str]:
    """Return the full ids of the commits in scope, each once.

    Raises:
        NotFound: the revision does not exist.
        Invalid: the date is not one.
    """
    if scope.is_empty or git.head() is None:
        return []
    limit = [] if scope.count < 1 else [f"--max-count={scope.count}"]
    found: dict[str, None] = {}

    def take(*arguments: str) -> None:
        found.update(dict.fromkeys(git.run("rev-list", *arguments).split()))

    if scope.commits:
        take("--all", "HEAD")
    if scope.branches:
        for tip in git.run("for-each-ref", "--format=%(objectname)", "refs/heads").split():
            take("--first-parent", *limit, tip)
    for wanted, refs in ((scope.tags, "refs/tags"), (scope.experiments, "refs/exps")):
        names = git.run("for-each-ref", "--format=%(refname)", refs).split() if wanted else []
        for name in names:
            commit = git.run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", check=False)
            found.update({commit: None} if commit else {})
    if scope.revision:
        take("--first-parent", *limit, git.resolve(scope.revision))
    if scope.since is not None:
        take("--all", "HEAD", f"--max-age={_seconds(scope.since)}")
    return list(found)


def _seconds(date: str) -> int:
    try:
        return int(datetime.datetime.strptime(date, "%Y-%m-%d").astimezone().timestamp())
    except ValueError:
        raise Invalid(
            f"{date!r} is not a date", code="data.bad_date", hint="write it as 2026-01-31"
        ) from None


def outputs_at(
    repo: DataRepository, commits: Sequence[str], *, skip_failed: bool = False
) -> Iterator[Output]:
    """Yield every output with a recorded hash of the given commits; equal texts are parsed once.

    Raises:
        Invalid: a pointer or lock of a commit cannot be read, unless `skip_failed`.
    """
    git = Git(repo.root)
    listed: dict[tuple[str, str, str], None] = {}
    for commit in commits:
        files = _list_files(git, commit)
        nested = {name.partition("/.dvc/")[0] + "/" for name in files if "/.dvc/" in name}
        for name, blob in files.items():
            if any(name.startswith(root) for root in nested):
                continue
            base = name.rpartition("/")[2]
            if base.endswith(SUFFIX) and base != SUFFIX:
                listed[(name, blob, "")] = None
            elif base == LOCK:
                definition = files.get(name.removesuffix(LOCK) + DEFINITION, "")
                listed[(name, blob, definition)] = None
    texts = read_blobs(repo.root, {blob for _, *blobs in listed for blob in blobs if blob})
    for name, blob, definition in listed:
        try:
            yield from parse_metafile(repo, name, texts[blob], texts.get(definition, b""))
        except (PenstockError, UnicodeDecodeError) as error:
            if not skip_failed:
                raise Invalid(
                    f"{name} of an old commit cannot be read: {error}",
                    code="data.bad_history",
                    hint="--skip-failed leaves such files out",
                    path=name,
                ) from None


def parse_metafile(repo: DataRepository, name: str, text: bytes, definition: bytes) -> list[Output]:
    """Return the outputs with a recorded hash of a pointer's or lock's text; `definition` is the `dvc.yaml` beside a lock.

    Raises:
        Invalid: it cannot be read.
    """
    path = repo.root / name
    if name.endswith(SUFFIX):
        outputs = list(parse_pointer(repo, path, text.decode()).outputs)
    else:
        outputs = parse_outputs(repo.root, path, text.decode(), definition.decode(errors="replace"))
    return [output for output in outputs if output.hash is not None]


def _list_files(git: Git, commit: str) -> dict[str, str]:
    """Return the blob of every metafile (and of `.dvc/config`) by path relative to the repository."""
    found: dict[str, str] = {}
    for raw in git.run_bytes("ls-tree", "-r", "-z", commit, ".").split(b"\0"):
        head, _, name = raw.partition(b"\t")
        if name.endswith((b".dvc", b"dvc.lock", b"dvc.yaml", b"/.dvc/config")) and b" blob " in head:
            if head.startswith(b"120000"):  # a symbolic link
                continue
            found[os.fsdecode(name)] = head.split()[2].decode()
    return found


def read_blobs(root: Path, blobs: set[str]) -> dict[str, bytes]:
    """Return the bytes of git blobs by id, through one process."""
    if not blobs:
        return {}
    done = subprocess.run(
        ["git", "-C", str(root), "cat-file", "--batch"],
        input="".join(f"{blob}\n" for blob in blobs).encode(),
        capture_output=True,
        check=False,
    )
    found: dict[str, bytes] = {}
    data, at = done.stdout, 0
    while at < len(data):
        end = data.index(b"\n", at)
        words = data[at:end].split()
        if len(words) != 3:
            raise Invalid(f"git lost the object {words[0].decode()}", code="git.failed", hint="git fsck")
        size = int(words[2])
        found[words[0].decode()] = data[end + 1 : end + 1 + size]
        at = end + size + 2
    return found
