"""The process in which a user's own check runs: it is asked for one answer, and asks the gate for what it looks at.

Run as a program by `penstock.registry.gates.apart`. What comes from there is pickled; what goes there is plain data, so
that code of a check runs nowhere else.
"""

from __future__ import annotations

import importlib.util
import inspect
import io
import pickle
import resource
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from penstock.base.errors import Invalid, PenstockError
from penstock.registry.gates.check import Evidence, Named, Outcome
from penstock.registry.gates.code import module_places

PROPERTIES = frozenset({"champion", "name", "folder", "size_bytes", "inputs"})
"""What of the gate's objects is a value and not a method."""


@dataclass(frozen=True)
class Task:
    """What a child is to do: the function, what it is given, and what there is to ask of."""

    root: Path
    file: str
    function: str
    settings: dict[str, Any]
    memory_mb: int
    metrics: dict[str, float]
    metrics_from: str
    named: Named
    there: frozenset[str]


class Far:
    """An object of the gate, asked over the connection."""

    def __init__(self, link: Connection, name: str) -> None:
        self._link, self._name = link, name

    def __getattr__(self, what: str) -> Any:
        """Return a value, or what calls a method."""
        if what.startswith("_"):
            raise AttributeError(what)
        if what in PROPERTIES:
            return self._ask(what, ())
        return lambda *given: self._ask(what, given)

    def _ask(self, what: str, given: tuple[Any, ...]) -> Any:
        self._link.send_bytes(
            _encode({"object": self._name, "what": what, "given": [_plain(one) for one in given]})
        )
        is_done, value = pickle.loads(self._link.recv_bytes())
        if not is_done:
            message, code, hint = value
            raise Invalid(message, code=code, hint=hint)
        return value


def main(descriptor: int) -> None:
    """Do one task that comes over a connection, and answer there."""
    link = Connection(descriptor)
    task: Task = pickle.loads(link.recv_bytes())
    resource.setrlimit(resource.RLIMIT_DATA, (task.memory_mb << 20, task.memory_mb << 20))
    try:
        answer = _describe(_call(task, link))
    except PenstockError as error:
        answer = {"error": error.message, "code": error.code, "hint": error.hint or ""}
    except BaseException as error:  # noqa: BLE001 - a check may raise anything, SystemExit too
        answer = {"error": f"{type(error).__name__}: {error}"[:2000]}
    sys.stdout.flush()
    link.send_bytes(_encode({"answer": answer}))
    link.close()


def _call(task: Task, link: Connection) -> Any:
    there: dict[str, Any] = {name: Far(link, name) for name in task.there}
    evidence = Evidence(
        root=task.root,
        metrics=task.metrics,
        held_out=there["held_out"],
        metrics_from=task.metrics_from,
        named=task.named,
        candidate=there.get("candidate"),
        champion=there.get("champion"),
        facts=there.get("facts"),
        traffic=there.get("traffic"),
        keep=there["evidence"].keep if "evidence" in there else None,
    )
    sys.path[:0] = [str(place) for place in module_places(task.root, [task.root / task.file])]
    function = _load(task)
    given = (evidence, task.settings) if len(inspect.signature(function).parameters) > 1 else (evidence,)
    return function(*given)


def _load(task: Task) -> Callable[..., Any]:
    path = task.root / task.file
    spec = importlib.util.spec_from_file_location(f"penstock_gate_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise Invalid(
            f"{task.file} is no Python", code="gate.no_code", hint="mend `python:` in penstock.yaml"
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function = getattr(module, task.function, None)
    if not callable(function):
        raise Invalid(
            f"{task.file} has no function {task.function!r}",
            code="gate.no_code",
            hint="mend `python:` in penstock.yaml",
        )
    found: Callable[..., Any] = function
    return found


def _describe(answer: Any) -> dict[str, Any]:
    """Return what a check answered and of which kind it was."""
    if isinstance(answer, Outcome):
        fields = ("status", "sentence", "observed", "expected", "n", "interval", "evidence")
        return {"outcome": {name: getattr(answer, name) for name in fields}}
    if isinstance(answer, bool | np.bool_):
        return {"said": {"passed": bool(answer)}}
    if isinstance(answer, Mapping):
        passed = answer.get("passed")
        return {"said": {**answer, "passed": bool(passed)} if isinstance(passed, np.bool_) else dict(answer)}
    return {"odd": str(answer)[:200]}


def _plain(value: Any) -> Any:
    """Return an argument as plain data; a table as its bytes."""
    if hasattr(value, "write_ipc"):
        buffer = io.BytesIO()
        value.write_ipc(buffer)
        return {"frame": buffer.getvalue()}
    return {"value": value}


def _encode(value: Any) -> bytes:
    def other(one: Any) -> Any:
        return one.tolist() if hasattr(one, "tolist") else str(one)

    return msgspec.msgpack.encode(value, enc_hook=other)


if __name__ == "__main__":
    main(int(sys.argv[1]))
