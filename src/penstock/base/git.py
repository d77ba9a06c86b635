"""The git program, asked for facts and worktrees."""

from __future__ import annotations

import errno
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from penstock.base.errors import Invalid, NotFound, Unavailable, disk_full

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
NO_ROOM = os.strerror(errno.ENOSPC).encode()
LOCK_MS = 30_000
"""How long git waits for another git that holds a lock of references: its own second passes on a busy machine."""
PATIENT = ("-c", f"core.filesRefLockTimeout={LOCK_MS}", "-c", f"core.packedRefsTimeout={LOCK_MS}")


class Git:
    """Run git in one working tree. Every call is one process; nothing is cached but where its directory is."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, *arguments: str, check: bool = True) -> str:
        """Run `git ARGUMENTS` and return its standard output without the last newline.

        Raises:
            Invalid: git answered with an error (its own words are in the message).
            Unavailable: there is no git program.
        """
        return self.run_bytes(*arguments, check=check).decode(errors="surrogateescape").rstrip("\n")

    def run_bytes(
        self,
        *arguments: str,
        check: bool = True,
        variables: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> bytes:
        """Run `git ARGUMENTS` and return its standard output as it came.

        `variables` are added to the environment git runs in, `data` is its standard input.
        """
        settings = [f"{name}={value}" for name, value in (variables or {}).items()]
        command = ["env", *settings, "git"] if settings else ["git"]
        code, out, told = self._call([*command, "-C", str(self.root), *PATIENT, *arguments], data)
        if check and code != 0:
            if NO_ROOM in told:
                raise disk_full(self.root)
            words = told.decode(errors="replace").strip().splitlines()
            raise Invalid(
                f"git {arguments[0]} failed in {self.root}: {words[-1] if words else code}",
                code="git.failed",
                command=" ".join(arguments),
            )
        return out

    def _call(self, command: Sequence[str], data: bytes | None) -> tuple[int, bytes, bytes]:
        """Run a command to its end; where that is interrupted it is asked to end, so that it takes its locks away."""
        try:
            process = subprocess.Popen(
                command,
                stdin=None if data is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except FileNotFoundError:
            raise Unavailable(
                "the git program is not installed", code="git.missing", hint="apt-get install git"
            ) from None
        with process:
            try:
                out, told = process.communicate(data)
            except BaseException:
                process.terminate()
                raise
        return process.returncode, out, told

    def feed(self, data: bytes, *arguments: str, variables: Mapping[str, str] | None = None) -> bytes:
        """Run `git ARGUMENTS` with `data` on its standard input and return its standard output as it came."""
        return self.run_bytes(*arguments, variables=variables, data=data)

    def list_ignored(self, paths: Sequence[str]) -> set[str]:
        """Return those of the given relative paths that git ignores and does not track.

        None is where git cannot tell.
        """
        try:
            done = subprocess.run(
                ["git", "-C", str(self.root), "check-ignore", "-z", "--stdin"],
                input=b"".join(os.fsencode(path) + b"\0" for path in paths),
                capture_output=True,
                check=False,
            )
        except FileNotFoundError:
            return set()
        return {os.fsdecode(name) for name in done.stdout.split(b"\0") if name}

    def resolve(self, revision: str) -> str:
        """Return the full commit id of a revision.

        Raises:
            NotFound: no such revision.
        """
        asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        sha = "" if "\0" in revision else self.run(*asked, check=False)
        if not sha:
            raise NotFound(
                f"git knows no revision {revision!r} in {self.root}",
                code="git.no_revision",
                hint="git log --oneline --all lists those that it knows, git fetch brings those of a remote",
                revision=revision,
            )
        return sha

    def lacking(self, commits: Sequence[str]) -> set[str]:
        """Return those of full commit ids that this repository does not have, by one process; all where it is none."""
        told = self._call(
            ["git", "-C", str(self.root), "cat-file", "--batch-check"],
            "".join(f"{one}^{{commit}}\n" for one in commits).encode(),
        )[1]
        lines = told.decode(errors="replace").splitlines()
        return set(commits) - {one for one, line in zip(commits, lines, strict=False) if " commit " in line}

    def cut_commits(self) -> frozenset[str]:
        """Return the commits at which a shallow clone ends: what was before them, nobody knows here."""
        place = self.run("rev-parse", "--git-path", "shallow", check=False)
        try:
            return frozenset((self.root / place).read_text().split()) if place else frozenset()
        except OSError:
            return frozenset()

    def is_shallow(self) -> bool:
        """Whether the history of this clone was cut off."""
        return self.run("rev-parse", "--is-shallow-repository", check=False) == "true"

    def head(self) -> str | None:
        """Return the commit that is checked out, or None where there is none yet."""
        return self.run("rev-parse", "--verify", "--quiet", "HEAD", check=False) or None

    @cached_property
    def directory(self) -> Path:
        """Git's own directory of this tree, where its index lies.

        Raises:
            Invalid: this is no tree of git.
        """
        return Path(self.run("rev-parse", "--absolute-git-dir"))

    def branch(self) -> str | None:
        """Return the branch that is checked out, or None on a detached head."""
        return self.run("symbolic-ref", "--quiet", "--short", "HEAD", check=False) or None

    def dirty_patch(self, *, leave_out: Sequence[str], commit: str | None) -> bytes:
        """Return what the tree has beyond a commit, the one that is checked out (None: there is none yet), as a binary patch:
        empty when it is clean.

        New files that git does not ignore are part of it. The index is not touched: a copy is used.
        `leave_out` are paths, relative to this tree's root, that do not count.
        """
        import shutil  # 3 ms, which most commands do not need
        import tempfile

        with tempfile.TemporaryDirectory(prefix="penstock-index-") as folder:
            index = Path(folder) / "index"
            if (self.directory / "index").exists():
                # The copy keeps the index's time: git rehashes files as young as the index.
                shutil.copy2(self.directory / "index", index)
            ignored = self.list_ignored(leave_out) if leave_out else set()  # naming one is an error for git
            left = [path for path in leave_out if path not in ignored]
            paths = ("--", ":/", *(f":(exclude,literal){path}" for path in left))
            self.run_bytes("add", "--all", *paths, variables={"GIT_INDEX_FILE": str(index)})
            diff = ("diff", "--cached", "--binary", "--no-ext-diff", commit or EMPTY_TREE)
            return self.run_bytes(*diff, *paths, variables={"GIT_INDEX_FILE": str(index)})

    def apply(self, patch: bytes) -> None:
        """Change the files of the whole tree as a patch of `dirty_patch` says; the index stays.

        Raises:
            Invalid: it does not fit.
        """
        top = Git(Path(self.run("rev-parse", "--show-toplevel")))  # below it git leaves out what is beside
        top.feed(patch, "apply", "--binary", "--whitespace=nowarn", "-")

    def show(self, revision: str, path: str) -> bytes:
        """Return a file's bytes at a revision.

        Raises:
            Invalid: the file is not there.
        """
        return self.run_bytes("show", f"{revision}:{path}")


def changed_paths(patch: bytes) -> list[str]:
    r"""Return the paths that a patch of git changes, both of a renamed file, sorted; a head as it is where it names none.

    Example:
        >>> changed_paths(b'diff --git "a/\\303\\274 \\"" "b/\\303\\274 \\""\ndiff --git a/b c b/b c\n')
        ['b c', 'ü "']
    """
    found: set[str] = set()
    for head in re.findall(rb"^diff --git (.*)$", patch, re.MULTILINE):
        text = head.decode(errors="replace")
        named = re.fullmatch(r'("?)a/(.*?)"? ("?)b/(.*?)"?', text)
        if named is None:
            found.add(text)
            continue
        found |= {_unquoted(named[at + 1]) if named[at] else named[at + 1] for at in (1, 3)}
    return sorted(found)


def _unquoted(text: str) -> str:
    """Return a path without the escapes of C that git writes between quotes."""
    return (
        text.encode("ascii", "backslashreplace")
        .decode("unicode_escape")
        .encode("latin-1")
        .decode(errors="replace")
    )


def find_git_root(start: Path) -> Path | None:
    """Return the nearest directory at or above `start` that holds `.git`, or None."""
    for directory in (start, *start.parents):
        if os.path.lexists(directory / ".git"):
            return directory
    return None
