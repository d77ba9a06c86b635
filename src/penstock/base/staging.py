"""Names of temporary files that tell whose they are, and the removal of those whose process was killed.

A directory may be shared by machines (a cache or a remote on a network disk), and a process id means nothing on
another one: what another machine left goes after a day.
"""

from __future__ import annotations

import os
import re
import stat
import time
from contextlib import suppress

from penstock.base.running import is_running

FOREIGN_S = 24 * 3600
HOST = f"{int.from_bytes(os.uname().nodename.encode()) % 4294967291:08x}"
_NAME = re.compile(r"(\d+)-([0-9a-f]{8})[0-9a-f]*(?:-\d+)?\Z")


def new_token() -> str:
    """Return the part of a name that tells the machine and one user of the directory; the process id comes before.

    A name is `<pid>-<token>`, or `<pid>-<token>-<number>`.
    """
    return HOST + os.urandom(6).hex()


def staging_name() -> str:
    """Return a new name of this process."""
    return f"{os.getpid()}-{new_token()}"


def remove_stale(folder: str) -> None:
    """Remove files and directories with such names whose process is gone, as far as that is known."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    for name in names:
        match = _NAME.match(name)
        if match is not None:
            with suppress(OSError):
                _remove_if_stale(f"{folder}/{name}", int(match[1]), is_ours=match[2] == HOST)


def _remove_if_stale(path: str, pid: int, *, is_ours: bool) -> None:
    info = os.lstat(path)
    if is_running(pid) if is_ours else info.st_mtime > time.time() - FOREIGN_S:
        return
    if stat.S_ISDIR(info.st_mode):
        import shutil

        shutil.rmtree(path)
    else:
        os.unlink(path)
