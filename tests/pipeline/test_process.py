"""A command's output is handed on to its end, and what holds it open is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.pipeline import process
from penstock.pipeline.process import run_command


def test_what_holds_the_output_of_a_command_that_has_ended_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "HELD_S", 0.01)
    lines: list[str] = []
    holding = "(until [ -e go ]; do sleep 0.02; done; echo late) & echo begun"

    def say(line: str) -> None:
        lines.append(line)
        if "in the background" in line:
            (tmp_path / "go").touch()

    assert run_command("it", holding, tmp_path, say) == 0
    assert lines[0] == "begun" and "holds its output" in lines[1] and lines[2] == "late"
    lines.clear()
    monkeypatch.setattr(process, "HELD_S", 60.0)
    assert run_command("it", "echo a; exit 3", tmp_path, say) == 3
    assert lines == ["a"]
