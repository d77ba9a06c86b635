"""`python`: a check of the user's own, a function in a file of the repository.

The function takes the evidence, and the settings where it has a second parameter. It answers an `Outcome`, a truth, or a
mapping with `passed` and whatever else an outcome has. Anything else, and whatever it raises, is an error.
"""

from __future__ import annotations

import importlib.util
import inspect
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path, PurePosixPath
from types import FrameType
from typing import Any

import msgspec
import numpy as np

from penstock.base.errors import Invalid
from penstock.registry.entities import CheckStatus
from penstock.registry.gates.check import Evidence, Gate, Outcome

KEYS = frozenset({"passed", "sentence", "observed", "expected", "n", "interval", "evidence"})


class PythonGate(msgspec.Struct, frozen=True, kw_only=True):
    """A function `FILE.py:NAME`, what it is given, further files whose content counts as its code, and its time."""

    check: str
    settings: dict[str, Any] = {}
    files: tuple[str, ...] = ()
    timeout_s: float = 600.0

    def __post_init__(self) -> None:
        """Refuse what is no function in a file of the repository."""
        if self.timeout_s <= 0:
            raise ValueError("`timeout_s` is above 0")
        file, colon, name = self.check.partition(":")
        if not (colon and name.isidentifier() and file.endswith(".py")):
            raise ValueError("a python check is `FILE.py:FUNCTION`")
        for path in (file, *self.files):
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise ValueError(f"{path} does not lie in the repository")

    @property
    def file(self) -> str:
        """Where the function is."""
        return self.check.partition(":")[0]


def check_python(gate: PythonGate, evidence: Evidence) -> Outcome:
    """Run the function.

    Raises:
        Invalid: it is not there, or answers what is no outcome.
    """
    function = _load(evidence.root, gate)
    given = (evidence, gate.settings) if len(inspect.signature(function).parameters) > 1 else (evidence,)
    sys.path.insert(0, str(evidence.root))
    try:
        # standard output is the command's own, such as one JSON document
        with redirect_stdout(sys.stderr), _limited(gate):
            answer = function(*given)
    finally:
        sys.path.remove(str(evidence.root))
    if isinstance(answer, Outcome):
        return answer
    if isinstance(answer, bool | np.bool_):
        answer = {"passed": bool(answer)}
    elif isinstance(answer, Mapping) and isinstance(answer.get("passed"), np.bool_):
        answer = {**answer, "passed": bool(answer["passed"])}
    if not isinstance(answer, Mapping) or not isinstance(answer.get("passed"), bool) or answer.keys() - KEYS:
        raise Invalid(
            f"{gate.check} answered {str(answer)[:80]!r}, which is no outcome",
            code="gate.no_outcome",
            hint="return True or False, or {'passed': …, 'sentence': …, 'observed': …, 'expected': …, 'n': …}",
        )
    rest = {key: value for key, value in answer.items() if key != "passed"}
    status: CheckStatus = "pass" if answer["passed"] else "fail"
    sentence = str(rest.pop("sentence", f"{gate.check} says {'yes' if answer['passed'] else 'no'}"))
    sentence = " ".join(sentence.split())
    return Outcome(status, sentence, **rest)


@contextmanager
def _limited(gate: PythonGate) -> Iterator[None]:
    """Let a function run no longer than it may; only the main thread can be interrupted.

    Raises:
        TimeoutError: it took longer; again each second, until it lets go.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"no answer in {gate.timeout_s:g} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, gate.timeout_s, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _load(root: Path, gate: PythonGate) -> Callable[..., Any]:
    path = root / gate.file
    if not path.resolve().is_relative_to(root.resolve()) or not path.is_file():
        raise Invalid(
            f"{gate.file} is not in the repository",
            code="gate.no_code",
            hint="git add it, or mend `python:` in penstock.yaml",
        )
    spec = importlib.util.spec_from_file_location(f"penstock_gate_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise Invalid(
            f"{gate.file} is no Python", code="gate.no_code", hint="mend `python:` in penstock.yaml"
        )
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(root))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(root))
    name = gate.check.partition(":")[2]
    function = getattr(module, name, None)
    if not callable(function):
        raise Invalid(
            f"{gate.file} has no function {name!r}",
            code="gate.no_code",
            hint="mend `python:` in penstock.yaml",
        )
    found: Callable[..., Any] = function
    return found


GATE = Gate(
    settings=PythonGate,
    check=check_python,
    title=lambda gate: gate.check,
    files=lambda gate: (gate.file, *gate.files),
    short=lambda text: PythonGate(check=text),
)
