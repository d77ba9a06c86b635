"""The page of MLflow's clients is in step with the script that writes its table."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_table_has_every_client_and_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    script = runpy.run_path(str(ROOT / "bench" / "mlflow_clients.py"))
    _, _, rest = script["PAGE"].read_text().partition(script["BEGIN"])
    table, _, _ = rest.partition(script["END"])
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if "|" in line
    ]
    assert rows[0] == ["MLflow", "Python", *script["STEPS"]]
    assert [row[0] for row in rows[2:]] == list(script["VERSIONS"])
    assert {cell for row in rows[2:] for cell in row[2:]} <= {"works", "fails"}
    for version in script["VERSIONS"]:
        pins = (script["PINS"] / f"{version}.txt").read_text().splitlines()
        assert f"mlflow=={version}" in pins
        assert all("==" in line for line in pins)
    story = (ROOT / "bench" / "client_story.py").read_text()
    assert [line for line in story.splitlines() if line.startswith("@step")] == [
        f'@step("{step}")' for step in script["STEPS"]
    ]
