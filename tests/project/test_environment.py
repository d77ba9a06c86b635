"""What is recorded of the interpreter and its packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.project.environment import environment


def test_what_an_installation_that_was_cut_off_left_is_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half-1.0.dist-info").mkdir()
    whole = tmp_path / "Whole-2.0.dist-info"
    whole.mkdir()
    (whole / "METADATA").write_text("Metadata-Version: 2.1\nName: Whole\nVersion: 2.0\n\ntext\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = environment()
    assert found["whole"] == "2.0"
    assert "half" not in found and "" not in found
