"""Whether a process of this machine still runs: what it left behind may be taken only when it does not."""

from __future__ import annotations

import os


def is_running(pid: int) -> bool:
    """Say whether a process is there and has not ended; one that only waits to be collected has.

    Works without `/proc` too, where an ended process counts until its parent collects it; so does another
    user's process that `/proc` hides.

    Example:
        >>> is_running(os.getpid()), is_running(0), is_running(1 << 80)
        (True, False, False)
    """
    if pid <= 0:  # such numbers mean groups
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # another user's
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in {b"Z", b"X"}
    except (OSError, IndexError):
        return True
