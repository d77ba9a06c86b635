"""`slices`: on no part of the held-out rows is the model much worse than on all, or than the champion there.

A slice fails when it is worse by more than is allowed, beyond chance: the lower bound of what it loses, by the bootstrap
of its rows with Bonferroni's correction for the number of slices, lies above what is allowed.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from penstock.base.errors import Invalid
from penstock.base.numbers import counted
from penstock.registry.gates.asking import weigh
from penstock.registry.gates.check import Evidence, Floats, Gate, Outcome
from penstock.registry.gates.groups import name_group
from penstock.stats.metric_names import LOWER_IS_BETTER, Compared
from penstock.stats.significance import METRICS

MAX_SLICES = 1000


class SlicesGate(msgspec.Struct, frozen=True, kw_only=True):
    """The metric on the rows of each value of each column, where there are `min_rows` of them.

    `max_drop` is what a slice may lose against all rows, `max_champion_drop` against the champion on the same rows.
    Slices that are smaller, or have one class only for `roc_auc`, are named and judged by nobody.
    """

    columns: tuple[str, ...]
    metric: Compared
    max_drop: float | None = None
    max_champion_drop: float | None = None
    min_rows: int = 50
    alpha: float = 0.05
    resamples: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a check that cannot fail, and values outside their range."""
        drops = [one for one in (self.max_drop, self.max_champion_drop) if one is not None]
        if not self.columns or not drops or min(drops) < 0:
            raise ValueError(
                "a slices check needs `columns`, and `max_drop` or `max_champion_drop` from 0 on"
            )
        if self.min_rows < 2 or not 0 < self.alpha < 1 or self.resamples < 100:
            raise ValueError("`min_rows` is at least 2, `alpha` in (0, 1), `resamples` at least 100")


def check_slices(gate: SlicesGate, evidence: Evidence) -> Outcome:
    """Judge each slice.

    Raises:
        Invalid: a column is not there or has too many values, or the rows cannot be scored.
    """
    labels, scores, champion = evidence.held_out.scored(gate.metric)
    champion = champion if gate.max_champion_drop is not None else None
    if champion is not None and not np.isfinite(champion).all():
        name = evidence.held_out.champion
        return Outcome(
            "error", f"cannot be compared with {name}: it gives no number for some rows", n=len(labels)
        )
    parts = _parts(gate, evidence)
    judged = {name: rows for name, rows in parts.items() if _can_be_judged(gate, labels[rows])}
    small = sorted(parts.keys() - judged.keys())
    sign = -1.0 if gate.metric in LOWER_IS_BETTER else 1.0
    overall = METRICS[gate.metric](labels, scores)(np.ones(len(labels)))
    if judged and not np.isfinite(overall):  # as of squares too large for a number
        return Outcome("error", f"{gate.metric} on all rows is no number", n=len(labels))
    if not judged:
        return Outcome(
            "error",
            f"no slice has {counted(gate.min_rows, 'row')} that {gate.metric} can be told of",
            n=len(labels),
        )
    tests = len(judged) * ((gate.max_drop is not None) + (champion is not None)) or 1
    found = []
    for name, rows in judged.items():
        generator = np.random.default_rng(gate.seed)
        ours = METRICS[gate.metric](labels[rows], scores[rows])
        theirs = None if champion is None else METRICS[gate.metric](labels[rows], champion[rows])
        value = ours(np.ones(len(rows)))
        drawn = np.empty((2, gate.resamples))
        for index in range(gate.resamples):
            weights = np.bincount(generator.integers(0, len(rows), len(rows)), minlength=len(rows)).astype(
                float
            )
            drawn[0, index] = sign * (overall - ours(weights))
            drawn[1, index] = 0.0 if theirs is None else sign * (theirs(weights) - ours(weights))
        low = np.nanquantile(drawn, gate.alpha / tests, axis=1)
        one: dict[str, Any] = {
            "slice": name,
            "n": len(rows),
            "value": value,
            "drop": sign * (overall - value),
        }
        one["low"] = float(low[0])
        broken = gate.max_drop is not None and low[0] > gate.max_drop and one["drop"] > gate.max_drop
        if theirs is not None:
            one |= {
                "champion_drop": sign * (theirs(np.ones(len(rows))) - value),
                "champion_low": float(low[1]),
            }
            broken = broken or bool(low[1] > (gate.max_champion_drop or 0.0))
        found.append({**one, "broken": bool(broken)})
    found.sort(key=lambda one: -float(one["drop"]))
    broken_ones = [one for one in found if one["broken"]]
    worst = (broken_ones or found)[0]
    words = f"{gate.metric} is {worst['value']:.4f} where {worst['slice']} ({worst['n']:,} rows), {overall:.4f} on all"
    sentence = (
        f"{len(broken_ones)} of {counted(len(found), 'slice')} lose too much: {words}"
        if broken_ones
        else f"{counted(len(found), 'slice holds', 'slices hold')}, the worst: {words}"
    )
    if small:
        sentence += f"; {len(small)} too small to judge"
    if gate.max_champion_drop is not None and champion is None:
        sentence += "; there is no champion to compare with"
    return Outcome(
        "fail" if broken_ones else "pass",
        sentence,
        observed=float(worst["drop"]),
        expected=" and ".join(_limits(gate)),
        n=len(labels),
        interval=(float(worst["low"]), float("inf")),
        evidence={"overall": overall, "slices": found[:50], "too_small": small[:50]},
    )


def _limits(gate: SlicesGate) -> list[str]:
    words = [f"a loss of at most {gate.max_drop:g} against all rows"] if gate.max_drop is not None else []
    return words + (
        [f"at most {gate.max_champion_drop:g} against the champion"]
        if gate.max_champion_drop is not None
        else []
    )


def _can_be_judged(gate: SlicesGate, labels: Floats) -> bool:
    has_both = gate.metric != "roc_auc" or 0 < int((labels > 0.5).sum()) < len(labels)
    return len(labels) >= gate.min_rows and has_both


def _parts(gate: SlicesGate, evidence: Evidence) -> dict[str, Any]:
    frame = evidence.test_table()
    parts: dict[str, Any] = {}
    for column in gate.columns:
        numbers = evidence.held_out.groups(column)
        if int(numbers.max(initial=-1)) >= MAX_SLICES:
            raise Invalid(
                f"{column!r} has more than {MAX_SLICES} values: it makes no slices",
                code="gate.too_many_slices",
                hint="name a column of few values, or put its values into groups",
                column=column,
            )
        values = frame[column].to_list()
        for number in range(int(numbers.max(initial=-1)) + 1):
            rows = np.flatnonzero(numbers == number)
            parts[name_group(column, values[int(rows[0])])] = rows
    return parts


GATE = Gate(
    settings=SlicesGate,
    check=check_slices,
    title=lambda gate: f"{gate.metric} by {', '.join(gate.columns)}",
    weighed=weigh(
        columns="fewer",
        metric="any",
        max_drop="higher",
        max_champion_drop="higher",
        min_rows="any",
        alpha="lower",
        resamples="lower",
        seed="any",
    ),
)
