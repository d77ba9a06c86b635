"""Settings of an endpoint's monitoring, as they stand in `penstock.yaml`."""

from __future__ import annotations

from typing import Literal

import msgspec

from penstock.base.errors import Invalid
from penstock.base.web.targets import parse_target
from penstock.monitoring.guardrails.limits import (
    Action,
    FreshnessLimit,
    LatencyLimit,
    MultivariateLimit,
    OutlierLimit,
    QualityLimit,
    SliceSettings,
    SlicesLimit,
    ValuesLimit,
)

ROWS_MAX = 2000
"""So many rows of a reference are kept with a version: of 20 numbers they take 160 kB."""


class ErrorsLimit(msgspec.Struct, frozen=True, kw_only=True):
    """Share of requests in [0, 1] that may fail for reasons other than the client.

    The stable version is judged against `max_ratio`. A canary is judged against the stable version in the
    same time: it may fail as often, or `max_times` as often. `against: limit` judges it against `max_ratio`
    too, whatever the stable version does.
    """

    max_ratio: float
    against: Literal["any", "stable", "limit"] = "any"
    max_times: float = 1.0
    action: Action | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.max_ratio < 1:
            raise ValueError("max_ratio is a ratio in [0, 1)")
        if self.max_times < 1:
            raise ValueError("max_times is at least 1")


class DriftLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How far a feature may be from the reference; `features` are names, or `any`.

    Two measures are always limited: the population stability index, and for numbers the Kolmogorov-Smirnov
    distance. The defaults find a shift of the mean by half a standard deviation. Three more are where a limit is
    given: the Wasserstein distance of numbers in standard deviations of the reference, the Jensen-Shannon distance,
    and chi-square as Cohen's w. None is breached within
    what chance, or the reference's own variation over time, explains. Fewer than `min_rows` rows are not
    judged. A breach is over only when the measure is below `resolve_below` of its limit.
    """

    features: Literal["any"] | list[str] = "any"
    psi_max: float = 0.1
    ks_max: float = 0.1
    wasserstein_max: float | None = None
    jensen_shannon_max: float | None = None
    chi_square_max: float | None = None
    min_rows: int = 500
    resolve_below: float = 0.8
    action: Action | None = None

    def __post_init__(self) -> None:
        if not 0 < self.resolve_below <= 1:
            raise ValueError("resolve_below is a share of the limit, in (0, 1]")
        if self.psi_max < 0 or not 0 <= self.ks_max <= 1:
            raise ValueError("psi_max is not negative, ks_max a distance in [0, 1]")
        if not 0 <= (self.jensen_shannon_max or 0.0) <= 1:
            raise ValueError("jensen_shannon_max is a distance in [0, 1]")
        if min(self.wasserstein_max or 0.0, self.chi_square_max or 0.0) < 0:
            raise ValueError("wasserstein_max and chi_square_max are not negative")

    def mistake(self) -> str:
        """Say what every feature breaks, or that nothing is judged."""
        names = ("psi_max", "ks_max", "wasserstein_max", "jensen_shannon_max", "chi_square_max")
        zero = next((name for name in names if getattr(self, name) == 0), None)
        if zero is not None:
            return f"{zero} is above 0: every feature is somewhat off its reference"
        if self.min_rows < 1:
            return "min_rows is at least 1"
        return "features is empty: nothing is judged" if self.features == [] else ""

    def covers(self, feature: str) -> bool:
        """Whether the limit is on this feature."""
        return self.features == "any" or feature in self.features


KINDS = ("errors", "latency", "drift", "quality", "multivariate", "outliers", "values", "freshness", "slices")
"""The kinds of guardrail that a policy may have."""
Limit = (
    ErrorsLimit | LatencyLimit | DriftLimit | QualityLimit | MultivariateLimit | OutlierLimit | ValuesLimit | FreshnessLimit | SlicesLimit
)  # fmt: skip


class GuardrailEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One guardrail: exactly one limit, and what a breach does (else the endpoint's `on_breach`)."""

    errors: ErrorsLimit | None = None
    latency: LatencyLimit | None = None
    drift: DriftLimit | None = None
    quality: QualityLimit | None = None
    multivariate: MultivariateLimit | None = None
    outliers: OutlierLimit | None = None
    values: ValuesLimit | None = None
    freshness: FreshnessLimit | None = None
    slices: SlicesLimit | None = None
    action: Action | None = None

    def __post_init__(self) -> None:
        if sum(limit is not None for limit in self._limits()) != 1:
            raise ValueError(f"a guardrail is exactly one of {', '.join(KINDS[:-1])} and {KINDS[-1]}")

    def _limits(self) -> tuple[Limit | None, ...]:
        return tuple(getattr(self, kind) for kind in KINDS)

    @property
    def kind(self) -> str:
        """What is limited."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def needs_rows(self) -> bool:
        """Whether it is judged on whole rows, which are read beside the windows."""
        return self.multivariate is not None

    @property
    def is_slow(self) -> bool:
        """Whether it is judged on features or labels, which are not read at every look."""
        if self.freshness is not None:
            return self.freshness.column is not None
        return self.errors is None and self.latency is None and self.outliers is None

    @property
    def own_action(self) -> Action | None:
        """The action named in the entry or its limit; None leaves it to `on_breach`."""
        limit = next(limit for limit in self._limits() if limit is not None)
        return limit.action or self.action


KEPT_MAX_DAYS = 36_500
"""A hundred years."""


class PayloadSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests and answers are kept whole: a share of the requests in [0, 1], for so many days.

    Columns named in `redact`, and those below them, are not kept, neither here nor with the stored features; of errors
    the kind is kept without its words then.
    """

    sample: float = 0.1
    redact: tuple[str, ...] = ()
    keep_days: float = 30.0

    def __post_init__(self) -> None:
        if not 0 <= self.sample <= 1:
            raise ValueError("sample is a ratio in [0, 1]")
        if self.keep_days <= 0:
            raise ValueError("keep_days is positive")

    def mistake(self) -> str:
        """Say that no calendar goes back so far."""
        return f"keep_days is at most {KEPT_MAX_DAYS}" if self.keep_days > KEPT_MAX_DAYS else ""


SLICED_MAX = 5


class MonitorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How live traffic is watched.

    `windows` is how many recent windows with traffic are judged together; `feature_ratio` the share of
    requests in [0, 1] whose features are stored. `classes` are the classes of a classifier in the model's
    order, where its predictions do not tell them; labels of another class are misfits. `positive` is the
    class that precision, recall and the probability are about, when it is not the last.
    `resolve_windows` is for how many windows' lengths a guardrail must hold before its breach is over.
    `nonfinite_max_ratio` is the share of rows, and of requests, in [0, 1] that may be answered with NaN or
    an infinity; with 1 nobody is told. `payloads` says which requests and answers are kept whole; none by
    default. `slices` are features by whose values quality is told apart; every prediction keeps their values.
    """

    window_s: int = 60
    reference: str = "training"
    windows: int = 5
    flush_s: float = 1.0
    feature_ratio: float = 0.1
    classes: tuple[str | int | float | bool, ...] | None = None
    positive: str | int | float | bool | None = None
    nonfinite_max_ratio: float = 0.01
    resolve_windows: int = 5
    payloads: PayloadSettings | None = None
    slices: tuple[SliceSettings, ...] = ()

    @property
    def redacted(self) -> tuple[str, ...]:
        """Columns whose values are not kept by row."""
        return () if self.payloads is None else self.payloads.redact

    def __post_init__(self) -> None:
        if self.window_s < 1 or self.windows < 1 or self.flush_s <= 0:
            raise ValueError("window_s, windows and flush_s are positive")
        if not 0 <= self.feature_ratio <= 1:
            raise ValueError("feature_ratio is a ratio in [0, 1]")
        if self.resolve_windows < 1:
            raise ValueError("resolve_windows is at least 1")
        if not 0 <= self.nonfinite_max_ratio <= 1:
            raise ValueError("nonfinite_max_ratio is a ratio in [0, 1]")
        sliced = [one.feature for one in self.slices]
        if len(sliced) != len(set(sliced)) or len(sliced) > SLICED_MAX:
            raise ValueError(f"slices name each feature once, and {SLICED_MAX} at most")
        if any(one in self.redacted for one in sliced):
            raise ValueError("slices name no redacted feature: their values would be kept")
        if self.classes is not None and (len(self.classes) < 2 or self.positive not in (None, *self.classes)):
            raise ValueError("classes are at least two, and positive is one of them")


class RetrainSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What starts a retraining, and the command that does it.

    `rev` is the branch, tag or commit that is looked at for newer data.
    """

    on: Literal["drift", "quality"] | list[Literal["drift", "quality"]]
    command: str
    rev: str = "HEAD"

    @property
    def causes(self) -> tuple[str, ...]:
        """The kinds of finding that start it: quality is also that of slices."""
        named = (self.on,) if isinstance(self.on, str) else tuple(self.on)
        return (*named, "slices") if "quality" in named else named


class RolloutSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a canary grows: its percents, and what each step needs before the next.

    Requests and labels count since the step began. `min_labels` None means as many as the quality
    guardrails need, none where quality is not guarded. `unjudged` says whether a canary may advance though
    a guardrail on it was not judged; `alias` whether a rollback takes the endpoint's alias along.
    `deadline_s` is how long a step may wait before somebody is told. A stable version is taken back by
    itself only within `probation_s` of becoming stable: later it is not what changed.
    """

    steps: tuple[float, ...] = (5.0, 25.0, 100.0)
    min_requests: int = 500
    hold_s: float = 60.0
    min_labels: int | None = None
    unjudged: Literal["hold", "allow"] = "hold"
    alias: Literal["follow", "stay"] = "follow"
    deadline_s: float = 3600.0
    probation_s: float = 604_800.0

    def __post_init__(self) -> None:
        if not self.steps or sorted(set(self.steps)) != list(self.steps):
            raise ValueError("steps must grow")
        if not all(0 < step <= 100 for step in self.steps):
            raise ValueError("steps are percents in (0, 100]")
        if min(self.min_requests, self.hold_s, self.min_labels or 0, self.probation_s) < 0:
            raise ValueError("min_requests, min_labels, hold_s and probation_s are not negative")
        if self.deadline_s <= 0:
            raise ValueError("deadline_s is positive")


class RuleSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Requests whose `parameter` or `header` (exactly one) is `equals`, or one of them, go to `version`."""

    version: int
    equals: str | int | float | bool | tuple[str | int | float | bool, ...]
    parameter: str | None = None
    header: str | None = None

    def __post_init__(self) -> None:
        if (self.parameter is None) == (self.header is None):
            raise ValueError("a rule is on exactly one of parameter and header")
        if self.version < 1:
            raise ValueError("version is the number of a model version")
        if self.equals == ():
            raise ValueError("equals is a value, or a list of at least one")

    @property
    def values(self) -> tuple[str | int | float | bool, ...]:
        """What it equals."""
        return self.equals if isinstance(self.equals, tuple) else (self.equals,)


OTHER_VERSIONS_MAX = 32


class TrafficSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the serve processes take an endpoint's requests.

    The first of `rules` that holds says which version answers; without one, shares do. A prediction is worked on
    for `timeout_s` (None: as long as `serve --timeout` says); `backlog` requests may wait for each version;
    `weight` is the endpoint's share of the processor against the others'. `shadows` name versions that watch and
    answer no request: NAME/3 or NAME@alias. So many `other_versions` than the revision's are loaded in each
    process where they are asked for by number.
    """

    rules: tuple[RuleSettings, ...] = ()
    shadows: tuple[str, ...] = ()
    timeout_s: float | None = None
    backlog: int = 512
    weight: float = 1.0
    other_versions: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.other_versions <= OTHER_VERSIONS_MAX:
            raise ValueError(f"other_versions is between 0 and {OTHER_VERSIONS_MAX}")
        if self.timeout_s is not None and self.timeout_s <= 0:
            raise ValueError("timeout_s is positive")
        if self.backlog < 1 or self.weight <= 0:
            raise ValueError("backlog is at least 1 and weight positive")


class EndpointSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How one endpoint is rolled out, watched and answered for."""

    model: str
    rollout: RolloutSettings = RolloutSettings()
    monitor: MonitorSettings = MonitorSettings()
    traffic: TrafficSettings = TrafficSettings()
    guardrails: tuple[GuardrailEntry, ...] = ()
    on_breach: tuple[Action, ...] = ("alert",)
    retrain: RetrainSettings | None = None

    def __post_init__(self) -> None:
        sliced = {one.feature for one in self.monitor.slices}
        for entry in self.guardrails:
            if entry.slices is None:
                continue
            named = sliced if entry.slices.features == "any" else set(entry.slices.features)
            if not sliced or named - sliced:
                raise ValueError("a guardrail on slices needs their features in monitor.slices")

    @property
    def model_name(self) -> str:
        """The model, whichever version of it is named."""
        return self.model.partition("@")[0].partition("/")[0]

    @property
    def alias(self) -> tuple[str, str] | None:
        """The model and the alias that follow a canary that wins; None when no alias is named."""
        name, _, alias = self.model.partition("@")
        return (name, alias) if alias else None

    @property
    def required_labels(self) -> int:
        """Labels of the canary that a step needs before the next."""
        if self.rollout.min_labels is not None:
            return self.rollout.min_labels
        guards = (entry.quality for entry in self.guardrails)
        return max((one.min_labels for one in guards if one and one.against != "offline"), default=0)


AlertFormat = Literal["alertmanager", "json", "slack"]
"""How an alert is worded for who is told; `monitoring/wording.py` writes each."""


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """Where alerts are posted, and in whose words: Alertmanager's, Slack's, or plain JSON."""

    url: str
    format: AlertFormat = "alertmanager"


class AlertSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told."""

    webhooks: tuple[Webhook, ...] = ()


class WrittenWebhook(Webhook, frozen=True, kw_only=True):
    """A webhook as a file may name it; what a store keeps of before is read as it is."""

    def __post_init__(self) -> None:
        try:
            parse_target(self.url)
        except Invalid as error:
            raise ValueError(error.message) from None


class WrittenAlerts(AlertSettings, frozen=True, kw_only=True):
    """Who is told, as a file may name it."""

    webhooks: tuple[WrittenWebhook, ...] = ()
