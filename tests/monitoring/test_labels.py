"""Labels that cannot be the truth are told apart from those that can."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from penstock.monitoring.labels import fits

CLASSIFIER = {"prediction": np.array([0, 1]), "probability": np.array([0.1, 0.9])}
REGRESSOR = {"prediction": np.array([0.5, 1.5])}
CLASSES = {"prediction": np.array(["a", "b"], dtype=object)}


@pytest.mark.parametrize("labels", [[0, 1], [True, False], [None, 1], [1.0, 0.0]])
def test_a_classifier_takes_zero_and_one(labels: list[Any]) -> None:
    assert fits(CLASSIFIER, labels)


@pytest.mark.parametrize("labels", [["a", "b"], [5, 7], [1e308, 0], [2**70, 0], ["\N{SNOWMAN}", 1]])
def test_a_classifier_takes_nothing_else(labels: list[Any]) -> None:
    assert not fits(CLASSIFIER, labels)


def test_a_regressor_takes_numbers_and_classes_take_themselves() -> None:
    assert fits(REGRESSOR, [1, -2.5])
    assert not fits(REGRESSOR, ["a", 1])
    assert not fits(REGRESSOR, [1e300, 1])
    assert fits(CLASSES, ["a", "c"])
