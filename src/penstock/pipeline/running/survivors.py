"""Process groups of stages, tests and gates that outlived the command that ran them, killed with no time to end them.

Each group is noted in a file below `.dvc/tmp` of its tree while it runs. The next reproduction or judgement, and for a tree of its own
the next that makes one (`project.worktree`), ends those whose command is gone:
two of one stage would write the same files. Groups of commands that run, or of other machines, are left alone.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from penstock.base.errors import Conflict
from penstock.base.files import write_atomic
from penstock.base.running import has_ended, is_running, name_process

logger = logging.getLogger(__name__)
FOLDER = "penstock-running"
ROOT = "DVC_ROOT"
"""The variable that commands are given, by which what they started is known."""
GRACE_S, KILLED_S = 5.0, 30.0
"""How long a group has to end when it is asked to, and how long the system to end it by force."""


@contextmanager
def noted(root: Path, stage: str, group: int) -> Iterator[None]:
    """Note for the block that a stage's process group runs; nothing where the root is no repository.

    Args:
        group: the process id of its leader.
    """
    tmp = root / ".dvc" / "tmp"
    if not tmp.parent.is_dir():
        yield
        return
    file = tmp / FOLDER / f"{group}.json"
    document = {"stage": stage, "owner": name_process(), "leader": name_process(group)}
    with suppress(OSError):  # a command is not stopped because it cannot be noted
        write_atomic(file, json.dumps(document).encode(), durable=False)
    try:
        yield
    finally:
        with suppress(OSError):
            file.unlink(missing_ok=True)


def end_survivors(root: Path) -> list[int]:
    """End the groups whose command is gone and return their ids; what is ended is told.

    Raises:
        Conflict: one cannot be ended; its id is named.
    """
    folder = root / ".dvc" / "tmp" / FOLDER
    if not folder.is_dir():
        return []
    found = []
    for file in sorted(folder.glob("*.json")):
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
            stage, owner, leader = (str(document[key]) for key in ("stage", "owner", "leader"))
            group = int(leader.partition(".")[0])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if not has_ended(owner):
            continue
        if end_group(
            stage, group, leader, f"{ROOT}={root}", why="still ran: the command that ran it was killed"
        ):
            found.append(group)
        file.unlink(missing_ok=True)
    return found


def end_group(name: str, group: int, leader: str, mark: str, *, why: str) -> bool:
    """End a process group, first asked, after `GRACE_S` forced; say whether anything of it ran. What is ended is told.

    Args:
        leader: the name of its leader (see `penstock.base.running.name_process`): a group that got its number is left alone.
        mark: the variable, `NAME=VALUE`, by which a member is known where the leader is gone.
        why: why it is ended, for the log.

    Raises:
        Conflict: it cannot be ended; a process is named.
    """
    if not _members(group, leader, mark):
        return False
    logger.warning("`%s` %s; process group %d is ended", name, why, group)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while _members(group, leader, mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    if _members(group, leader, mark):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
        deadline = time.monotonic() + KILLED_S
        while (left := _members(group, leader, mark)) and time.monotonic() < deadline:
            time.sleep(0.05)
        if left:
            raise Conflict(
                f"`{name}` still runs as process {left[0]}: the command that ran it was killed",
                code="pipeline.still_running",
                hint=f"kill -KILL -- -{group}, then run this command again",
                stage=name,
                pid=left[0],
            )
    return True


def _members(group: int, leader: str, mark: str) -> list[int]:
    """Return the processes of a group that run; none where its number has gone to another group since.

    A number is not given anew while its group has processes. Where the leader is gone, a member is known by the
    variable that its command was given.
    """
    if group <= 1:
        return []
    is_led = is_running(group)
    if is_led and has_ended(leader):
        return []
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else [str(group)]:
        if not name.isdecimal():
            continue
        with suppress(OSError):
            pid = int(name)
            if os.getpgid(pid) == group and is_running(pid) and (is_led or _has(pid, mark)):
                found.append(pid)
    return found


def _has(pid: int, mark: str) -> bool:
    with suppress(OSError):
        return mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False
