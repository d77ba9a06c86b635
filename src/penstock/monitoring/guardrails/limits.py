"""Limits on labels and on what features are like as whole rows; on latency too; those on failures and single features are in `settings`."""

from __future__ import annotations

from typing import Literal

import msgspec

from penstock.stats.metric_names import LOWER_IS_BETTER, METRICS, bound_name, range_of

Action = Literal["alert", "rollback"]
LATENCY_MAX_MS = 1e9
"""Longer no request is told of: eleven days."""
SLICES_MAX = 50
"""Values of a feature that may be told apart: each is a line of metrics."""


class LatencyLimit(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds that 95 or 99 of 100 requests must stay within; exactly one of them.

    A canary breaches it when it is over the limit and slower than the stable version. `against: limit` or
    `stable` asks for one of the two only.
    """

    p99_ms: float | None = None
    p95_ms: float | None = None
    against: Literal["any", "stable", "limit"] = "any"
    action: Action | None = None

    def __post_init__(self) -> None:
        if (self.p99_ms is None) == (self.p95_ms is None):
            raise ValueError("give exactly one of p99_ms and p95_ms")

    def mistake(self) -> str:
        """Say that no request can be so fast, or none so slow."""
        name = "p99_ms" if self.p99_ms is not None else "p95_ms"
        if 0 < 1000 * self.limit_s <= LATENCY_MAX_MS:
            return ""
        return f"{name} is a number of milliseconds above 0, up to {LATENCY_MAX_MS:g}"

    @property
    def rank(self) -> float:
        """The quantile that is limited, in [0, 1]."""
        return 0.99 if self.p99_ms is not None else 0.95

    @property
    def limit_s(self) -> float:
        """The limit in seconds."""
        return (self.p99_ms if self.p99_ms is not None else self.p95_ms or 0.0) / 1000


class MultivariateLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How well live rows may be told from those of the reference, all features together.

    `auc_max` limits the area under the ROC curve of a classifier that says which of both a row is of: 0.5 is not at
    all, 1 always. It is breached when the area is surely above it. Judged are the newest rows whose features are kept
    (`monitor.feature_ratio`), of the last `span_s` seconds, `max_rows` at most. A breach is over only when the area is
    above 0.5 by less than `resolve_below` of what the limit is.
    """

    auc_max: float = 0.65
    min_rows: int = 300
    max_rows: int = 1000
    span_s: float = 3600.0
    resolve_below: float = 0.8
    action: Action | None = None

    def __post_init__(self) -> None:
        if not 0.5 <= self.auc_max < 1:
            raise ValueError("auc_max is an area in [0.5, 1)")
        if self.min_rows < 50 or not self.min_rows <= self.max_rows <= 5000:
            raise ValueError("min_rows is at least 50, and max_rows between it and 5000")
        if self.span_s <= 0:
            raise ValueError("span_s is positive")
        if not 0 < self.resolve_below <= 1:
            raise ValueError("resolve_below is a share of the limit, in (0, 1]")

    @property
    def window(self) -> tuple[float, int]:
        """Which rows it is judged on: how old they may be, and how many at most."""
        return self.span_s, self.max_rows


class OutlierLimit(msgspec.Struct, frozen=True, kw_only=True):
    """Share of rows in [0, 1) that may be farther from the reference than 99.5 of 100 of its own rows are.

    Fewer than `min_rows` rows are not judged.
    """

    max_ratio: float = 0.05
    min_rows: int = 200
    action: Action | None = None

    def __post_init__(self) -> None:
        if not 0 < self.max_ratio < 1:
            raise ValueError("max_ratio is a ratio in (0, 1)")
        if self.min_rows < 1:
            raise ValueError("min_rows is at least 1")


class ValuesLimit(msgspec.Struct, frozen=True, kw_only=True):
    """Shares in [0, 1] of a feature's values that may come beyond what the reference has; None limits none.

    `missing_max` are missing values, `wrong_type_max` texts where the reference has numbers, or the reverse;
    `out_of_range_max` numbers below its least or above its greatest; `unseen_max` texts it never had. `features` are
    names, or `any`. Fewer than `min_rows` rows are not judged.
    """

    features: Literal["any"] | list[str] = "any"
    missing_max: float | None = 0.05
    wrong_type_max: float | None = 0.01
    out_of_range_max: float | None = 0.05
    unseen_max: float | None = 0.05
    min_rows: int = 200
    resolve_below: float = 0.8
    action: Action | None = None

    def __post_init__(self) -> None:
        limits = (self.missing_max, self.wrong_type_max, self.out_of_range_max, self.unseen_max)
        if any(one is not None and not 0 <= one < 1 for one in limits):
            raise ValueError("shares are ratios in [0, 1)")
        if all(one is None for one in limits):
            raise ValueError("give at least one share that is limited")
        if self.min_rows < 1 or not 0 < self.resolve_below <= 1:
            raise ValueError("min_rows is at least 1, and resolve_below a share of the limit, in (0, 1]")

    def mistake(self) -> str:
        """Say that nothing is judged."""
        return "features is empty: nothing is judged" if self.features == [] else ""

    def covers(self, feature: str) -> bool:
        """Whether the limit is on this feature."""
        return self.features == "any" or feature in self.features


class FreshnessLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How old what comes may be: `max_silence_s` without a request, or `max_age_s` by a column of times.

    Exactly one of the two. The column holds seconds (or `unit: ms`) since 1970 as a number; half of the rows may be
    older than the limit.
    """

    max_silence_s: float | None = None
    column: str | None = None
    max_age_s: float | None = None
    unit: Literal["s", "ms"] = "s"
    min_rows: int = 20
    action: Action | None = None

    def __post_init__(self) -> None:
        if (self.max_silence_s is None) == (self.max_age_s is None):
            raise ValueError("give exactly one of max_silence_s and max_age_s")
        if (self.column is None) != (self.max_age_s is None):
            raise ValueError("column and max_age_s belong together")
        if (
            any(one is not None and one <= 0 for one in (self.max_silence_s, self.max_age_s))
            or self.min_rows < 1
        ):
            raise ValueError("seconds are positive, and min_rows is at least 1")


class SliceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A feature by whose values quality is told apart: the `most` of them with the most labels, each with `min_labels`."""

    feature: str
    min_labels: int = 100
    most: int = 10

    def __post_init__(self) -> None:
        if self.min_labels < 20 or not 1 <= self.most <= SLICES_MAX:
            raise ValueError(f"min_labels is at least 20, and most between 1 and {SLICES_MAX}")


def no_bound(metric: str, bound: float, name: str) -> str:
    """Say that no value of a metric meets a bound, or that every value does; empty where neither is so."""
    low, high = range_of(metric)
    if metric in LOWER_IS_BETTER:
        is_met, is_broken = bound >= low, bound < high
    else:
        is_met, is_broken = bound <= high, bound > low
    if is_met and is_broken:
        return ""
    never = f"above {high:g}" if bound >= high else f"below {low:g}"
    return f"{'every' if is_met else 'no'} {metric} meets {name} {bound:g}: {metric} is never {never}"


def no_drop(metric: str, max_drop: float) -> str:
    """Say that a metric can never be so much worse; empty where it can."""
    low, high = range_of(metric)
    if abs(max_drop) < high - low:
        return ""
    return f"max_drop is {max_drop:g}, and {metric} is from {low:g} to {high:g}: it is never so much worse"


class QualityLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How bad a live metric may be: against the stable version's or the offline one, or by a number of its own.

    Exactly one of `max_drop`, `min` and `max`, each in the metric's own unit. It is breached when the metric is surely
    worse by more than `max_drop`; for losses (brier, log_loss, calibration_error, mae, rmse, mape) that is a rise.
    `min`, for losses `max`, is the worst that any version may be, canary or stable. `against` limits `max_drop` to one
    comparison: a canary's with the stable version (`stable`), or the stable version's with its offline evaluation
    (`offline`), which needs more labels where they come in bunches. A label counts whose prediction is at most
    `horizon_s` old, however much traffic came since; of the stable version those of the newest windows with labels, as
    many as are judged together, and of older ones until there are `min_labels`.
    """

    metric: str
    max_drop: float | None = None
    min: float | None = None
    max: float | None = None
    against: Literal["any", "stable", "offline"] = "any"
    min_labels: int = 200
    horizon_s: float = 604_800.0
    action: Action | None = None

    def __post_init__(self) -> None:
        if self.horizon_s <= 0:
            raise ValueError("horizon_s is positive")
        if self.metric not in METRICS:
            raise ValueError(f"metric must be one of {', '.join(sorted(METRICS))}")
        if sum(one is not None for one in (self.max_drop, self.min, self.max)) != 1:
            raise ValueError("give exactly one of max_drop, min and max")
        if (self.min if self.metric in LOWER_IS_BETTER else self.max) is not None:
            right = "max" if self.metric in LOWER_IS_BETTER else "min"
            raise ValueError(f"the worst that {self.metric} may be is its `{right}`")
        if self.max_drop is None and self.against != "any":
            raise ValueError("against belongs to max_drop")

    def mistake(self) -> str:
        """Say what no value of the metric can meet, or none can break."""
        if self.min_labels < 1:
            return "min_labels is at least 1"
        if self.max_drop is not None:
            return no_drop(self.metric, self.max_drop)
        return no_bound(self.metric, self.allowed, self.name)

    @property
    def window(self) -> tuple[float, int]:
        """Which labels it is judged on: how old they may be, and how many are needed."""
        return self.horizon_s, self.min_labels

    @property
    def bound(self) -> float | None:
        """The worst that the metric may be; None where it is compared with another."""
        return self.max if self.min is None else self.min

    @property
    def name(self) -> str:
        """What a finding of it is called: the metric, and of a bound which one."""
        return self.metric if self.bound is None else bound_name(self.metric)

    @property
    def allowed(self) -> float:
        """What a finding of it calls the limit: the bound, or how much worse it may be."""
        limits = (self.max_drop, self.min, self.max)
        return next(one for one in limits if one is not None)


class SlicesLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How much worse a metric may be in a slice: than in all other rows, for a canary than in the stable version's slice.

    `max_drop` is in the metric's own unit; for losses it is a rise. Slices are those of `monitor.slices`, at most `most`
    of which are judged.
    """

    metric: str
    max_drop: float
    features: Literal["any"] | list[str] = "any"
    most: int = 20
    action: Action | None = None

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ValueError(f"metric must be one of {', '.join(sorted(METRICS))}")
        if self.max_drop < 0 or not 1 <= self.most <= 4 * SLICES_MAX:
            raise ValueError(f"max_drop is not negative, and most between 1 and {4 * SLICES_MAX}")

    def mistake(self) -> str:
        """Say what no value of the metric can break, or that nothing is judged."""
        return (
            "features is empty: nothing is judged"
            if self.features == []
            else no_drop(self.metric, self.max_drop)
        )
