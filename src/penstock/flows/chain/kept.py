"""Whether this repository still has a commit, and what brings one that it lacks."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from penstock.base.errors import NotFound, PenstockError
from penstock.base.git import Git


class Lacking(NamedTuple):
    """That a commit is not here, in words, and what helps."""

    what: str
    hint: str

    @property
    def sentence(self) -> str:
        """Both."""
        return f"{self.what}: {self.hint}, or fetch it from a clone that has it" if self.hint else self.what


def why_lacking(git: Git, commit: str) -> Lacking | None:
    """Say why a commit cannot be looked at, None where it can. Costs a git process, of one that is lacking four."""
    try:
        git.resolve(commit)
        return None
    except NotFound:
        pass
    except PenstockError as error:
        return Lacking(f"whether this repository has it is not known: {error.message}", error.hint or "")
    if not git.run("rev-parse", "--git-dir", check=False):
        return Lacking("no git repository is here that could have it", "")
    remote = next(iter(git.run("remote", check=False).splitlines()), "URL")
    if git.is_shallow():
        return Lacking("this clone is shallow and does not have it", f"git fetch --unshallow {remote}")
    return Lacking("this repository does not have it", f"git fetch {remote} {shlex.quote(commit)}")
