"""Whether a guardrail can be judged at all: what no amount of traffic would change."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.base.numbers import counted
from penstock.monitoring.findings import Unjudged
from penstock.monitoring.guardrails import multivariate, outliers
from penstock.monitoring.guardrails.freshness import name_of
from penstock.monitoring.guardrails.limits import QualityLimit, ValuesLimit
from penstock.monitoring.guardrails.measured import Reference
from penstock.monitoring.rowwise.outliers import NAME as NAME_OF_OUTLIERS
from penstock.monitoring.rowwise.outliers import ROWS_MIN
from penstock.monitoring.settings import DriftLimit, GuardrailEntry
from penstock.records.classes import PROBABILITY
from penstock.stats.metric_names import OF_ANSWERS, OF_ANY_CLASSES, OF_NUMBERS, OF_PROBABILITIES


def obstacles(
    entry: GuardrailEntry,
    reference: Reference,
    *,
    is_canary: bool,
    feature_ratio: float = 1.0,
    sliced: Sequence[str] = (),
) -> list[tuple[str, Unjudged, str]]:
    """Return what stands against judging a guardrail on a version: name, reason, and the reason in words.

    Args:
        feature_ratio: share of the requests whose features are kept.
        sliced: the features that slices are told by.
    """
    if entry.drift is not None or entry.values is not None:
        return _of_features(entry.drift or entry.values, reference)
    if entry.multivariate is not None:
        return _of_rows(reference, feature_ratio)
    if entry.outliers is not None:
        return _of_outliers(reference)
    if entry.quality is not None:
        return _of_quality(entry.quality, reference, is_canary=is_canary)
    if entry.slices is not None:
        return [*_of_metric(entry.slices.metric, reference), *unknown_slices(sliced, reference)]
    if entry.freshness is not None and entry.freshness.column is not None:
        name = name_of(entry.freshness)
        return [(name, why, words) for _, why, words in _unknown([entry.freshness.column], reference)]
    return []


def unknown_slices(sliced: Sequence[str], reference: Reference) -> list[tuple[str, Unjudged, str]]:
    """Return the features that slices are told by and that the version does not have, as far as that is known."""
    return _unknown(sliced, reference)


def unknown_features(entry: GuardrailEntry, reference: Reference) -> list[str]:
    """Return the features a guardrail names that the version does not have, as far as that is known."""
    limit = entry.drift or entry.values
    if limit is None or limit.features == "any" or reference.profile is None:
        return []
    known = set(reference.profile.column_names)
    return [name for name in limit.features if name not in known]


def _of_features(
    limit: DriftLimit | ValuesLimit | None, reference: Reference
) -> list[tuple[str, Unjudged, str]]:
    if limit is None:
        return []
    if reference.profile is None:
        name = "features" if limit.features == "any" else ", ".join(limit.features)
        words = reference.problem or "the version was registered without a reference profile"
        return [(name, "no_reference", words)]
    if limit.features == "any":
        return []
    return _unknown(limit.features, reference)


def _unknown(names: Sequence[str], reference: Reference) -> list[tuple[str, Unjudged, str]]:
    if reference.profile is None:
        return []
    known = set(reference.profile.column_names)
    return [
        (name, "feature_unknown", f"the reference profile has no feature {name!r}")
        for name in names
        if name not in known
    ]


def _of_rows(reference: Reference, feature_ratio: float) -> list[tuple[str, Unjudged, str]]:
    name = multivariate.NAME
    if reference.profile is None:
        words = reference.problem or "the version was registered without a reference profile"
        return [(name, "no_reference", words)]
    if reference.rows is None:
        words = "no rows of the reference were kept with the version: register it from a new commit, with model.reference_rows above 0"
        return [(name, "no_reference", reference.problem or words)]
    if feature_ratio <= 0:
        return [(name, "not_kept", "no features are kept: set monitor.feature_ratio above 0")]
    return []


def _of_outliers(reference: Reference) -> list[tuple[str, Unjudged, str]]:
    if reference.profile is not None and NAME_OF_OUTLIERS in reference.profile.learned:
        return []
    words = reference.problem or "the version was registered without a reference profile"
    if reference.profile is not None:
        words = (
            f"nothing was learned of outliers: register it from a new commit, with a reference of {counted(ROWS_MIN, 'row')} and "
            "some numbers, and model.reference_rows above 0"
        )
    return [(outliers.NAME, "no_reference", words)]


def _of_quality(
    limit: QualityLimit, reference: Reference, *, is_canary: bool
) -> list[tuple[str, Unjudged, str]]:
    against = [(limit.name, why, words) for _, why, words in _of_metric(limit.metric, reference)]
    if against:
        return against
    if limit.bound is not None:
        return []
    if not is_canary and limit.against != "stable" and limit.metric not in reference.metrics:
        return [(limit.metric, "metric_absent", f"no offline {limit.metric} is known of the version")]
    return []


def _of_metric(metric: str, reference: Reference) -> list[tuple[str, Unjudged, str]]:
    """Return what in the answers of a version keeps a metric from being computed."""
    outputs = reference.outputs
    numbers = sorted(OF_NUMBERS & reference.metrics.keys())
    if metric in OF_ANSWERS and numbers and not OF_ANSWERS & reference.metrics.keys():
        words = f"{metric} is a metric of classes, and the model answers numbers: its metrics are {', '.join(numbers)}"
        return [(metric, "metric_absent", words)]
    classes = [name for name in outputs or () if name.startswith(f"{PROBABILITY}_")]
    if classes and metric in OF_PROBABILITIES - OF_ANY_CLASSES:
        words = f"{metric} is a metric of two classes, and the model has {len(classes)}"
        return [(metric, "no_probability", words)]
    needs_probability = metric in OF_PROBABILITIES and outputs is not None
    if needs_probability and metric in OF_ANY_CLASSES:
        needs_probability = not classes
    if needs_probability and PROBABILITY not in (outputs or ()):
        words = f"the model has no output `probability`, which {metric} needs"
        return [(metric, "no_probability", words)]
    return []
