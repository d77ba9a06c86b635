"""How far the columns of one table are from those of another: what gates of distributions share.

The distance is the population stability index over tenths of the first (of text: over its values), with a bin for what is
missing and for each number that a tenth of the rows share, corrected for chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from penstock.base.errors import Invalid
from penstock.base.numbers import counted
from penstock.registry.gates.check import Evidence, Floats, Outcome
from penstock.stats.distances import population_stability, stability_noise

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

BINS = 10
MAX_VALUES = 50
TOLD = 100


def choose_columns(
    evidence: Evidence, before: pl.DataFrame, now: pl.DataFrame, columns: Sequence[str], ignore: Sequence[str]
) -> tuple[str, ...]:
    """Return what is compared: the columns that are named, else what the model takes, but for what is ignored.

    Raises:
        Invalid: no table has a column that is ignored, or the first has none of a name that is to be compared.
    """
    inputs = evidence.candidate.inputs if evidence.candidate else ()
    strange = [name for name in ignore if name not in {*before.columns, *now.columns, *inputs}]
    if strange:
        raise Invalid(
            f"the gate ignores {', '.join(map(repr, strange))}, which no table has",
            code="gate.no_column",
            hint=f"columns: {', '.join(before.columns)[:400]}",
            column=strange[0],
        )
    unknown = [name for name in columns if name not in before.columns]
    if unknown:
        raise Invalid(
            f"the gate compares {', '.join(map(repr, unknown))}, which the reference has no column of",
            code="gate.no_column",
            hint=f"columns: {', '.join(before.columns)[:400]}",
            column=unknown[0],
        )
    names = columns or inputs or tuple(before.columns)
    return tuple(name for name in names if name not in ignore and (columns or name in before.columns))


def compare(
    before: pl.DataFrame, now: pl.DataFrame, names: Sequence[str], *, now_count: int
) -> list[dict[str, Any]]:
    """Return each column's distance and noise, the farthest first; one that a table lacks is farther than any number.

    Args:
        now_count: how many independent rows the second table is worth; that of an unchanged column exceeds its `noise`
            once in ten thousand times.
    """
    found: list[dict[str, Any]] = []
    for name in names:
        if name not in before.columns or name not in now.columns:
            found.append({"column": name, "psi": float("inf"), "noise": 0.0, "is": "missing"})
            continue
        if before[name].dtype.is_numeric() and not now[name].dtype.is_numeric():
            found.append({"column": name, "psi": float("inf"), "noise": 0.0, "is": "no number any more"})
            continue
        first, second = _counts(before[name], now[name])
        noise = stability_noise(len(first), before.height, now_count)
        found.append({"column": name, "psi": population_stability(first, second), "noise": noise})
    found.sort(key=lambda one: -float(one["psi"]))
    return found


def judge(found: list[dict[str, Any]], psi_max: float, count: int, *, moved: str = "drifted") -> Outcome:
    """Say whether every column is near enough; nothing to compare is an error."""
    if not found:
        return Outcome("error", "there is no column to compare", n=count)
    far = [one for one in found if one["psi"] > psi_max and one["psi"] > one["noise"]]
    worst = found[0]
    shown = f"is {worst['is']}" if worst.get("is") else f"has {worst['psi']:.3f}"
    sentence = f"{len(far)} of {counted(len(found), 'column')} {moved}; the worst, {worst['column']}, {shown}, at most {psi_max:g} is allowed"
    return Outcome(
        "fail" if far else "pass",
        sentence,
        observed=float(worst["psi"]),
        expected=f"an index of at most {psi_max:g} in every column",
        n=count,
        evidence={"columns": found[:TOLD]},
    )


def _counts(before: pl.Series, now: pl.Series) -> tuple[Floats, Floats]:
    if before.dtype.is_numeric() and now.dtype.is_numeric():
        first, second = (one.cast(float).to_numpy().astype(np.float64) for one in (before, now))
        edges, of_raw = _number_bins(first[~np.isnan(first)])
        counted = []
        for one in (first, second):
            there = one[~np.isnan(one)]
            raw = np.searchsorted(edges, there, side="left") + np.searchsorted(edges, there, side="right")
            counted.append(
                np.append(np.bincount(of_raw[raw], minlength=of_raw[-1] + 1), len(one) - len(there))
            )
    else:
        texts = [
            np.array(["" if one is None else f"={one}" for one in column.to_list()])
            for column in (before, now)
        ]
        values, counts = np.unique(texts[0], return_counts=True)
        kept = [str(one) for one in values[np.argsort(-counts, kind="stable")][:MAX_VALUES]]
        counted = []
        for one in texts:
            each = np.array([(one == value).sum() for value in kept])
            counted.append(np.append(each, len(one) - each.sum()))
    used = (counted[0] > 0) | (counted[1] > 0)
    return counted[0][used].astype(np.float64), counted[1][used].astype(np.float64)


def _number_bins(values: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Return the edges of a reference's tenths, and the bin of each place beside and at them.

    Places are: below the first edge, at it, between it and the second, … A value that a tenth of the rows share has a bin
    of its own, so that a constant that falls is seen as well as one that rises; any other edge belongs to what is below it.
    """
    if not len(values):
        return np.empty(0), np.zeros(1, dtype=np.intp)
    edges: Floats = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
    begins = np.ones((len(edges), 2), dtype=np.intp)
    begins[:, 0] = [(values == edge).sum() * BINS >= len(values) for edge in edges]
    return edges, np.cumsum(np.concatenate([[0], begins.ravel()]))
