"""The models of the comparison: trained once into a folder, the same estimator for every server."""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path
from typing import Any

import numpy as np

FEATURES = 64
ROWS = 4000


def logistic() -> Any:
    """Fit a logistic regression of 64 features."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(ROWS, FEATURES))
    classes = (rows @ rng.normal(size=FEATURES) + rng.normal(size=ROWS) > 0).astype(int)
    return LogisticRegression().fit(rows, classes)


def forest() -> Any:
    """Fit a random forest of 100 trees on 64 features."""
    from sklearn.ensemble import RandomForestClassifier

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(ROWS, FEATURES))
    classes = (rows @ rng.normal(size=FEATURES) + rng.normal(size=ROWS) > 0).astype(int)
    return RandomForestClassifier(100, random_state=0).fit(rows, classes)


def example_row() -> list[float]:
    """Return the row that every request sends."""
    row: list[float] = np.random.default_rng(1).normal(size=FEATURES).round(6).tolist()
    return row


KINDS = {"logistic": logistic, "forest": forest}


def main() -> None:
    """Train a model into DIRECTORY/model.pkl."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("directory", type=Path)
    options = parser.parse_args()
    with (options.directory / "model.pkl").open("wb") as file:
        pickle.dump(KINDS[options.kind](), file)


if __name__ == "__main__":
    main()
