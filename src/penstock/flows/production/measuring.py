"""What a whole look at an endpoint measures beside its findings: the drift of every feature, and quality.

It is what metrics tell between two whole looks; what is judged are findings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from penstock.monitoring.drift import FeatureDrift, compare
from penstock.monitoring.estimating.estimated import Estimated, estimate, estimate_errors
from penstock.monitoring.guardrails.judging import Traffic
from penstock.monitoring.quality import Quality
from penstock.monitoring.settings import DriftLimit, EndpointSettings

USUAL_METRICS = frozenset({"roc_auc", "accuracy", "macro_f1", "rmse"})
"""Told where no quality guardrail says which matter."""


@dataclass(frozen=True)
class Measures:
    """One route: its features against their reference, the most drifted first, and its metrics with their errors.

    `quality` has value and standard error; the error is NaN while too few labels are there. `row_count` are
    the rows whose features were compared, `label_count` the labels that the metrics are of; `estimated`
    is what quality is thought to be without labels.
    """

    drifts: tuple[FeatureDrift, ...] = ()
    row_count: int = 0
    quality: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    label_count: int = 0
    estimated: Estimated | None = None


def compared(traffic: Traffic, settings: EndpointSettings) -> Traffic:
    """Return the traffic with its features compared with its reference, once for all who ask.

    Fewer rows than the least of the drift guardrails are not compared: chance would be all there is to see.
    """
    recent, profile = traffic.recent, traffic.reference.profile
    limits = [entry.drift for entry in settings.guardrails if entry.drift is not None] or [DriftLimit()]
    if recent is None or profile is None or recent.features.row_count < min(one.min_rows for one in limits):
        return traffic
    return msgspec.structs.replace(traffic, drifts=tuple(compare(profile, recent.features)))


def measure(traffic: Traffic, settings: EndpointSettings) -> Measures:
    """Return what is known of a route that `compared` was asked about."""
    quality = traffic.labelled.quality if traffic.labelled is not None else None
    guarded = {entry.quality.metric for entry in settings.guardrails if entry.quality is not None}
    told = (
        {} if quality is None else {name: quality.metric(name) for name in sorted(guarded or USUAL_METRICS)}
    )
    return Measures(
        drifts=traffic.drifts or (),
        row_count=traffic.recent.features.row_count if traffic.recent and traffic.drifts else 0,
        quality={name: pair for name, pair in told.items() if math.isfinite(pair[0])},
        label_count=quality.label_count if quality is not None else 0,
        estimated=_estimated(traffic, quality),
    )


def _estimated(traffic: Traffic, quality: Quality | None) -> Estimated | None:
    recent, profile = traffic.recent, traffic.reference.profile
    if recent is None:
        return None
    if profile is not None and profile.losses is not None:
        return estimate_errors(profile.losses, profile, (recent.features, recent.outputs), quality)
    return estimate(recent.outputs, quality)
