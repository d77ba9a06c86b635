"""The ML Test Score: 28 tests in four groups, each done, done in part, not done, or not known; and the score.

**Source**: Breck, Cai, Nielsen, Salib, Sculley (2017), The ML Test Score: A Rubric for ML Production Readiness, IEEE Big
Data, doi:10.1109/BigData.2017.8258038. A test that is run by hand counts a half, one that runs by itself a whole; the
score is that of the weakest group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

Group = Literal["data", "model", "infrastructure", "monitoring"]
State = Literal["done", "partly", "no", "not known"]
GROUPS: tuple[Group, ...] = ("data", "model", "infrastructure", "monitoring")
POINTS: dict[State, float] = {"done": 1.0, "partly": 0.5, "no": 0.0, "not known": 0.0}
MEANINGS = (
    (0.0, "more of a research project than a productionized system"),
    (1.0, "not totally untested, but there may be serious holes in reliability"),
    (2.0, "a first pass at basic productionization; more investment may be needed"),
    (3.0, "reasonably tested, but more of the tests may be automated"),
    (5.0, "strong automated testing and monitoring, fit for systems that matter"),
    (float("inf"), "exceptional automated testing and monitoring"),
)
"""What a score up to the number means, in short."""


class Rated(NamedTuple):
    """One test: its number in its group, what it asks, whether it is met, and the fact that says so."""

    group: Group
    number: int
    asks: str
    state: State
    fact: str


def group_score(rated: Sequence[Rated], group: Group) -> float:
    """Return the points of a group, 0 to 7; what is not known counts nothing."""
    return sum(POINTS[one.state] for one in rated if one.group == group)


def total_score(rated: Sequence[Rated]) -> float:
    """Return the score: that of the weakest group."""
    return min(group_score(rated, group) for group in GROUPS)


def meaning(score: float) -> str:
    """Return what a score means.

    Example:
        >>> meaning(1.5)
        'a first pass at basic productionization; more investment may be needed'
    """
    return next(text for limit, text in MEANINGS if score <= limit)
