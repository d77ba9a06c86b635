"""What changed from one table to another, feature by feature, ranked: from their profiles alone.

Effect sizes and their noise are those of `monitoring/drift`; limits are those of a drift guardrail.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from penstock.base.numbers import counted
from penstock.monitoring.drift import FeatureDrift, compare
from penstock.monitoring.guardrails.drift import excess_of, is_over_limit
from penstock.monitoring.profile import ColumnProfile, NumberColumn, Profile, TextColumn
from penstock.monitoring.rowwise.redaction import is_redacted
from penstock.monitoring.settings import DriftLimit

State = Literal["drifted", "unsure", "steady", "new", "gone", "retyped", "empty"]
"""`unsure` is over a limit, and by no more than chance explains in so few rows."""
BARS = 20
BARS_WHOLE = 32
"""Of whole numbers: as many as months, hours and days of a month have one each."""
TEXTS = 10
MOST_BEYOND = 0.02
"""Share of the reference that the outermost bars of a number stand for on each side."""
ORDER: tuple[State, ...] = ("retyped", "gone", "new", "drifted", "unsure", "steady", "empty")


class Bar(msgspec.Struct, frozen=True):
    """One bar of both distributions: what it stands for, and the shares of the present values in [0, 1]."""

    label: str
    reference: float
    current: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A column of one table: present and missing values, and of numbers their extremes, mean, deviation, quartiles.

    None where there is nothing to tell.
    """

    kind: Literal["number", "text", "absent"]
    count: int = 0
    missing_ratio: float = 0.0
    distinct: float | None = None
    mean: float | None = None
    deviation: float | None = None
    low: float | None = None
    quartiles: tuple[float, float, float] | None = None
    high: float | None = None


class FeatureChange(msgspec.Struct, frozen=True, kw_only=True):
    """One feature: how far it went, what it was and is. `excess` is the largest of its measures over its limit."""

    name: str
    state: State
    sentence: str
    psi: float | None
    ks: float | None
    noise: float | None
    unseen_ratio: float | None
    excess: float
    wasserstein: float | None
    jensen_shannon: float | None
    chi_square: float | None
    reference: Summary
    current: Summary
    bars: tuple[Bar, ...]


class TableReport(msgspec.Struct, frozen=True, kw_only=True):
    """Two tables compared; features are ranked, what changed most first. `left_out` columns cannot be compared."""

    reference_name: str
    current_name: str
    reference_rows: int
    current_rows: int
    psi_max: float
    ks_max: float
    features: tuple[FeatureChange, ...]
    left_out: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """Say which columns were not compared, if there are any."""
        if not self.left_out:
            return ""
        shown = ", ".join(self.left_out[:10]) + ("…" if len(self.left_out) > 10 else "")
        return f"Not compared, because they hold lists, structures or bytes: {shown}."

    @property
    def changed(self) -> tuple[FeatureChange, ...]:
        """The features that are not what they were."""
        return tuple(one for one in self.features if one.state not in ("unsure", "steady", "empty"))

    @property
    def sentence(self) -> str:
        """Say in one sentence what changed."""
        if not self.reference_rows or not self.current_rows:
            return "One of the two has no rows, so nothing can be compared."
        names = [one.name for one in self.changed]
        unsure = [one.name for one in self.features if one.state == "unsure"]
        left_out = f" Too few rows to tell of {_listed(unsure)}." if unsure else ""
        left_out += f" {self.note}" if self.left_out else ""
        if not names:
            return (
                f"None of {counted(len(self.features), 'feature')} changed by more than the limits.{left_out}"
            )
        return (
            f"{len(names)} of {counted(len(self.features), 'feature')} changed: {_listed(names)}.{left_out}"
        )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def compare_profiles(
    reference: Profile,
    current: Profile,
    names: tuple[str, str] = ("reference", "current"),
    limit: DriftLimit | None = None,
    redacted: tuple[str, ...] = (),
) -> TableReport:
    """Return what changed from `reference` to `current`, whose names are `names`.

    Of columns that are `redacted` the distances are told and no value: texts and bars are numbered.
    """
    limit = limit or DriftLimit()
    drifts = {one.feature: one for one in compare(reference, current)}
    both = sorted({*reference.column_names, *current.column_names})
    found = [
        _change(name, reference, current, drifts.get(name), limit, is_hidden=is_redacted(name, redacted))
        for name in both
    ]
    found.sort(key=lambda one: (ORDER.index(one.state), -one.excess, one.name))
    return TableReport(
        reference_name=names[0],
        current_name=names[1],
        reference_rows=reference.row_count,
        current_rows=current.row_count,
        psi_max=limit.psi_max,
        ks_max=limit.ks_max,
        features=tuple(found),
    )


def _change(
    name: str,
    reference: Profile,
    current: Profile,
    drift: FeatureDrift | None,
    limit: DriftLimit,
    *,
    is_hidden: bool,
) -> FeatureChange:
    before, now = reference.column(name), current.column(name)
    excess = excess_of(drift, limit) if drift is not None else 0.0
    state = _state(before, now, excess)
    if state == "steady" and drift is not None and _has_too_few(drift, limit):
        state = "unsure"
    told = drift if state in ("drifted", "unsure", "steady") else None
    return FeatureChange(
        name=name,
        state=state,
        sentence=_sentence(state, drift, reference, current, name, is_hidden=is_hidden),
        psi=told.psi if told else None,
        ks=told.ks if told else None,
        noise=told.noise if told else None,
        unseen_ratio=told.unseen_ratio if told else None,
        wasserstein=told.wasserstein if told else None,
        jensen_shannon=told.jensen_shannon if told else None,
        chi_square=told.chi_square if told else None,
        excess=excess,
        reference=_summary(before, reference.missing_ratio(name), is_hidden=is_hidden),
        current=_summary(now, current.missing_ratio(name), is_hidden=is_hidden),
        bars=_bars(before, now, is_hidden=is_hidden),
    )


def _state(before: ColumnProfile | None, now: ColumnProfile | None, excess: float) -> State:
    has_before, has_now = (one is not None and one.count > 0 for one in (before, now))
    if not has_before and not has_now:
        return "empty"
    if not has_before:
        return "new"
    if not has_now:
        return "gone"
    if type(before) is not type(now):
        return "retyped"
    return "drifted" if excess > 1 else "steady"


def _has_too_few(drift: FeatureDrift, limit: DriftLimit) -> bool:
    """Whether a feature is over a limit that a guardrail would not judge in so few rows."""
    return min(drift.n_reference, drift.n_current) < limit.min_rows and is_over_limit(drift, limit)


def _sentence(
    state: State,
    drift: FeatureDrift | None,
    reference: Profile,
    current: Profile,
    name: str,
    *,
    is_hidden: bool,
) -> str:
    if state == "retyped":
        words = {NumberColumn: "numbers", TextColumn: "text"}
        before, now = (words.get(type(one.column(name)), "?") for one in (reference, current))
        return f"was {before} and is {now}"
    if state == "gone":
        return "has no value any more"
    if state == "new":
        return "had no value before"
    if state == "empty" or drift is None:
        return "has no values"
    parts = [_moved(reference.column(name), current.column(name), is_hidden=is_hidden)]
    if abs(drift.missing_ratio_current - drift.missing_ratio_reference) >= 0.005:
        parts.append(
            f"missing {drift.missing_ratio_reference:.1%} before and {drift.missing_ratio_current:.1%} now"
        )
    if drift.unseen_ratio is not None and drift.unseen_ratio >= 0.005:
        parts.append(f"{drift.unseen_ratio:.1%} never seen before")
    told = "; ".join(part for part in parts if part)
    if state == "unsure":
        rows = f"{counted(drift.n_reference, 'row')} before and {drift.n_current} now are too few to tell"
        return f"{told}; {rows}" if told else rows
    return told or ("as before" if state == "steady" else "its values are spread otherwise than before")


def _moved(before: ColumnProfile | None, now: ColumnProfile | None, *, is_hidden: bool) -> str:
    """Say how a column moved: by its mean in deviations, or by the text whose share changed most."""
    if isinstance(before, NumberColumn) and isinstance(now, NumberColumn):
        scale = before.deviation
        moved = now.mean - before.mean
        if is_hidden:
            return f"its mean moved by {moved / scale:+.2f} deviations" if scale > 0 else ""
        if scale > 0 and abs(moved) >= 0.05 * scale:
            return f"mean {short(before.mean)} before and {short(now.mean)} now ({moved / scale:+.2f} deviations)"
        if scale > 0 and abs(now.deviation / scale - 1) >= 0.1:
            return f"standard deviation {short(scale)} before and {short(now.deviation)} now"
        if scale == 0 and (moved or now.deviation):
            return f"always {short(before.mean)} before, and a mean of {short(now.mean)} now"
        return ""
    if isinstance(before, TextColumn) and isinstance(now, TextColumn):
        bars = _bars(before, now, is_hidden=is_hidden)
        most = max(bars, key=lambda one: abs(one.current - one.reference), default=None)
        if most is not None and abs(most.current - most.reference) >= 0.005:
            label = most.label if is_hidden else repr(most.label)
            return f"{label} {most.reference:.1%} before and {most.current:.1%} now"
    return ""


def _summary(column: ColumnProfile | None, missing_ratio: float, *, is_hidden: bool) -> Summary:
    if is_hidden and isinstance(column, NumberColumn) and column.count:
        return Summary(kind="number", count=column.count, missing_ratio=missing_ratio)
    if isinstance(column, NumberColumn) and column.count:
        low, middle, high = (float(one) for one in column.sketch.quantiles([0.25, 0.5, 0.75]))
        return Summary(
            kind="number",
            count=column.count,
            missing_ratio=missing_ratio,
            mean=column.mean,
            deviation=column.deviation,
            low=column.low,
            quartiles=(low, middle, high),
            high=column.high,
        )
    if isinstance(column, TextColumn) and column.count:
        return Summary(
            kind="text", count=column.count, missing_ratio=missing_ratio, distinct=column.sketch.distinct
        )
    return Summary(kind="absent", missing_ratio=missing_ratio)


def _bars(before: ColumnProfile | None, now: ColumnProfile | None, *, is_hidden: bool) -> tuple[Bar, ...]:
    """Return both distributions over the same bars; those of one alone where the other is of another kind."""
    bars = _shown_bars(before, now)
    if not is_hidden:
        return bars
    return tuple(Bar(f"value {at}", one.reference, one.current) for at, one in enumerate(bars, 1))


def _shown_bars(before: ColumnProfile | None, now: ColumnProfile | None) -> tuple[Bar, ...]:
    numbers = [one for one in (before, now) if isinstance(one, NumberColumn) and one.count]
    texts = [one for one in (before, now) if isinstance(one, TextColumn) and one.count]
    if numbers and not texts:
        return _number_bars(before, now, numbers)
    if texts and not numbers:
        return _text_bars(before, now, texts)
    return ()


def _number_bars(
    before: ColumnProfile | None, now: ColumnProfile | None, present: list[NumberColumn]
) -> tuple[Bar, ...]:
    """Return bars of equal width over what nearly all values span, and one to each side for the rest."""
    ranks = [MOST_BEYOND / 2, 1 - MOST_BEYOND / 2]
    spans = [one.sketch.quantiles(ranks) for one in present]
    low, high = min(float(one[0]) for one in spans), max(float(one[1]) for one in spans)
    are_whole = all(_is_whole(one) for one in present)
    edges = _edges(low, high, are_whole=are_whole)

    def shares(column: ColumnProfile | None) -> list[float]:
        if not isinstance(column, NumberColumn) or not column.count:
            return [0.0] * (len(edges) + 1)
        below = column.sketch.cdf(edges, inclusive=False)
        upto = float(column.sketch.cdf(edges[-1:])[0])
        return [float(one) for one in np.diff(np.concatenate([[0.0], below[:-1], [upto, 1.0]]))]

    inset = 0.5 if are_whole else 0.0
    ends = [(float(a) + inset, float(b) - inset) for a, b in pairwise(edges.tolist())]
    labels = [f"below {short(ends[0][0])}"]
    labels += [short(a) if a == b else f"{short(a)} to {short(b)}" for a, b in ends]
    labels.append(f"above {short(ends[-1][1])}")
    pairs = zip(labels, shares(before), shares(now), strict=True)
    return tuple(Bar(label, max(0.0, old), max(0.0, new)) for label, old, new in pairs)


def _is_whole(column: NumberColumn) -> bool:
    """Whether a column has whole numbers only, as far as its sketch tells."""
    values = column.sketch.sample().values
    return bool(np.all(values == np.round(values))) and abs(column.low) < 2**52 and abs(column.high) < 2**52


def _edges(low: float, high: float, *, are_whole: bool) -> npt.NDArray[np.float64]:
    """Return the edges of bars; of whole numbers each bar has equally many, or some seem more frequent."""
    if are_whole:
        width = max(1, math.ceil((high - low + 1) / BARS_WHOLE))
        count = max(1, math.ceil((high - low + 1) / width))
        return low - 0.5 + width * np.arange(count + 1, dtype=np.float64)
    if not low < high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, BARS + 1)


def _text_bars(
    before: ColumnProfile | None, now: ColumnProfile | None, present: list[TextColumn]
) -> tuple[Bar, ...]:
    """Return the texts that are most frequent in either, and all others as one."""
    weights: dict[str, float] = {}
    for column in present:
        for text, count in column.sketch.top(TEXTS):
            weights[text] = max(weights.get(text, 0.0), count / column.count)
    chosen = sorted(weights, key=lambda text: (-weights[text], text))[:TEXTS]

    def shares(column: ColumnProfile | None) -> list[float]:
        if not isinstance(column, TextColumn) or not column.count:
            return [0.0] * (len(chosen) + 1)
        own = [count / column.count for count in column.sketch.counts(chosen)]
        return [*own, max(0.0, 1 - sum(own))]

    bars = [Bar(*one) for one in zip([*chosen, "all others"], shares(before), shares(now), strict=True)]
    return tuple(bars if bars[-1].reference + bars[-1].current > 1e-9 else bars[:-1])


def short(value: float | None) -> str:
    """Return a number for people: four digits that matter, a dash for none.

    Example:
        >>> short(1234567.0), short(0.000123456), short(None)
        ('1.235e+06', '0.0001235', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.4g}"
