"""A gate does not pass where penstock.yaml names what is not there, and says when it checked nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from penstock.base.errors import Invalid
from penstock.cli.gates.explaining import render_verdict
from penstock.flows.models.judging import run_gate
from penstock.workspace import open_workspace
from projects import Sample


def test_what_penstock_yaml_names_must_be_there_also_when_nothing_is_compared(tmp_path: Path) -> None:
    sample = Sample.make(tmp_path / "project", "trained")
    path = sample.root / "penstock.yaml"
    settings = yaml.safe_load(path.read_text())
    good = dict(settings["model"])
    assert {"test", "label", "reference"} <= set(good)
    mistakes = {
        "label": ("latte", "gate.no_such_column"),
        "test": ("data/tset.csv", "data.bad_table"),
        "reference": ("data/nowhere.parquet", "data.bad_table"),
        "time": ("when", "gate.no_such_column"),
    }
    for key, (value, code) in mistakes.items():
        path.write_text(yaml.safe_dump({**settings, "model": {**good, key: value}}))
        with pytest.raises(Invalid) as told:
            run_gate(open_workspace(sample.root))
        assert told.value.code == code, key
        assert value in told.value.message
    path.write_text(yaml.safe_dump({**settings, "gates": []}))
    verdict = run_gate(open_workspace(sample.root))
    assert "nothing was checked but that it loads" in verdict.summary
    assert "write `gates:`" in render_verdict(verdict)
    path.write_text(yaml.safe_dump(settings))
    assert run_gate(open_workspace(sample.root)).summary.endswith("checks passed")
