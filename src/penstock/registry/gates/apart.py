"""Run a user's own check in a process of its own: bounded in time and memory, its output kept, a crash told.

The process asks for what it looks at (scores, models, facts) over a connection, and is answered from here. It is a new
one, since a copy of this one would inherit threads that do not run there. What runs in it is in `child`.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from penstock.base.errors import PenstockError
from penstock.registry.gates.begun import begun, without_key
from penstock.registry.gates.check import Evidence, read_frame
from penstock.registry.gates.child import PROPERTIES, Task

CHILD = "penstock.registry.gates.child"
MAX_OUTPUT = 1 << 20
LATE = "late"
ASKED = ("held_out", "candidate", "champion", "facts", "traffic")


@dataclass(frozen=True)
class Ended:
    """What became of a check: its answer as plain data, or why there is none; and what it printed."""

    answer: Mapping[str, Any]
    output: bytes

    @property
    def is_silent(self) -> bool:
        """Whether the process ended without an answer."""
        return "ended" in self.answer


def task_of(evidence: Evidence, target: str, settings: dict[str, Any], memory_mb: int) -> Task:
    """Return what a child is to do to call `FILE.py:FUNCTION`."""
    file, _, function = target.partition(":")
    there = {name for name in ASKED if getattr(evidence, name) is not None}
    if evidence.keep is not None:
        there.add("evidence")
    return Task(
        evidence.root,
        file,
        function,
        settings,
        memory_mb,
        dict(evidence.metrics),
        evidence.metrics_from,
        evidence.named,
        frozenset(there),
    )


def run_apart(task: Task, evidence: Evidence, timeout_s: float) -> Ended:
    """Let a child do a task. It and all that it started have ended when this returns."""
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryFile() as output:
        given = theirs.fileno()
        command = without_key(task.root, [sys.executable, "-P", "-m", CHILD, str(given)])
        with (
            theirs,
            Connection(ours.detach()) as link,
            begun(evidence, f"gate {task.file}:{task.function}", command, output, (given,)) as process,
        ):
            theirs.close()
            answer = _serve(link, task, evidence, time.monotonic() + timeout_s)
            if "ended" in answer:
                if answer["ended"] != LATE:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(1.0)
                answer = {"ended": _how(process.poll(), timeout_s)}
        output.seek(0, os.SEEK_END)
        output.seek(max(0, output.tell() - MAX_OUTPUT))
        return Ended(answer, output.read())


def _serve(link: Connection, task: Task, evidence: Evidence, until_s: float) -> dict[str, Any]:
    """Answer what the child asks until it has an answer, is gone, or its time is over."""
    link.send_bytes(pickle.dumps(task))
    while link.poll(max(0.0, until_s - time.monotonic())):
        try:
            said = msgspec.msgpack.decode(link.recv_bytes())
        except (EOFError, ConnectionError):
            return {"ended": "gone"}
        if "answer" in said:
            answer: dict[str, Any] = said["answer"]
            return answer
        link.send_bytes(pickle.dumps(_look(evidence, said)))
    return {"ended": LATE}


def _look(evidence: Evidence, said: Mapping[str, Any]) -> tuple[bool, Any]:
    """Return what an object of the gate says; (False, why) where it says nothing."""
    try:
        name, what = str(said["object"]), str(said["what"])
        is_known = name in ASKED or (name, what) == ("evidence", "keep")
        if not is_known or what.startswith("_"):
            raise KeyError(what)
        found = getattr(getattr(evidence, name) if name in ASKED else evidence, what)
        if what in PROPERTIES:
            return True, found
        called: Callable[..., Any] = found
        return True, called(*map(_given, said["given"]))
    except PenstockError as error:
        return False, (error.message, error.code, error.hint or "")
    except Exception as error:  # noqa: BLE001 - a model may raise anything
        return False, (f"{type(error).__name__}: {error}"[:500], "gate.not_told", "")


def _given(one: Mapping[str, Any]) -> Any:
    return read_frame(one["frame"]) if "frame" in one else one["value"]


def _how(code: int | None, timeout_s: float) -> str:
    if code is None:
        return f"no answer in {timeout_s:g} s"
    if code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with {code} and gave no answer"
