"""What is recorded of the interpreter and its packages."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from penstock.project.environment import environment


@pytest.mark.parametrize("reader", ["importlib.metadata", "importlib_metadata"])
def test_what_an_installation_that_was_cut_off_left_is_no_package(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    importlib.import_module(reader)  # the second takes the place of the first, wherever MLflow was imported
    (tmp_path / "half-1.0.dist-info").mkdir()
    whole = tmp_path / "Whole-2.0.dist-info"
    whole.mkdir()
    (whole / "METADATA").write_text("Metadata-Version: 2.1\nName: Whole\nVersion: 2.0\n\ntext\n")
    (tmp_path / "old-1.5.egg-info").write_text(
        "Metadata-Version: 1.0\r\nName: old\r\nVersion: 1.5\r\n\r\nName: none\r\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = environment()
    assert found["whole"] == "2.0" and found["old"] == "1.5"
    assert "half" not in found and "" not in found
