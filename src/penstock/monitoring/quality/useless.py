"""Which answers are none: no finite number or one beyond any size, no probability, no class of the model, or nothing at all.

They are what the guard `outputs` judges, and no label says how right they were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.records.classes import PREDICTION, PROBABILITY, class_name, is_probability, probability_output

SLACK, ROUNDED = 1e-6, 4
"""What rounding may add to a probability, or take from it: so much, or so many steps of its kind of number."""
LARGEST_ANSWER = 1e75
"""A larger number is no answer: the square of its squared error, which the standard error is made of, is not finite."""
Flags = npt.NDArray[np.bool_]


def useless_rows(columns: Mapping[str, npt.NDArray[Any]], classes: Sequence[Any] | None = None) -> Flags:
    """Return for each row of an answer, as columns of one value a row or tensors, whether it is none.

    Args:
        classes: the model's classes, where they are known; another class is no answer.
    """
    found = [
        is_useless(name, values, classes, is_number=is_own_number(name, columns, classes))
        for name, values in columns.items()
    ]
    return np.any(found, axis=0) if found else np.zeros(0, dtype=np.bool_)


def is_own_number(
    name: str, columns: Mapping[str, npt.NDArray[Any]], classes: Sequence[Any] | None = None
) -> bool:
    """Whether an output is a regression's own number beside its prediction, called `probability_mm` or the like."""
    answer = columns.get(PREDICTION)
    if answer is None or answer.dtype.kind != "f" or name == PROBABILITY:
        return False
    return name not in {probability_output(one) for one in classes or ()}


def is_useless(
    name: str, values: npt.NDArray[Any], classes: Sequence[Any] | None = None, *, is_number: bool = False
) -> Flags:
    """Return for each row of an output whether it is none that a model may give.

    Args:
        is_number: whether it is a number like any other, whatever its name: a regression may answer `probability_mm`.
    """
    is_judged = is_probability(name) and not is_number
    if values.dtype.kind in "fc":
        is_wide = values.dtype.kind == "f" and values.dtype.itemsize > 4
        odd: Flags = ~(
            np.abs(values) <= LARGEST_ANSWER if name == PREDICTION and is_wide else np.isfinite(values)
        )
        if is_judged and values.dtype.kind == "f":
            slack = max(SLACK, ROUNDED * float(np.finfo(values.dtype).eps))
            odd |= (values < -slack) | (values > 1 + slack)
    elif is_judged and values.dtype.kind == "O":
        odd = np.array([not _is_share(one) for one in values.ravel().tolist()], dtype=np.bool_).reshape(
            values.shape
        )
    elif is_judged and values.dtype.kind in "UST":
        odd = np.ones(values.shape, dtype=np.bool_)
    elif values.dtype.kind == "O":
        odd = _odd_objects(values, may_be_absent=name != PREDICTION)
    else:
        odd = np.zeros(values.shape, dtype=np.bool_)
    found: Flags = np.any(odd, axis=tuple(range(1, odd.ndim)))
    if classes is not None and name == PREDICTION and values.ndim == 1:
        names = {class_name(one) for one in classes}
        found = found | np.array([class_name(one) not in names for one in values.tolist()], dtype=np.bool_)
    return found


def _is_share(value: object) -> bool:
    return isinstance(value, float) and -SLACK <= value <= 1 + SLACK


def _odd_objects(values: npt.NDArray[Any], *, may_be_absent: bool) -> Flags:
    flags = [
        not may_be_absent if one is None else isinstance(one, float) and not math.isfinite(one)
        for one in values.ravel().tolist()
    ]
    return np.array(flags, dtype=np.bool_).reshape(values.shape)
