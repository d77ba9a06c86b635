"""Which answers are none: no finite number, no probability, no class of the model, or nothing at all.

They are what the guard `outputs` judges, and no label says how right they were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.records.classes import PREDICTION, class_name, is_probability

SLACK = 1e-6
"""What rounding may add to a probability, or take from it."""
Flags = npt.NDArray[np.bool_]


def useless_rows(columns: Mapping[str, npt.NDArray[Any]], classes: Sequence[Any] | None = None) -> Flags:
    """Return for each row of an answer, as columns of one value a row or tensors, whether it is none.

    Args:
        classes: the model's classes, where they are known; another class is no answer.
    """
    found = [is_useless(name, values, classes) for name, values in columns.items()]
    return np.any(found, axis=0) if found else np.zeros(0, dtype=np.bool_)


def is_useless(name: str, values: npt.NDArray[Any], classes: Sequence[Any] | None = None) -> Flags:
    """Return for each row of an output whether it is none that a model may give."""
    if values.dtype.kind in "fc":
        odd: Flags = ~np.isfinite(values)
        if is_probability(name) and values.dtype.kind == "f":
            odd |= (values < -SLACK) | (values > 1 + SLACK)
    elif is_probability(name) and values.dtype.kind in "OUST":
        odd = np.ones(values.shape, dtype=np.bool_)
    elif values.dtype.kind == "O":
        odd = _odd_objects(values, may_be_absent=name != PREDICTION)
    else:
        odd = np.zeros(values.shape, dtype=np.bool_)
    found: Flags = np.any(odd.reshape(len(odd), -1), axis=1, keepdims=True)[:, 0]
    if classes is not None and name == PREDICTION and values.ndim == 1:
        names = {class_name(one) for one in classes}
        found = found | np.array([class_name(one) not in names for one in values.tolist()], dtype=np.bool_)
    return found


def _odd_objects(values: npt.NDArray[Any], *, may_be_absent: bool) -> Flags:
    flags = [
        not may_be_absent if one is None else isinstance(one, float) and not math.isfinite(one)
        for one in values.ravel().tolist()
    ]
    return np.array(flags, dtype=np.bool_).reshape(values.shape)
