"""`python`: a check of the user's own, a function in a file of the repository.

The function takes the evidence, and the settings where it has a second parameter. It answers an `Outcome`, a truth, or a
mapping with `passed` and whatever else an outcome has. Anything else, and whatever it raises, is an error. It runs in a
process of its own (`penstock.registry.gates.apart`), and what it prints is kept.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import msgspec

from penstock.base.errors import Invalid
from penstock.registry.entities import CheckStatus
from penstock.registry.gates.apart import Ended, run_apart, task_of
from penstock.registry.gates.asking import weigh
from penstock.registry.gates.check import Evidence, Gate, Outcome

KEPT_LINES = 20
OUTPUT = "python-output.txt"
CAME_LATER = {"memory_mb": 8192}
"""Settings that count for a verdict only where they differ from these, so that older verdicts keep holding."""
KEYS = frozenset({"passed", "sentence", "observed", "expected", "n", "interval", "evidence"})


class PythonGate(msgspec.Struct, frozen=True, kw_only=True):
    """A function `FILE.py:NAME`, what it is given, further files whose content counts as its code, its time and memory."""

    check: str
    settings: dict[str, Any] = {}
    files: tuple[str, ...] = ()
    timeout_s: float = 600.0
    memory_mb: int = 8192

    def __post_init__(self) -> None:
        """Refuse what is no function in a file of the repository."""
        if self.timeout_s <= 0:
            raise ValueError("`timeout_s` is above 0")
        if self.memory_mb < 256:
            raise ValueError("`memory_mb` is at least 256")
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
        Invalid: it is not there.
    """
    path = evidence.root / gate.file
    if not path.resolve().is_relative_to(evidence.root.resolve()) or not path.is_file():
        raise Invalid(
            f"{gate.file} is not in the repository",
            code="gate.no_code",
            hint="git add it, or mend `python:` in penstock.yaml",
        )
    task = task_of(evidence, gate.check, gate.settings, gate.memory_mb)
    ended = run_apart(task, evidence, gate.timeout_s)
    try:
        found = _outcome(gate, ended)
    except (TypeError, ValueError) as error:
        found = Outcome("error", f"{gate.check} answered what is no outcome: {error}")
    if not ended.output.strip():
        return found
    lines = ended.output.decode("utf-8", "replace").strip().splitlines()[-KEPT_LINES:]
    kept = {
        **found.evidence,
        "output": lines,
        "files": {**_files(found), **evidence.keep_file(OUTPUT, ended.output)},
    }
    return Outcome(
        found.status, found.sentence, found.observed, found.expected, found.n, found.interval, kept
    )


def _outcome(gate: PythonGate, ended: Ended) -> Outcome:
    """Return what the function said; an error where it said nothing clear."""
    answer = ended.answer
    if ended.is_silent:
        return Outcome("error", f"could not be checked: {gate.check}: {answer['ended']}")
    if "error" in answer:
        code = {"code": answer["code"]} if "code" in answer else {}
        return Outcome("error", f"could not be checked: {answer['error'][:500]}", evidence=code)
    if "outcome" in answer:
        return Outcome(**{**answer["outcome"], "interval": _pair(answer["outcome"]["interval"])})
    said = answer.get("said", {})
    if not isinstance(said.get("passed"), bool) or said.keys() - KEYS:
        shown = answer.get("odd", str(said))
        return Outcome(
            "error",
            f"could not be checked: {gate.check} answered {shown[:80]!r}, which is no outcome: return True or False, or "
            "{'passed': …, 'sentence': …, 'observed': …, 'expected': …, 'n': …}",
            evidence={"code": "gate.no_outcome"},
        )
    rest = {key: value for key, value in said.items() if key != "passed"}
    status: CheckStatus = "pass" if said["passed"] else "fail"
    sentence = str(rest.pop("sentence", f"{gate.check} says {'yes' if said['passed'] else 'no'}"))
    rest["interval"] = _pair(rest.get("interval"))
    return Outcome(status, " ".join(sentence.split()), **rest)


def _pair(interval: Any) -> tuple[float, float] | None:
    if interval is None:
        return None
    low, high = interval
    return float(low), float(high)


def _files(found: Outcome) -> dict[str, Any]:
    files = found.evidence.get("files")
    return dict(files) if isinstance(files, dict) else {}


def _written(gate: PythonGate) -> dict[str, Any]:
    written: dict[str, Any] = msgspec.to_builtins(gate)
    return {key: value for key, value in written.items() if key not in CAME_LATER or value != CAME_LATER[key]}


GATE = Gate(
    settings=PythonGate,
    check=check_python,
    title=lambda gate: gate.check,
    written=_written,
    files=lambda gate: (gate.file, *gate.files),
    short=lambda text: PythonGate(check=text),
    weighed=weigh(check="any", settings="any", files="gone", timeout_s="higher", memory_mb="higher"),
)
