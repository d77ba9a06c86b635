"""The guardrail on values that should not come: missing ones, of another kind, out of range, never seen.

Each share is beyond what the reference itself has, and told of only where the rows leave no doubt: a share's lower bound
at one in a million, since a controller looks at every moment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np

from penstock.base.numbers import counted
from penstock.monitoring.bins import EXACT_MAX
from penstock.monitoring.drift import unseen_ratios
from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.limits import ValuesLimit
from penstock.monitoring.guardrails.measured import Measured, make_finding
from penstock.monitoring.profile import NumberColumn, Profile, TextColumn
from penstock.monitoring.windows import Window
from penstock.stats.confidence import wilson_interval

SURELY = 4.75
"""Standard errors that chance exceeds once in a million looks."""
SKETCH_SHARE_ERROR = 0.01
"""What a sketch may be off by in the share of values beyond a bound."""


class _Share(NamedTuple):
    """One share of a feature: what it is, over how many rows, what the reference has, and what more it may be."""

    feature: str
    statistic: str
    words: str
    observed: float
    expected: float
    limit: float
    value_count: int
    doubt: float = 0.0

    @property
    def lower(self) -> float:
        """By how much it is surely above what the reference has."""
        low, _ = wilson_interval(self.observed * self.value_count, self.value_count, SURELY)
        return low - self.doubt - self.expected

    @property
    def is_over(self) -> bool:
        """Whether it is surely above what it may be."""
        return self.lower > self.limit + 1e-9

    @property
    def excess(self) -> float:
        """How far above what the reference has, in what is allowed."""
        return (self.observed - self.expected) / max(self.limit, 1e-9)


def judge_values(
    limit: ValuesLimit, window: Window, profile: Profile, left_out: Collection[str] = ()
) -> Iterator[Finding]:
    """Judge every covered feature: a finding for each share over its limit or nearly so, else for the nearest.

    No value of what is `left_out` is told.
    """
    current = window.features
    if current.row_count < limit.min_rows:
        return
    found = [
        share
        for name in profile.column_names
        if limit.covers(name)
        for share in _shares(name, limit, profile, current, is_hidden=name in left_out)
    ]
    worst: dict[str, _Share] = {}
    for share in found:
        known = worst.get(share.feature)
        if known is None or (share.is_over, share.excess) > (known.is_over, known.excess):
            worst[share.feature] = share
    ordered = sorted(worst.values(), key=lambda one: (-one.is_over, -one.excess, one.feature))
    told = [one for one in ordered if one.is_over or one.excess >= limit.resolve_below]
    for one in told or ordered[:1]:
        yield _finding(one, limit, window)


def _shares(
    name: str, limit: ValuesLimit, profile: Profile, current: Profile, *, is_hidden: bool
) -> Iterator[_Share]:
    before, now = profile.column(name), current.column(name)
    rows = current.row_count
    of_another = now is not None and type(now) is not type(before)
    count = now.count if now is not None else 0
    if limit.wrong_type_max is not None:
        kinds = "texts instead of numbers" if isinstance(before, NumberColumn) else "numbers instead of texts"
        wrong = count / rows if of_another else 0.0
        yield _Share(name, "wrong_type", kinds, wrong, 0.0, limit.wrong_type_max, rows)
    if limit.missing_max is not None:
        missing = 1 - count / rows
        yield _Share(
            name, "missing", "missing", missing, profile.missing_ratio(name), limit.missing_max, rows
        )
    if of_another or not count:
        return
    if (
        limit.out_of_range_max is not None
        and isinstance(before, NumberColumn)
        and isinstance(now, NumberColumn)
    ):
        beyond, doubt = _beyond(before, now)
        span = "the reference's range" if is_hidden else f"{before.low:g} to {before.high:g}"
        words = f"outside of {span}"
        yield _Share(name, "out_of_range", words, beyond, 0.0, limit.out_of_range_max, count, doubt)
    if limit.unseen_max is not None and isinstance(before, TextColumn) and isinstance(now, TextColumn):
        ratios = unseen_ratios(before, now)
        if ratios is not None:
            words = "never seen in the reference"
            yield _Share(name, "unseen", words, ratios[0], ratios[1], limit.unseen_max, ratios[2])


def _beyond(before: NumberColumn, now: NumberColumn) -> tuple[float, float]:
    """Return the share of present values that are beyond all of the reference's, and what it may be off by."""
    if not before.count or (now.low >= before.low and now.high <= before.high):
        return 0.0, 0.0
    below, upto = (
        now.sketch.cdf(np.array([before.low]), inclusive=False)[0],
        now.sketch.cdf(np.array([before.high]))[0],
    )
    share = min(1.0, max(0.0, float(below) + 1 - float(upto)))
    return share, 0.0 if now.count <= EXACT_MAX else SKETCH_SHARE_ERROR


def _finding(one: _Share, limit: ValuesLimit, window: Window) -> Finding:
    low, high = wilson_interval(one.observed * one.value_count, one.value_count)
    return make_finding(
        "values",
        window,
        Measured(
            name=one.feature,
            observed=one.observed,
            limit=one.expected + one.limit,
            against=one.expected,
            count=one.value_count,
            statistic=one.statistic,
            statistic_value=one.lower,
            breached=one.is_over,
            near=not one.is_over and one.excess >= limit.resolve_below,
        ),
        f"{one.observed:.1%} of {counted(one.value_count, 'value')} of {one.feature} are {one.words} (between {low:.1%} and {high:.1%}; "
        f"{one.expected:.1%} in the reference): {'surely more' if one.is_over else 'not surely more'} than the "
        f"{one.expected + one.limit:.1%} that may be",
    )
