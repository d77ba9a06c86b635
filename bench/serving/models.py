"""The models of the comparison: trained once into a folder, the same estimator for every server."""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

FEATURES = 64
ROWS = 4000
NUMBERS, COUNTS, TEXTS = 12, 4, 4
"""Columns of the mixed table: FP64, INT64 and text."""
CITIES = ("Berlin", "Lima", "Oslo", "Quito", "Rome", "Tokyo")


def _table() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(ROWS, FEATURES))
    classes = (rows @ rng.normal(size=FEATURES) + rng.normal(size=ROWS) > 0).astype(int)
    return rows, classes


def logistic() -> tuple[Any, Any]:
    """Fit a logistic regression of 64 features; return it and rows that it takes."""
    from sklearn.linear_model import LogisticRegression

    rows, classes = _table()
    return LogisticRegression().fit(rows, classes), _named(rows[:5])


def forest() -> tuple[Any, Any]:
    """Fit a random forest of 100 trees on 64 features; return it and rows that it takes."""
    from sklearn.ensemble import RandomForestClassifier

    rows, classes = _table()
    return RandomForestClassifier(100, random_state=0).fit(rows, classes), _named(rows[:5])


def boosted() -> tuple[Any, Any]:
    """Fit 100 boosted trees on 20 named columns of numbers, counts and text; return them and rows that they take."""
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    rng = np.random.default_rng(0)
    table = {f"n{index}": rng.normal(size=ROWS) for index in range(NUMBERS)}
    table |= {f"c{index}": rng.integers(0, 50, ROWS) for index in range(COUNTS)}
    table |= {f"t{index}": rng.choice(CITIES, ROWS).astype(object) for index in range(TEXTS)}
    frame = pd.DataFrame(table)
    score = frame["n0"] + frame["c0"] / 25 - 1 + (frame["t0"] == "Oslo")
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer(
        (encoder, [f"t{index}" for index in range(TEXTS)]), remainder="passthrough"
    )
    model = make_pipeline(columns, HistGradientBoostingClassifier(max_iter=100, random_state=0))
    return model.fit(frame, (score > 0.5).astype(int)), frame.iloc[:5]


def _named(rows: Any) -> Any:
    import pandas as pd

    return pd.DataFrame(rows, columns=[f"f{index}" for index in range(rows.shape[1])])


def example_row() -> list[float]:
    """Return the row that requests for the models of 64 features send."""
    row: list[float] = np.random.default_rng(1).normal(size=FEATURES).round(6).tolist()
    return row


def mixed_inputs() -> list[dict[str, Any]]:
    """Return one row for the boosted trees, as the inputs of a request."""
    rng = np.random.default_rng(1)
    numbers = [(f"n{index}", "FP64", float(rng.normal())) for index in range(NUMBERS)]
    counts = [(f"c{index}", "INT64", int(rng.integers(0, 50))) for index in range(COUNTS)]
    texts = [(f"t{index}", "BYTES", str(rng.choice(CITIES))) for index in range(TEXTS)]
    return [
        {"name": name, "shape": [1], "datatype": datatype, "data": [value]}
        for name, datatype, value in (*numbers, *counts, *texts)
    ]


KINDS = {"logistic": logistic, "forest": forest, "boosted": boosted}


def release(model: Any, rows: Any, folder: Path) -> None:
    """Let an endpoint `bench` of a new project in FOLDER/project serve the model, as a user would."""
    import penstock

    saved, project = folder / "saved", folder / "project"
    penstock.save_model(model, saved, inputs=rows)
    project.mkdir()
    command = [str(Path(sys.executable).parent / "penstock"), "-C", str(project)]
    environment = {**os.environ, "PENSTOCK_ACTOR": "bench"}
    for arguments in (
        ["git", "init", "--quiet", str(project)],
        [*command, "init"],
        [*command, "model", "register", "bench", str(saved)],
        [*command, "deploy", "bench", "--model", "bench/1", "--no-wait"],
    ):
        subprocess.run(arguments, check=True, capture_output=True, env=environment)


def main() -> None:
    """Train a model into DIRECTORY/model.pkl, and release it in DIRECTORY/project."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("directory", type=Path)
    options = parser.parse_args()
    model, rows = KINDS[options.kind]()
    with (options.directory / "model.pkl").open("wb") as file:
        pickle.dump(model, file)
    release(model, rows, options.directory)


if __name__ == "__main__":
    main()
