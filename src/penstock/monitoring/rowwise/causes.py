"""Why quality changed: because other rows are asked about, or because the same rows now mean something else.

Earlier labelled rows are weighed so that their features are distributed as those of the recent ones. What they lose by
that is covariate drift: the features moved to where the model was never good. What the recent rows lose beyond it is
concept drift: features and labels no longer hang together as they did. Where recent rows lie where hardly any earlier
ones do, nobody can tell the two apart, and that is said.

Source:
    Rosenbaum, Rubin, "The central role of the propensity score in observational studies for causal effects",
    Biometrika 70, 1983 (strata of the score balance all features); Cai, Namkoong, Yadlowsky, "Diagnosing model
    performance under distribution shift", 2023, arXiv 2303.02011 (the two parts of a drop).
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from penstock.base.numbers import counted
from penstock.monitoring.quality.measures import MEANS
from penstock.monitoring.rowwise.labelled import LabelledRows
from penstock.monitoring.rowwise.multivariate import matrix_of
from penstock.monitoring.rowwise.rows import Rows
from penstock.stats.metric_names import LOWER_IS_BETTER
from penstock.stats.separation import FOLDS, separate

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
ROWS_MIN = 150
"""Labelled rows that are needed on each side."""
STRATA = 8
STRATUM_ROWS = 15
"""Earlier rows that a stratum has at least: it is joined with the next below it until it has."""
REACH = 5
UNREACHED = 0.3
"""Share of the recent rows that look more recent than all but `REACH` of the earlier ones, beyond which nothing is told:
there is nothing to weigh."""
SURELY = 3.0
"""Standard errors by which a part must differ from nothing to be told of: looks come every half minute."""
MATTERS = 0.25
"""Share of the drop below which a part is not told of, however sure it is: strata leave a little of the other part in it."""
TOLD = 0.1
"""Share of the largest part of a feature that another must have to be named beside it: chance gives each a little."""
INSTEAD = {"rmse": ("mae",), "r2": ("mae",)}

SPLITS = 8
"""So many parts rows are cut in to find where they became worse."""

Verdict = Literal["covariate", "concept", "both", "unclear"]


class Untold(msgspec.Struct, frozen=True, kw_only=True):
    """Why no cause is told of a metric that is worse."""

    sentence: str


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """What a change of a metric comes from, as drops (a rise of a loss is one): `covariate` and `concept` add up to `drop`.

    Errors are standard errors. `features` are those that moved most, where features did.
    """

    metric: str
    before: float
    now: float
    drop: float
    covariate: float
    covariate_error: float
    concept: float
    concept_error: float
    n_before: int
    n_now: int
    verdict: Verdict
    features: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """Say it in words."""
        counts = f"{self.metric} was {self.before:.3f} over the first {self.n_before:,} labelled rows and is {self.now:.3f} over {self.n_now:,} recent ones"
        moved = f" (most: {', '.join(self.features)})" if self.features else ""
        parts = (
            f"of the drop of {self.drop:.3f}, {self.covariate:.3f} ± {2 * self.covariate_error:.3f} come from other "
            f"features and {self.concept:.3f} ± {2 * self.concept_error:.3f} from another relation of features to labels"
        )
        words = {
            "covariate": f"covariate drift: other rows are asked about{moved}, and such rows were answered as badly before",
            "concept": "concept drift: rows with the same features now have other labels; a model trained on new labels is needed",
            "both": f"covariate and concept drift: other rows are asked about{moved}, and these are answered worse than such rows were",
            "unclear": f"covariate or concept drift, the labels do not tell which{moved}",
        }
        return f"{counts}: {words[self.verdict]}; {parts}"


def explain(before: LabelledRows, recent: LabelledRows, metric: str) -> Cause | Untold:
    """Return why a metric is worse on recent rows than it was on earlier ones, or why that cannot be told.

    Metrics that are no means over rows are explained by one that is: classes by the Brier score or accuracy, numbers by
    the mean absolute error.
    """
    for rows, words in ((before, "early"), (recent, "recent")):
        if rows.row_count < ROWS_MIN:
            return Untold(
                sentence=f"not told: {rows.row_count:,} of {ROWS_MIN:,} {words} labelled rows whose features are kept"
            )
    compared = _compared(before, recent, metric)
    if isinstance(compared, Untold):
        return compared
    told, (first, first_error), (now, now_error) = compared
    sign = 1.0 if told in LOWER_IS_BETTER else -1.0
    drop = sign * (now - first)
    if drop < SURELY * math.hypot(now_error, first_error):
        return Untold(
            sentence=f"not told: {told} was {first:.3f} ± {2 * first_error:.3f} over the first {before.row_count:,} labelled "
            f"rows and is {now:.3f} ± {2 * now_error:.3f} over {recent.row_count:,} recent ones, which is not surely worse"
        )
    strata = _strata(before, recent)
    if strata is None:
        return Untold(
            sentence="not told: the features kept of early and of recent rows cannot be compared: none is in both, or the "
            f"rows came in fewer than {counted(2 * FOLDS, 'request')}"
        )
    of_before, of_recent, is_reached, names = strata
    expected, error = _reweighted(before, of_before, of_recent, told)
    covariate, concept = sign * (expected - first), sign * (now - expected)
    covariate_error, concept_error = math.hypot(error, first_error), math.hypot(error, now_error)
    moved = covariate > max(SURELY * covariate_error, MATTERS * drop)
    meant = concept > max(SURELY * concept_error, MATTERS * drop)
    verdict: Verdict = "unclear"
    if is_reached and (moved or meant):
        verdict = "both" if moved and meant else "covariate" if moved else "concept"
        # the smaller part may be there though it is not sure; a verdict needs most of the drop to be of its part
        if (verdict == "covariate" and concept > drop / 2) or (verdict == "concept" and covariate > drop / 2):
            verdict = "unclear"
    return Cause(
        metric=told,
        before=first,
        now=now,
        drop=drop,
        covariate=covariate,
        covariate_error=covariate_error,
        concept=concept,
        concept_error=concept_error,
        n_before=before.row_count,
        n_now=recent.row_count,
        verdict=verdict,
        features=names if verdict != "concept" else (),
    )


def split_where_worse(rows: LabelledRows, metric: str) -> tuple[LabelledRows, LabelledRows]:
    """Cut rows in earlier and recent ones, between two requests: where a metric became worse the most surely.

    Requests are in the order in which they were asked, so rows of one window are told apart too.
    """
    starts = np.flatnonzero(np.diff(rows.requests) != 0) + 1
    halves = (rows, rows.taken(np.zeros(0, dtype=np.int64)))
    most = -math.inf
    for part in range(1, SPLITS):
        if not len(starts):
            break
        cut = int(starts[np.abs(starts - rows.row_count * part / SPLITS).argmin()])
        if min(cut, rows.row_count - cut) < min(ROWS_MIN, rows.row_count // 2):
            continue
        places = np.arange(rows.row_count)
        earlier, later = rows.taken(places[:cut]), rows.taken(places[cut:])
        compared = _compared(earlier, later, metric)
        surely = -math.inf
        if not isinstance(compared, Untold):
            told, (first, first_error), (now, now_error) = compared
            sign = 1.0 if told in LOWER_IS_BETTER else -1.0
            surely = sign * (now - first) / max(math.hypot(now_error, first_error), 1e-9)
        if surely > most or not halves[1].row_count:
            most, halves = max(most, surely), (earlier, later)
    return halves


def _compared(
    before: LabelledRows, recent: LabelledRows, metric: str
) -> tuple[str, tuple[float, float], tuple[float, float]] | Untold:
    """Return the metric that parts add up of, and its value and error on both sides."""
    first, now = (one.quality(np.arange(one.row_count)) for one in (before, recent))
    candidates = [metric] if metric in MEANS else [*INSTEAD.get(metric, ("brier", "accuracy"))]
    told = next((one for one in candidates if math.isfinite(first.metric(one)[0])), None)
    if told is None or not math.isfinite(now.metric(told)[0]):
        return Untold(sentence=f"not told: the labels do not tell {' or '.join(candidates)}")
    found = first.metric(told), now.metric(told)
    for quality, (_, error), words in zip((first, now), found, ("early", "recent"), strict=True):
        if not math.isfinite(error):
            return Untold(
                sentence=f"not told: {words} rows: {quality.lacking(told) or 'labels of too few requests yet'}"
            )
    return told, *found


def _strata(before: LabelledRows, recent: LabelledRows) -> tuple[Ints, Ints, bool, tuple[str, ...]] | None:
    """Return the stratum of each row, by how much it looks like a recent one; whether there are earlier ones like most of
    the recent; and the features that say so."""
    first = Rows.of(before.columns, before.requests)
    second = Rows.of(recent.columns, recent.requests)
    columns, owners, names = matrix_of(first, second)
    if not columns:
        return None
    is_recent = np.arange(first.row_count + second.row_count) >= first.row_count
    groups = np.unique(np.concatenate([first.groups, second.groups]), return_inverse=True)[1].astype(np.int64)
    found = separate(columns, owners, is_recent, groups)
    if found is None:
        return None
    earlier, later = found.scores[~is_recent], found.scores[is_recent]
    edges: list[float] = []
    # strata have as many recent rows each, for which the weights are, unless too few earlier ones are in them
    for edge in np.quantile(later, np.arange(STRATA - 1, 0, -1) / STRATA).tolist():
        above = edges[-1] if edges else np.inf
        if min(((earlier >= edge) & (earlier < above)).sum(), (earlier < edge).sum()) >= STRATUM_ROWS:
            edges.append(edge)
    bounds = np.array(edges[::-1])
    is_reached = float((later > np.sort(earlier)[-REACH]).mean()) <= UNREACHED
    largest = max((part for _, part in found.parts), default=0.0)
    tell = tuple(names[place] for place, part in found.parts if part > max(0.02, TOLD * largest))[:3]
    of_before, of_recent = (
        np.searchsorted(bounds, one, side="right").astype(np.int64) for one in (earlier, later)
    )
    return of_before, of_recent, is_reached, tell


def _reweighted(before: LabelledRows, of_before: Ints, of_recent: Ints, metric: str) -> tuple[float, float]:
    """Return the metric of the earlier rows weighed as the recent ones, and its error."""
    value, variance, weight = 0.0, 0.0, 0.0
    for stratum in range(int(of_recent.max()) + 1):
        share, mine = float((of_recent == stratum).mean()), np.flatnonzero(of_before == stratum)
        found = before.quality(mine).metric(metric)[0] if len(mine) else math.nan
        if math.isfinite(found):
            value += share * found
            variance += share**2 * _row_variance(before, mine, metric, found) / len(mine)
            weight += share
    return (value / weight, math.sqrt(variance) / weight) if weight > 0 else (math.nan, math.nan)


def _row_variance(rows: LabelledRows, places: Ints, metric: str, value: float) -> float:
    """Return the variance of a row's part of a metric, with one more of either outcome for shares."""
    if metric == "accuracy":
        drawn = (value * len(places) + 1) / (len(places) + 2)
        return drawn * (1 - drawn)
    quality = rows.quality(places)
    error = quality.metric(metric)[1]
    return error**2 * len(places) if math.isfinite(error) else value**2
