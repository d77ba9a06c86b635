"""`command`: a program of the user's own passes by ending with 0; its last line may be JSON that says what it found."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import msgspec

from penstock.base.process import with_own_programs
from penstock.registry.entities import CheckStatus
from penstock.registry.gates.asking import weigh
from penstock.registry.gates.begun import begun, without_key
from penstock.registry.gates.check import Evidence, Gate, Outcome

KEPT_LINES = 20


class CommandGate(msgspec.Struct, frozen=True, kw_only=True):
    """A command for the shell, run in the root; `files` are those whose content counts as its code."""

    run: str
    timeout_s: float = 600.0
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        if not self.run.strip() or self.timeout_s <= 0:
            raise ValueError("a command check needs `run`, and `timeout_s` above 0")
        for path in self.files:
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise ValueError(f"{path} does not lie in the repository")


def check_command(gate: CommandGate, evidence: Evidence) -> Outcome:
    """Run the command; another exit code than 0 fails; one that takes too long, or says otherwise, is an error."""
    command = with_own_programs(without_key(evidence.root, ["/bin/sh", "-c", gate.run]))
    with begun(evidence, f"gate {gate.run[:80]}", command, subprocess.PIPE) as process:
        try:
            output, _ = process.communicate(timeout=gate.timeout_s)
        except subprocess.TimeoutExpired:
            told = f"`{gate.run}` took longer than {gate.timeout_s:g} s"
            return Outcome("error", told, expected="exit code 0")
    lines = output.decode("utf-8", "replace").strip().splitlines()[-KEPT_LINES:]
    said = _said(lines[-1] if lines else "")
    code = process.returncode
    sentence = f"`{gate.run}` ended with {code}"
    if text := said.get("sentence") or (lines[-1] if code and lines else ""):
        sentence += f": {str(text)[:300]}"
    n, observed = said.get("n"), said.get("observed")
    status: CheckStatus = "pass" if code == 0 else "fail"
    if code == 0 and said.get("passed", True) is not True:
        status, sentence = (
            "error",
            f"{sentence}; its last line says that it has not passed, its exit code that it has",
        )
    return Outcome(
        status,
        sentence,
        observed=observed if isinstance(observed, int | float | str) else f"exit code {code}",
        expected=str(said.get("expected", "exit code 0")),
        n=n if isinstance(n, int) else None,
        evidence={"exit_code": code, "output": lines},
    )


def _said(line: str) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


GATE = Gate(
    settings=CommandGate,
    check=check_command,
    title=lambda gate: gate.run[:80],
    files=lambda gate: gate.files,
    weighed=weigh(run="any", files="gone", timeout_s="higher"),
)
