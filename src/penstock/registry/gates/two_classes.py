"""Held-out rows as checks take them that are of two classes and have no metric to choose."""

from __future__ import annotations

from penstock.base.errors import Invalid
from penstock.registry.gates.check import Floats, HeldOut


def score_two_classes(held_out: HeldOut, metric: str, kind: str) -> tuple[Floats, Floats]:
    """Return truth and the candidate's scores, as a metric of two classes takes them.

    Raises:
        Invalid: the model has more classes, or the rows cannot be scored.
    """
    try:
        return held_out.scored_alone(metric)
    except Invalid as error:
        if error.code != "gate.metric_of_two_classes":
            raise
        raise of_more_classes(kind, "the model is") from None


def of_more_classes(kind: str, what: str) -> Invalid:
    """Return the error for a kind of check where labels or models have more than two classes."""
    return Invalid(
        f"{kind} is told of two classes, and {what} of more",
        code="gate.not_two_classes",
        hint="use `slices` with accuracy",
    )
