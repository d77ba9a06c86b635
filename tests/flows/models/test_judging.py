"""A gate reads the held-out table once and scores it once a model, however many checks ask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

import penstock
from penstock.base.errors import Invalid
from penstock.flows.models import judging
from penstock.flows.models.candidates import Candidate
from penstock.flows.models.folders import files_of_folder
from penstock.flows.models.judging import HeldOutTable
from penstock.project.settings import ModelSettings
from penstock.registry.entities import Manifest
from projects import Sample


def test_many_checks_read_and_score_the_held_out_rows_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pl.DataFrame({"x": [0.0, 1.0, 2.0, 3.0] * 5, "late": [0, 0, 1, 1] * 5})
    frame.write_csv(tmp_path / "test.csv")
    model = LogisticRegression().fit(frame.select("x"), frame["late"].to_numpy())
    for name in ("new", "old"):
        penstock.save_model(model, str(tmp_path / name), frame.select("x"))
    settings = ModelSettings(name="m", path="new", test="test.csv", label="late")
    held_out = HeldOutTable(
        tmp_path,
        Candidate(settings, tmp_path / "new", Manifest(()), None),
        files_of_folder(tmp_path / "new", "m", 0, "d1"),
        files_of_folder(tmp_path / "old", "m", 1, "d0"),
    )
    counts = {"load_table": 0, "load_model": 0}
    for function in counts:
        original = getattr(judging, function)

        def counted(given: object, name: str = function, call: object = original) -> object:
            counts[name] += 1
            return call(given)  # type: ignore[operator]

        monkeypatch.setattr(judging, function, counted)
    for _check in range(3):
        assert held_out.labels().tolist() == frame["late"].to_list()
        assert np.array_equal(held_out.candidate_scores(), held_out.champion_scores())
    assert counts == {"load_table": 1, "load_model": 2}


def test_a_model_that_does_not_load_is_not_judged(tmp_path: Path) -> None:
    sample = Sample.make(tmp_path / "project", "trained")
    data = sample.root / "models/late/model.skops"
    whole = data.read_bytes()
    data.unlink()
    data.write_bytes(whole[: len(whole) // 2])
    for name in ("dvc.yaml", "dvc.lock"):  # no stage made it
        (sample.root / name).unlink()
    with pytest.raises(Invalid, match="the model in models/late does not load") as error:
        judging.run_gate(sample.project)
    assert error.value.code == judging.DOES_NOT_LOAD
    sample.close()
