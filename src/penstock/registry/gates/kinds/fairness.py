"""`fairness`: groups of people are treated alike: selected as often, or as often where the truth is the same.

**Source**: the definitions of fairlearn 0.15 (`demographic_parity_difference`, `equalized_odds_difference`,
`equal_opportunity_difference` and their ratios, worst case); several columns make groups by all of their values together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.base.errors import Invalid
from penstock.base.numbers import counted
from penstock.registry.gates.asking import weigh
from penstock.registry.gates.check import Evidence, Floats, Gate, Outcome
from penstock.registry.gates.groups import name_group
from penstock.registry.gates.two_classes import of_more_classes, score_two_classes

Metric = Literal["demographic_parity", "equalized_odds", "equal_opportunity"]
RATES: Mapping[Metric, tuple[str, ...]] = {
    "demographic_parity": ("selection rate",),
    "equalized_odds": ("true positive rate", "false positive rate"),
    "equal_opportunity": ("true positive rate",),
}
MAX_GROUPS = 1000
ENDS = (0.025, 0.975)


class FairnessGate(msgspec.Struct, frozen=True, kw_only=True):
    """How far apart the groups' rates may lie, of a classifier of two classes.

    A row is selected where its score is at least `threshold`. `max_difference` limits the highest rate less the lowest,
    `min_ratio` the lowest by the highest; groups of fewer than `min_rows` rows that a rate is of are named and not judged.
    """

    columns: tuple[str, ...]
    metric: Metric = "demographic_parity"
    max_difference: float | None = None
    min_ratio: float | None = None
    threshold: float = 0.5
    min_rows: int = 30
    resamples: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a check that cannot fail, and values outside their range."""
        limits = [one for one in (self.max_difference, self.min_ratio) if one is not None]
        if not self.columns or not limits or not all(0 <= one <= 1 for one in limits):
            raise ValueError(
                "a fairness check needs `columns`, and `max_difference` or `min_ratio` in [0, 1]"
            )
        if self.max_difference == 1 or self.min_ratio == 0:
            raise ValueError("a difference of 1 and a ratio of 0 allow everything")
        if self.min_rows < 1 or self.resamples < 100 or not 0 <= self.threshold <= 1:
            raise ValueError("`min_rows` is at least 1, `resamples` at least 100, `threshold` in [0, 1]")


def check_fairness(gate: FairnessGate, evidence: Evidence) -> Outcome:
    """Compare the groups' rates.

    Raises:
        Invalid: a column is not there or has too many values, the labels are not of two classes, or the rows cannot be
            scored.
    """
    labels, scores = score_two_classes(evidence.held_out, "roc_auc", "fairness")
    if not np.isin(labels, (0.0, 1.0)).all():
        raise of_more_classes("fairness", "the labels are")
    selected = (scores >= gate.threshold).astype(float)
    groups = _groups(gate, evidence)
    expected = " and ".join(_limits(gate))
    rates, small, judged = {}, set(), {}
    for rate in RATES[gate.metric]:
        of = {name: _rows_of(rate, labels, rows) for name, rows in groups.items()}
        judged[rate] = {name: rows for name, rows in of.items() if len(rows) >= gate.min_rows}
        small |= of.keys() - judged[rate].keys()
        rates[rate] = {name: float(selected[rows].mean()) for name, rows in judged[rate].items()}
    if any(len(values) < 2 for values in rates.values()):
        sentence = f"fewer than two groups have {counted(gate.min_rows, 'row')} that the {RATES[gate.metric][0]} is of"
        return Outcome("error", sentence, expected=expected, n=len(labels))
    obstacle = _obstacle(gate, labels, groups, rates)
    if obstacle is not None:
        return Outcome("error", obstacle, expected=expected, n=len(labels), evidence={"rates": rates})
    difference, ratio = _apart(rates)
    generator = np.random.default_rng(gate.seed)
    drawn = np.array([_apart(_drawn(judged, selected, generator)) for _ in range(gate.resamples)])
    rate = max(rates, key=lambda one: max(rates[one].values()) - min(rates[one].values()))
    low = min(rates[rate], key=rates[rate].__getitem__)
    high = max(reversed(rates[rate]), key=rates[rate].__getitem__)  # another one also where all are alike
    broken = (gate.max_difference is not None and difference > gate.max_difference) or (
        gate.min_ratio is not None and ratio < gate.min_ratio
    )
    sentence = (
        f"the {rate} is {rates[rate][low]:.3f} where {low} and {rates[rate][high]:.3f} where {high}: "
        f"a difference of {difference:.3f}, a ratio of {ratio:.3f}; must be {expected}"
    )
    if small:
        sentence += f"; too small to judge: {', '.join(sorted(small)[:3])}{' …' if len(small) > 3 else ''}"
    by_difference = gate.max_difference is not None
    ends = np.quantile(drawn[:, 0 if by_difference else 1], ENDS)
    return Outcome(
        "fail" if broken else "pass",
        sentence,
        observed=difference if by_difference else ratio,
        expected=expected,
        n=len(labels),
        interval=(float(ends[0]), float(ends[1])),
        evidence={
            "rates": rates,
            "rows": {name: len(rows) for name, rows in groups.items()},
            "difference": difference,
            "ratio": ratio,
            "too_small": sorted(small)[:50],
        },
    )


def _obstacle(
    gate: FairnessGate,
    labels: Floats,
    groups: Mapping[str, NDArray[np.intp]],
    rates: Mapping[str, Mapping[str, float]],
) -> str | None:
    """Say which rate is nothing by nothing, so that no ratio can be told; None where none is.

    fairlearn gives NaN there. A false positive rate of 0 in every group is none of these: nobody is wrongly selected.
    """
    for rate, values in rates.items():
        without = [
            name
            for name, rows in groups.items()
            if len(rows) >= gate.min_rows and not len(_rows_of(rate, labels, rows))
        ]
        if without:
            kind = "positive" if rate == "true positive rate" else "negative"
            return f"cannot be judged: no row is {kind} where {without[0]}, so there is no {rate}"
        if rate != "false positive rate" and not any(values.values()):
            scores, nobody = (
                ("score of a positive row of theirs", "none of the positive rows")
                if rate == "true positive rate"
                else ("score of theirs", "nobody")
            )
            return (
                f"cannot be judged: the {rate} is 0 in every group, since no {scores} is at least {gate.threshold:g}: "
                f"a model that selects {nobody} treats nobody alike"
            )
    return None


def _apart(rates: Mapping[str, Mapping[str, float]]) -> tuple[float, float]:
    """Return the greatest difference and the least ratio between groups; nobody wrongly selected is a ratio of 1."""
    lows, highs = ([pick(values.values()) for values in rates.values()] for pick in (min, max))
    ratios = [low / high if high > 0 else 1.0 for low, high in zip(lows, highs, strict=True)]
    return max(high - low for low, high in zip(lows, highs, strict=True)), min(ratios)


def _drawn(
    judged: Mapping[str, Mapping[str, NDArray[np.intp]]], selected: Floats, generator: np.random.Generator
) -> dict[str, dict[str, float]]:
    """Return the rates of rows drawn anew from each group."""
    return {
        rate: {
            name: float(selected[rows[generator.integers(0, len(rows), len(rows))]].mean())
            for name, rows in groups.items()
        }
        for rate, groups in judged.items()
    }


def _rows_of(rate: str, labels: Floats, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the rows of a group that a rate is of: all, those that are positive, those that are not."""
    if rate == "selection rate":
        return rows
    kept: NDArray[np.intp] = rows[labels[rows] == (1.0 if rate == "true positive rate" else 0.0)]
    return kept


def _limits(gate: FairnessGate) -> list[str]:
    words = [f"a difference of at most {gate.max_difference:g}"] if gate.max_difference is not None else []
    return words + ([f"a ratio of at least {gate.min_ratio:g}"] if gate.min_ratio is not None else [])


def _groups(gate: FairnessGate, evidence: Evidence) -> dict[str, NDArray[np.intp]]:
    """Return the rows of each group, by its name."""
    frame = evidence.test_table()
    numbers = np.stack([evidence.held_out.groups(column) for column in gate.columns], axis=1)
    kinds, group = np.unique(numbers, axis=0, return_inverse=True)
    if len(kinds) > MAX_GROUPS:
        raise Invalid(
            f"{', '.join(gate.columns)} make more than {MAX_GROUPS} groups",
            code="gate.too_many_slices",
            hint="name columns of few values, or put their values into groups",
        )
    found: dict[str, Any] = {}
    for number in range(len(kinds)):
        rows = np.flatnonzero(group.reshape(-1) == number)
        words = [name_group(column, frame[column][int(rows[0])]) for column in gate.columns]
        found[" and ".join(words)] = rows
    return found


GATE = Gate(
    settings=FairnessGate,
    check=check_fairness,
    title=lambda gate: f"{gate.metric} by {', '.join(gate.columns)}",
    weighed=weigh(
        columns="fewer",
        metric="any",
        max_difference="higher",
        min_ratio="lower",
        threshold="any",
        min_rows="higher",
        resamples="lower",
        seed="any",
    ),
)
