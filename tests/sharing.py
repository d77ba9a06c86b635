"""What one run of the tests makes once for all its processes: a folder, things in it, and servers that run until its end.

The process that controls a run calls `begin` and `end`; workers inherit the folder's name. Whoever needs a thing first
makes it, under a lock; the others wait and use it. Servers are kept by a process of their own (`servers/keeper.py`),
which ends with the controlling process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from patience import PATIENCE_S

RUN = "PENSTOCK_TESTS_RUN"
KEEPER = Path(__file__).parent / "servers" / "keeper.py"
STARTED_S = 2 * PATIENCE_S
MEMORY = Path("/dev/shm")
IN_MEMORY = "PENSTOCK_TESTS_IN_MEMORY"
OWN_PLACE = "PENSTOCK_TESTS_MEMORY"
ROOM_BYTES = 8 << 30
begun: list[subprocess.Popen[bytes]] = []
"""The keepers of this process, so that none is taken for collected while it runs."""


def begin() -> None:
    """Make the folder of a run; this process controls it.

    Files of tests lie in memory where there is room, but for PENSTOCK_TESTS_IN_MEMORY=0: a disk takes a tenth more of the
    processor, and one that frees blocks at once longer for that than most tests.
    """
    _remove_left()
    if os.environ.get(IN_MEMORY) != "0" and _is_roomy(MEMORY):
        os.environ["TMPDIR"] = os.environ[OWN_PLACE] = tempfile.mkdtemp(prefix="p-", dir=MEMORY)
        Path(os.environ["TMPDIR"]).chmod(0o755)
        tempfile.tempdir = None
    place = tempfile.mkdtemp(prefix="penstock-tests-")
    Path(place).chmod(0o755)  # PostgreSQL's user goes through it
    os.environ[RUN] = place
    (Path(place) / "controller").write_text(str(os.getpid()))


def end() -> None:
    """Stop the servers of the run and remove its folder."""
    place = Path(os.environ.pop(RUN))
    keepers = [int(path.read_text()) for path in place.glob("*/keeper")]
    for pid in keepers:
        with suppress(ProcessLookupError):
            os.kill(pid, 15)
    deadline = time.monotonic() + 60
    while any(_runs(pid) for pid in keepers) and time.monotonic() < deadline:
        time.sleep(0.02)
    shutil.rmtree(place, ignore_errors=True)
    if (own := os.environ.pop(OWN_PLACE, None)) is not None:
        shutil.rmtree(own, ignore_errors=True)


def folder() -> Path:
    """Return the folder of this run."""
    return Path(os.environ[RUN])


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Let one process of the run at a time work under a name."""
    with (folder() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def made(name: str, make: Callable[[Path], None]) -> Path:
    """Return a directory that the first caller of the run makes."""
    place, done = folder() / name, folder() / f"{name}.done"
    with locked(name):
        if not done.exists():
            shutil.rmtree(place, ignore_errors=True)
            make(place)
            done.touch()
    return place


def shared_server(name: str) -> Any:
    """Return the server of a name (see `servers/keeper.py`), which the first caller of the run starts."""
    place = folder() / name
    told = place / "told"
    with locked(name):
        if not told.exists():
            keeper = _begin_keeper(name, place)
            deadline = time.monotonic() + STARTED_S
            while not told.exists():
                if not _runs(keeper) and not told.exists():
                    raise AssertionError(f"{name} did not start: {(place / 'log').read_text()}")
                assert time.monotonic() < deadline, f"{name} did not start in {STARTED_S} s"
                time.sleep(0.05)
    found = pickle.loads(told.read_bytes())
    if isinstance(found, str):
        pytest.skip(found)
    return found


def _begin_keeper(name: str, place: Path) -> int:
    """Return the process that keeps a server: one that a worker began which ended since, else a new one."""
    note = place / "keeper"
    if note.exists() and _runs(int(note.read_text())):
        return int(note.read_text())
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    place.chmod(0o755)
    with (place / "log").open("wb") as log:
        keeper = subprocess.Popen(
            [sys.executable, str(KEEPER), name, str(place), (folder() / "controller").read_text()],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    begun.append(keeper)
    note.with_suffix(".new").write_text(str(keeper.pid))
    note.with_suffix(".new").rename(note)
    return keeper.pid


def _remove_left() -> None:
    """Remove what runs left in memory that were killed."""
    for place in MEMORY.glob("p-*"):
        controllers = [int(note.read_text()) for note in place.glob("penstock-tests-*/controller")]
        if controllers and not any(_runs(pid) for pid in controllers):
            shutil.rmtree(place, ignore_errors=True)


def _is_roomy(place: Path) -> bool:
    """Say whether a file system of memory, and the memory itself, have room for the files of a run."""
    if not place.is_dir():
        return False
    available = next(
        int(line.split()[1]) << 10
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemAvailable:")
    )
    return min(available, shutil.disk_usage(place).free) >= 2 * ROOM_BYTES


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the latter where it goes while its file is read
        return False
