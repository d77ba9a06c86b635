"""Several serve processes behind one port: forked from one that has loaded the libraries, restarted when they end.

Each worker listens on a socket of its own on the same port, between which the kernel shares out connections. The
supervisor holds them all open. Where a worker dies, new connections go to those that live until its next has loaded its
models and listens; where none lives they wait for the next instead of being refused. What the dead one had not taken yet is
reset. The supervisor answers nothing itself, has no thread and opens no store.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Iterable, Sequence
from types import FrameType

import msgspec

from penstock.base.process import die_with_parent
from penstock.http.listen import ending_signals
from penstock.http.prometheus.workers import WorkerMetrics
from penstock.serving.ending.underway import note_end, was_cut_off

logger = logging.getLogger(__name__)
POLL_S = 0.05
SETTLED_S = 5.0
"""A worker that lived this long had started; one that did not is restarted after a growing pause."""
PAUSE_MAX_S = 30.0
GRACE_S = 40.0


class WorkerSlot(msgspec.Struct):
    """A place for one worker; its process changes."""

    number: int
    socket: socket.socket
    pid: int = 0
    started_s: float = 0.0
    failures: int = 0
    again_s: float = 0.0


class Supervised(msgspec.Struct, frozen=True, kw_only=True):
    """What a process finds after `supervise`: a worker its socket, the supervisor how its first worker failed."""

    socket: socket.socket | None = None
    exit_code: int = 0


def supervise(sockets: Sequence[socket.socket], folder: str) -> Supervised:
    """Fork a worker for each socket and keep them running until SIGTERM, SIGINT or SIGHUP.

    `folder` is where the processes add up what they count. Returns once in every worker, with its socket, and once
    in the supervisor, at the end. Main thread only, and no other thread may run. A worker that ends by itself, with an
    exit code, before any has settled ends them all: what it could not do (open the store) the next could not either. Not
    so one that a model ended in the middle.
    """
    asked: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    before = {number: signal.signal(number, stop) for number in ending_signals()}
    slots = [WorkerSlot(number, one) for number, one in enumerate(sockets)]
    metrics = WorkerMetrics(len(slots), folder)
    has_settled, code = False, 0
    while not asked and not code:
        for slot in slots:
            if not slot.pid and time.monotonic() >= slot.again_s and not _begin(slot):
                for number, handler in before.items():
                    signal.signal(number, handler)
                _close(one for one in slots if one is not slot)
                return Supervised(socket=slot.socket)
            has_settled = has_settled or (slot.pid > 0 and _age_s(slot) > SETTLED_S)
            status = _ended(slot)
            if status is None:
                continue
            code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0
            if code and not has_settled and not was_cut_off(folder, slot.pid):
                slot.pid = 0
                break
            code = 0
            if any(one.pid and one is not slot and _listens(one) for one in slots):
                _leave_to_others(slot)
            metrics.count_end(slot.pid)
            note_end(folder, slot.pid, status)
            _note_end(slot, status)
        time.sleep(POLL_S)
    _end(slots)
    for number, handler in before.items():
        signal.signal(number, handler)
    return Supervised(exit_code=code)


def _begin(slot: WorkerSlot) -> bool:
    """Fork; return False in the worker. Where the system refuses that now, it is tried again after a pause."""
    try:
        pid = os.fork()
    except OSError as error:
        slot.failures += 1
        pause_s = _pause_s(slot.failures + 1)
        logger.error("no worker process can be begun: %s; again in %g s", error.strerror, pause_s)
        slot.again_s = time.monotonic() + pause_s
        return True
    if pid == 0:
        die_with_parent()
        return False
    slot.pid, slot.started_s = pid, time.monotonic()
    return True


def _ended(slot: WorkerSlot) -> int | None:
    if not slot.pid:
        return None
    pid, status = os.waitpid(slot.pid, os.WNOHANG)
    return status if pid else None


def _age_s(slot: WorkerSlot) -> float:
    return time.monotonic() - slot.started_s


def _note_end(slot: WorkerSlot, status: int) -> None:
    how = f"exit code {os.WEXITSTATUS(status)}" if os.WIFEXITED(status) else f"signal {os.WTERMSIG(status)}"
    slot.failures = 0 if _age_s(slot) > SETTLED_S else slot.failures + 1
    pause_s = _pause_s(slot.failures)
    when = f" in {pause_s:g} s" if pause_s else ""
    logger.error("worker process %d ended with %s; another begins%s", slot.pid, how, when)
    slot.pid, slot.again_s = 0, time.monotonic() + pause_s


def _pause_s(failures: int) -> float:
    """Return how long to wait after so many failures in a row: the first is followed at once."""
    return min(PAUSE_MAX_S, 0.5 * 2.0 ** min(failures - 2, 32)) if failures > 1 else 0.0


def _listens(slot: WorkerSlot) -> bool:
    return bool(slot.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _close(slots: Iterable[WorkerSlot]) -> None:
    """Close this process's copies of sockets: a port is open for as long as anybody has one."""
    for slot in slots:
        slot.socket.close()


def _leave_to_others(slot: WorkerSlot) -> None:
    """Let new connections go to the workers that live, until this one's next has loaded its models and listens again.

    As long as its socket listens the kernel gives it a part of them, which would wait for as long as that takes. One
    that does not listen must not be shut down: it would stay so, and each connection it takes later with it.
    """
    if _listens(slot):
        with contextlib.suppress(OSError):  # it stopped to listen in between
            slot.socket.shutdown(socket.SHUT_RD)


def _end(slots: Sequence[WorkerSlot]) -> None:
    _close(slots)
    running = [slot for slot in slots if slot.pid]
    for slot in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(slot.pid, signal.SIGTERM)
    deadline_s = time.monotonic() + GRACE_S
    while running and time.monotonic() < deadline_s:
        running = [slot for slot in running if _ended(slot) is None]
        time.sleep(POLL_S)
    for slot in running:
        os.kill(slot.pid, signal.SIGKILL)
        os.waitpid(slot.pid, 0)
