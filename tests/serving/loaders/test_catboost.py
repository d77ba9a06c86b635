"""CatBoost's categories of whole numbers and booleans keep their types on the way to the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from catboost import CatBoostClassifier

import penstock
from penstock.flows.models.folders import files_of_folder
from penstock.serving.loaders import load_model

RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "num": RANDOM.normal(size=200),
        "int": RANDOM.integers(0, 4, 200),
        "flag": RANDOM.integers(0, 2, 200).astype(bool),
    }
)
LABELS = ((FRAME["int"] % 2 == 1) ^ FRAME["flag"]).astype(int)


@pytest.mark.parametrize("categories", [["int"], ["flag"], ["int", "flag"]])
@pytest.mark.parametrize("hold", [pd.DataFrame, pl.DataFrame])
def test_categories_that_are_numbers_are_served_as_they_were_fitted(
    tmp_path: Path, categories: list[str], hold: Any
) -> None:
    model = CatBoostClassifier(
        iterations=5, verbose=0, cat_features=categories, allow_writing_files=False, thread_count=1
    ).fit(FRAME, LABELS)
    given = hold(FRAME.to_dict("list"))
    penstock.save_model(model, tmp_path / "m", inputs=given)
    predictor = load_model(files_of_folder(tmp_path / "m", "m", 1, "d"))
    outputs = predictor.predict({name: FRAME[name].to_numpy() for name in FRAME}, len(FRAME))
    assert np.allclose(outputs["probability"], model.predict_proba(FRAME)[:, 1])
