"""What a whole look at an endpoint measures beside its findings: the drift of every feature, and quality.

It is what metrics tell between two whole looks; what is judged are findings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from penstock.monitoring.drift import FeatureDrift, compare
from penstock.monitoring.estimating.estimated import Estimated, estimate, estimate_errors, why_not_estimated
from penstock.monitoring.estimating.losses import find_losses
from penstock.monitoring.guardrails.traffic import Traffic
from penstock.monitoring.quality.measures import Quality
from penstock.monitoring.rowwise.causes import Cause, Untold
from penstock.monitoring.rowwise.slices import SliceQuality
from penstock.monitoring.settings import DriftLimit, EndpointSettings
from penstock.monitoring.windows import Window

USUAL_METRICS = frozenset({"roc_auc", "accuracy", "macro_f1", "rmse"})
"""Told where no quality guardrail says which matter."""


class SliceMeasure(msgspec.Struct, frozen=True, kw_only=True):
    """Quality of the rows that have one value of a feature: each metric with its standard error, NaN where unknown."""

    feature: str
    value: str
    label_count: int
    quality: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Measures:
    """One route: its features against their reference, the most drifted first, and its metrics with their errors.

    `quality` has value and standard error; the error is NaN while too few labels are there. `row_count` are
    the rows whose features were compared, `label_count` the labels that the metrics are of; `estimated`
    is what quality is thought to be without labels (`estimated_untold` says why it is not known), `slices` what it is in parts of the traffic, `cause` why it dropped,
    `cause_untold` why that is not told where it did.
    """

    drifts: tuple[FeatureDrift, ...] = ()
    row_count: int = 0
    quality: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    label_count: int = 0
    estimated: Estimated | None = None
    estimated_untold: str = ""
    slices: tuple[SliceMeasure, ...] = ()
    cause: Cause | None = None
    cause_untold: str = ""


def compared(traffic: Traffic, settings: EndpointSettings) -> Traffic:
    """Return the traffic with its features compared with its reference, once for all who ask.

    Fewer rows than the least of the drift guardrails are not compared: chance would be all there is to see.
    """
    limits = [entry.drift for entry in settings.guardrails if entry.drift is not None] or [DriftLimit()]
    least = min(one.min_rows for one in limits)
    window, profile = traffic.holding(least), traffic.reference.profile
    if window is None or profile is None or window.features.row_count < least:
        return traffic
    return msgspec.structs.replace(traffic, drifts=tuple(compare(profile, window.features)), drifts_of=least)


def measure(
    traffic: Traffic,
    settings: EndpointSettings,
    cause: Cause | Untold | None = None,
    held: Window | None = None,
) -> Measures:
    """Return what is known of a route that `compared` was asked about.

    Args:
        held: the windows that labels came for, which estimated errors are held to.
    """
    quality = traffic.labelled.quality if traffic.labelled is not None else None
    seen = traffic.holding(traffic.drifts_of)
    guarded = {entry.quality.metric for entry in settings.guardrails if entry.quality is not None}
    told = (
        {} if quality is None else {name: quality.metric(name) for name in sorted(guarded or USUAL_METRICS)}
    )
    estimated = _estimated(traffic, quality, held)
    return Measures(
        drifts=traffic.drifts or (),
        row_count=seen.features.row_count if seen is not None and traffic.drifts else 0,
        quality={name: pair for name, pair in told.items() if math.isfinite(pair[0])},
        label_count=quality.label_count if quality is not None else 0,
        estimated=estimated,
        estimated_untold=why_not_estimated(traffic.recent.outputs)
        if traffic.recent is not None and estimated is None
        else "",
        slices=tuple(measure_slice(one, settings) for one in traffic.slices),
        cause=cause if isinstance(cause, Cause) else None,
        cause_untold=cause.sentence if isinstance(cause, Untold) else "",
    )


def measure_slice(one: SliceQuality, settings: EndpointSettings) -> SliceMeasure:
    """Return what is told of a slice: the metrics that are judged there, else those that are judged of everything."""
    guarded = {entry.quality.metric for entry in settings.guardrails if entry.quality is not None}
    judged = {entry.slices.metric for entry in settings.guardrails if entry.slices is not None}
    told = {name: one.quality.metric(name) for name in sorted(judged or guarded or USUAL_METRICS)}
    return SliceMeasure(
        feature=one.feature,
        value=one.shown,
        label_count=one.label_count,
        quality={name: pair for name, pair in told.items() if math.isfinite(pair[0])},
    )


def _estimated(traffic: Traffic, quality: Quality | None, held: Window | None) -> Estimated | None:
    recent, profile = traffic.recent, traffic.reference.profile
    if recent is None:
        return None
    losses = find_losses(profile)
    if profile is not None and losses is not None:
        if held is None:
            return estimate_errors(losses, profile, (recent.features, recent.outputs))
        rows = held.features, held.outputs
        return estimate_errors(losses, profile, (recent.features, recent.outputs), held.quality, rows)
    return estimate(recent.outputs, quality)
