"""`pytest`: behavioural tests of the user's own pass on the candidate; their JUnit report is kept.

A test finds the model folder in the environment variable `PENSTOCK_MODEL`, and loads it as any program would.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree as ET

import msgspec

from penstock.base.numbers import counted
from penstock.base.process import with_own_programs
from penstock.registry.gates.asking import weigh
from penstock.registry.gates.begun import begun, without_key
from penstock.registry.gates.check import Evidence, Gate, Outcome

FILE = "pytest-junit.xml"
MODEL = "PENSTOCK_MODEL"
KEPT = 20
RAN = frozenset({0, 1})
"""Exit codes of a run in which every test had its say."""


class PytestGate(msgspec.Struct, frozen=True, kw_only=True):
    """Files of tests, further `files` whose content counts as their code, and their time."""

    tests: tuple[str, ...]
    files: tuple[str, ...] = ()
    min_tests: int = 1
    timeout_s: float = 600.0

    def __post_init__(self) -> None:
        """Refuse what names no tests."""
        if not self.tests or self.timeout_s <= 0 or self.min_tests < 1:
            raise ValueError("a pytest check needs `tests`, and `timeout_s` and `min_tests` above 0")
        for path in (*self.tests, *self.files):
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or path.startswith("-"):
                raise ValueError(f"{path} does not lie in the repository")
        for path in self.tests:
            if not path.endswith(".py"):
                raise ValueError(
                    f"{path} is no file of tests: name each, so that a verdict is bound to its code"
                )


def check_pytest(gate: PytestGate, evidence: Evidence) -> Outcome:
    """Run the tests; skipped ones say nothing, and what could not be collected is an error.

    Raises:
        PenstockError: there is no model.
    """
    model = evidence.require_candidate()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / FILE
        command = [
            f"{MODEL}={model.folder}",
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"--junitxml={report}",
            *gate.tests,
        ]
        program = with_own_programs(without_key(evidence.root, command))
        with begun(evidence, f"gate {' '.join(gate.tests)[:80]}", program, subprocess.PIPE) as process:
            try:
                output, _ = process.communicate(timeout=gate.timeout_s)
            except subprocess.TimeoutExpired:
                told = f"the tests took longer than {gate.timeout_s:g} s"
                return Outcome("error", told, expected="all pass")
        lines = output.decode("utf-8", "replace").strip().splitlines()[-KEPT:]
        if process.returncode not in RAN or not report.is_file():
            last = lines[-1] if lines else ""
            return Outcome(
                "error",
                f"pytest ended with {process.returncode}: {last[:300]}",
                expected="all pass",
                evidence={"output": lines},
            )
        content = report.read_bytes()
    return _outcome(gate, content, lines, evidence)


def _outcome(gate: PytestGate, content: bytes, lines: list[str], evidence: Evidence) -> Outcome:
    cases = list(ET.fromstring(content).iter("testcase"))
    bad = [
        f"{one.get('classname', '')}::{one.get('name', '')}".lstrip(":")
        for one in cases
        if one.find("failure") is not None or one.find("error") is not None
    ]
    ran = sum(one.find("skipped") is None for one in cases)
    kept = {"failed": bad[:KEPT], "output": lines, "files": evidence.keep_file(FILE, content)}
    expected = f"all of at least {gate.min_tests} pass"
    if ran < gate.min_tests:
        sentence = f"{counted(ran, 'test')} ran, {gate.min_tests} are needed"
        return Outcome("error", sentence, observed=len(bad), expected=expected, n=ran, evidence=kept)
    sentence = f"{len(bad)} of {counted(ran, 'test')} failed{f', such as {bad[0]}' if bad else ''}"
    return Outcome(
        "fail" if bad else "pass", sentence, observed=len(bad), expected=expected, n=ran, evidence=kept
    )


def _beside(gate: PytestGate, root: Path) -> tuple[str, ...]:
    """Return what pytest runs with the tests unasked: `conftest.py` above them, and the packages that they lie in."""
    found: dict[str, None] = {}
    for name in gate.tests:
        for folder in PurePosixPath(name).parents:
            for file in ("conftest.py", "__init__.py"):
                path = (folder / file).as_posix()
                if (root / path).is_file():
                    found[path] = None
    return tuple(found)


GATE = Gate(
    settings=PytestGate,
    check=check_pytest,
    title=lambda gate: ", ".join(gate.tests)[:80],
    files=lambda gate: (*gate.tests, *gate.files),
    beside=_beside,
    weighed=weigh(tests="fewer", min_tests="lower", files="gone", timeout_s="higher"),
)
