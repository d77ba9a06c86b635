"""What a process began ends when it is gone; what has ended, or is somebody else's, is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from penstock.base.guard import Guard
from penstock.base.running import is_running
from stories.live import wait_until

BEGINS = """\
import os, signal, subprocess, sys
from penstock.base.guard import GUARD, guarded
def begin(words):
    return subprocess.Popen(words, start_new_session=True, stdout=subprocess.DEVNULL)
kept, let_go = begin(["sh", "-c", "trap '' TERM; sleep 100 & wait"]), begin(["sleep", "100"])
GUARD.begin(kept.pid)
with guarded(let_go.pid):
    pass
if os.fork() == 0:  # a fork has a guard of its own, and holds nobody's
    own = begin(["sleep", "100"])
    GUARD.begin(own.pid)
    print(own.pid, flush=True)
    os._exit(0)
os.wait()
print(kept.pid, let_go.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_is_guarded_ends_with_a_killed_process_and_nothing_else() -> None:
    done = subprocess.run([sys.executable, "-c", BEGINS], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    own, kept, let_go = map(int, done.stdout.split())
    try:
        wait_until(lambda: not is_running(own))
        wait_until(lambda: not is_running(kept))  # it ignores SIGTERM: forced
        assert is_running(let_go)
    finally:
        os.kill(let_go, signal.SIGKILL)


def test_a_guard_that_somebody_ended_is_begun_anew_with_what_it_guarded() -> None:
    guard = Guard()
    with subprocess.Popen(["sleep", "100"], start_new_session=True) as one:
        guard.begin(one.pid)
        first = guard.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: not is_running(first))
        guard.prepare()
        second = guard.pid
        assert second is not None and second != first
        guard.forget()  # as a fork does: the pipe is closed
        assert one.wait(timeout=60) == -signal.SIGTERM
