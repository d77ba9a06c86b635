"""Chains and votes that were loaded answer the rows that they were saved with, held in whatever people hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import penstock
from penstock.base.errors import Invalid

X = np.random.default_rng(3).normal(size=(40, 3))
Y = (X.sum(axis=1) > 0).astype(int)
NAMES = ["a", "b", "c"]
FRAME = pl.DataFrame(X, schema=NAMES)
FEW: list[Any] = [
    X[:4],
    X[:4].tolist(),
    FRAME.head(4),
    pd.DataFrame(X[:4], columns=NAMES),
    FRAME.head(4).to_dicts(),
    FRAME.head(4).to_dict(as_series=False),
]


def fitted(joint: str) -> Any:
    model = LogisticRegression().fit(scaled := StandardScaler().fit(X).transform(X), Y)
    if joint == "vote":
        return penstock.Vote(model, LogisticRegression(C=0.1).fit(scaled, Y))
    return penstock.Chain(StandardScaler().fit(X), model)


@pytest.mark.parametrize("joint", ["chain", "vote"])
@pytest.mark.parametrize("inputs", [X, FRAME], ids=["matrix", "table"])
def test_a_loaded_chain_or_vote_answers_rows_of_every_kind(tmp_path: Path, joint: str, inputs: Any) -> None:
    made = fitted(joint)
    penstock.save_model(made, tmp_path / "m", inputs=inputs)
    loaded = penstock.load_model(tmp_path / "m")
    rows = StandardScaler().fit_transform(X)[:4] if joint == "chain" else X[:4]
    own = made.parts[-1] if joint == "chain" else made.parts[0]
    for few in FEW:
        found = loaded.predict(few)
        assert set(found) == {"prediction", "probability"}
        assert found["prediction"].shape == (4,)
        if joint == "chain":
            assert found["probability"] == pytest.approx(own.predict_proba(rows)[:, 1])
            assert found["prediction"].tolist() == own.predict(rows).tolist()
    assert loaded.predict(X[:1])["prediction"].shape == (1,)


def test_rows_that_do_not_fit_a_loaded_chain_are_refused(tmp_path: Path) -> None:
    penstock.save_model(fitted("chain"), tmp_path / "m", inputs=FRAME)
    loaded = penstock.load_model(tmp_path / "m")
    for rows, why in (
        (FRAME.select("a", "b"), "lacks the input 'c'"),
        (X[:, :2], "2 columns"),
        (FRAME.with_columns(a=pl.lit("x")), "not rows of a model's inputs"),
    ):
        with pytest.raises(Invalid, match=why):
            loaded.predict(rows)
