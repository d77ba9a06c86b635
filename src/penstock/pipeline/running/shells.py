"""Which shell runs the commands of stages, and how it is begun: `$SHELL`, as in DVC, so that a pipeline means one thing.

Source: dvc/stage/run.py (3.67): `get_executable`, `_make_cmd`. Differs in that a stage's own `SHELL` (`meta.penstock.env`)
wins, in that a shell that is not there is told, and in that what only keeps an account from logging in is none.
"""

from __future__ import annotations

import errno
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import PurePath

from penstock.base.errors import NotFound
from penstock.base.process import inherited

SHELL = "SHELL"
_DEFAULT = "/bin/sh"
POSIX = (_DEFAULT, "-c")
"""The shell of what is no stage, such as the tests of a CI run."""
_BARE = {"bash": ("--noprofile", "--norc"), "zsh": ("--no-rcs",)}
"""What keeps a shell from reading files of the user's, which may change what the command finds."""
_TURN_AWAY = frozenset({"git-shell", "nologin", "false", "true"})
"""The login shells of accounts that nobody works in: sshd gives one to the hook of a repository, sudo to a service."""
_NOT_BEGUN = frozenset({errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR, errno.EPERM})
_FISH_BARE_FROM = (3, 3, 0)


def shell_for(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the words before a command's text, for a stage with `variables` of its own."""
    program = inherited(variables).get(SHELL) or _DEFAULT
    name = PurePath(program).name.lower()
    if name in _TURN_AWAY:
        return POSIX
    if name == "fish" and _reads_no_config(program):
        return (program, "--no-config", "-c")
    return (program, *_BARE.get(name, ()), "-c")


@contextmanager
def told_where_missing(shell: Sequence[str]) -> Iterator[None]:
    """Tell of a shell that cannot be begun in the block.

    Raises:
        NotFound: there is none, or it is no program.
    """
    try:
        yield
    except OSError as error:
        if (
            error.filename != shell[0] or error.errno not in _NOT_BEGUN
        ):  # the directory, or too long a command
            raise
        raise NotFound(
            f"the shell {shell[0]}, which $SHELL names, cannot be run here: {error.strerror}; set SHELL to another",
            code="pipeline.no_shell",
            hint="SHELL=/bin/sh penstock repro",
        ) from None


@cache
def _reads_no_config(fish: str) -> bool:
    """Say whether a fish knows `--no-config`."""
    try:
        told = subprocess.run(
            [fish, "--version"], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", told.stdout)
    return found is not None and tuple(map(int, found.groups())) >= _FISH_BARE_FROM
