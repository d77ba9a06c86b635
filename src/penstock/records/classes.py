"""What a classifier's classes are called: in labels, in predictions, in the outputs of their probabilities.

One name for one class, however it is written; which classes a model has is known by the model alone.
"""

from __future__ import annotations

import math
import sys
from typing import Any

PREDICTION = "prediction"
"""The output that has a model's answer: a number, or a class."""
PROBABILITY = "probability"
"""The output of a binary classifier: the probability of its last class."""
CLASSES_MAX = 100
"""With more classes than that a model answers no probabilities: an answer would be mostly those."""

LARGEST = int(sys.float_info.max)
"""The largest whole number that an output can hold, if not exactly."""


def is_beyond_outputs(value: Any) -> bool:
    """Whether a label is a whole number that no output can hold.

    Example:
        >>> is_beyond_outputs(10**400), is_beyond_outputs(10**300), is_beyond_outputs("1")
        (True, False, False)
    """
    return isinstance(value, int) and abs(value) > LARGEST


def class_name(value: Any) -> str:
    """Return the name of a class: the same for 1, 1.0, true and "1".

    Example:
        >>> class_name(2.0), class_name(True), class_name("late")
        ('2', '1', 'late')
    """
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, bool | int | float):
        try:
            number = float(plain)
        except OverflowError:  # a whole number beyond all fractions
            return str(plain)
        return str(int(number)) if math.isfinite(number) and number.is_integer() else str(number)
    return str(plain)


def is_probability(output: str) -> bool:
    """Whether an output has probabilities by its name."""
    return output == PROBABILITY or output.startswith(f"{PROBABILITY}_")


def probability_output(value: Any) -> str:
    """Return the output that has the probability of one of more than two classes.

    Example:
        >>> probability_output(2)
        'probability_2'
    """
    return f"{PROBABILITY}_{class_name(value)}"
