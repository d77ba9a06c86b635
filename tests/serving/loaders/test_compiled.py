"""Compiled estimators answer what scikit-learn answers, refuse what it refuses, or are not used."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from penstock.serving.loaders.compiled.compiling import compile_estimator, perturbed
from penstock.serving.loaders.compiled.table import NotCompiled, Table

RNG = np.random.default_rng(7)
ROWS = 400
NUMBERS = RNG.normal(size=(ROWS, 5)) * [1, 10, 0.1, 3, 100] + [0, 5, 0, -2, 50]
TEXT = np.array(["a", "b", "c", "d"], dtype=object)[RNG.integers(0, 4, ROWS)]
TWO = (NUMBERS[:, 0] + 0.3 * (TEXT == "a") + RNG.normal(size=ROWS) * 0.3 > 0).astype(int)
THREE = np.array(["low", "middle", "high"])[np.digitize(NUMBERS[:, 1], [0, 8])]
FRAME = pl.DataFrame({"text": TEXT.tolist(), **{f"x{index}": NUMBERS[:, index] for index in range(5)}})


def encoded(encoder: Any, end: Any) -> Any:
    return make_pipeline(make_column_transformer((encoder, ["text"]), remainder="passthrough"), end)


def holed(matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    found = matrix.copy()
    found[::7, 1] = np.nan
    return found


OF_NUMBERS: dict[str, tuple[Any, Any, Any]] = {
    "logistic, two classes": (LogisticRegression(), NUMBERS, TWO),
    "logistic, three classes of text": (LogisticRegression(max_iter=1000), NUMBERS, THREE),
    "scaled logistic": (make_pipeline(StandardScaler(), LogisticRegression()), NUMBERS, TWO),
    "imputed, scaled ridge": (
        make_pipeline(SimpleImputer(), MinMaxScaler(clip=True), Ridge()),
        holed(NUMBERS),
        NUMBERS[:, 0],
    ),
    "linear": (LinearRegression(), NUMBERS, NUMBERS[:, 2]),
    "linear of several outputs": (LinearRegression(), NUMBERS, NUMBERS[:, 2:4]),
    "forest": (RandomForestClassifier(20, random_state=0), NUMBERS, THREE),
    "extra trees": (ExtraTreesRegressor(20, random_state=0), NUMBERS, NUMBERS[:, 3]),
    "tree": (DecisionTreeClassifier(random_state=0), NUMBERS, TWO),
    "boosted, three classes": (HistGradientBoostingClassifier(max_iter=20), holed(NUMBERS), THREE),
    "boosted, one tree": (HistGradientBoostingClassifier(max_iter=1), NUMBERS, TWO),
    "boosted poisson": (
        HistGradientBoostingRegressor(max_iter=15, loss="poisson"),
        NUMBERS,
        np.abs(NUMBERS[:, 0]),
    ),
}
OF_TABLES: dict[str, Any] = {
    "ordinal codes, categorical splits": encoded(
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan),
        HistGradientBoostingClassifier(categorical_features=[0], max_iter=25),
    ),
    "one-hot columns": encoded(
        OneHotEncoder(handle_unknown="ignore", sparse_output=False), LogisticRegression(max_iter=2000)
    ),
    "two pipelines in a table": make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["x0", "x3"]),
            (OneHotEncoder(sparse_output=False), ["text"]),
            ("drop", ["x1"]),
        ),
        Ridge(),
    ),
}


def agree(compiled: Any, estimator: Any, table: Table, given: Any) -> None:
    ours, theirs = compiled.predict(table), estimator.predict(given)
    if theirs.dtype.kind == "f":
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    else:
        assert ours.tolist() == theirs.tolist()
    if hasattr(estimator, "predict_proba"):
        np.testing.assert_allclose(
            compiled.predict_proba(table), estimator.predict_proba(given), rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_of_numbers_they_answer_what_the_library_answers(name: str) -> None:
    estimator, matrix, target = OF_NUMBERS[name]
    estimator.fit(matrix, target)
    few = [(Table.of_matrix(matrix[:20]), matrix[:20])]
    compiled = compile_estimator(estimator, None, few)
    assert compiled is not None
    for rows in (matrix, matrix[:1], matrix * 1000, matrix.astype(np.float32).astype(np.float64)):
        agree(compiled, estimator, Table.of_matrix(rows), rows)


@pytest.mark.parametrize("name", OF_TABLES)
def test_of_named_columns_they_answer_what_the_library_answers(name: str) -> None:
    estimator = OF_TABLES[name].fit(FRAME, TWO)
    columns = [FRAME[column].to_numpy() for column in FRAME.columns]
    few = [(Table.of_columns([column[:20] for column in columns], 20), FRAME.head(20))]
    compiled = compile_estimator(estimator, FRAME.columns, few)
    assert compiled is not None
    agree(compiled, estimator, Table.of_columns(columns, ROWS), FRAME)
    for changed in perturbed(columns, ROWS):
        frame = pl.DataFrame(
            [
                pl.Series(column, values.tolist())
                for column, values in zip(FRAME.columns, changed, strict=True)
            ]
        )
        try:
            theirs = estimator.predict(frame)
        except Exception:
            with pytest.raises(NotCompiled):
                compiled.predict(Table.of_columns(changed, ROWS))
        else:
            np.testing.assert_allclose(compiled.predict(Table.of_columns(changed, ROWS)), theirs)


def test_what_the_library_refuses_is_left_to_it() -> None:
    estimator = LogisticRegression().fit(NUMBERS, TWO)
    compiled = compile_estimator(estimator, None, [(Table.of_matrix(NUMBERS), NUMBERS)])
    assert compiled is not None
    with pytest.raises(NotCompiled):
        compiled.predict(Table.of_matrix(holed(NUMBERS)))


def test_what_is_not_known_or_not_proved_is_not_used() -> None:
    example = [(Table.of_matrix(NUMBERS), NUMBERS)]
    assert compile_estimator(SVC().fit(NUMBERS, TWO), None, example) is None
    good = LogisticRegression().fit(NUMBERS, TWO)
    assert compile_estimator(good, None, []) is None
    mine = type("LogisticRegression", (LogisticRegression,), {"__module__": "mine"})().fit(NUMBERS, TWO)
    assert compile_estimator(mine, None, example) is None
    other = LogisticRegression().fit(-NUMBERS, TWO)
    other.predict = lambda rows: 1 - LogisticRegression.predict(other, rows)
    assert compile_estimator(other, None, example) is None


def test_many_rows_are_walked_in_parts() -> None:
    estimator = HistGradientBoostingRegressor(max_iter=3).fit(NUMBERS, NUMBERS[:, 0])
    rows = np.tile(NUMBERS, (25, 1))
    compiled = compile_estimator(estimator, None, [(Table.of_matrix(NUMBERS[:5]), NUMBERS[:5])])
    assert compiled is not None
    agree(compiled, estimator, Table.of_matrix(rows), rows)
