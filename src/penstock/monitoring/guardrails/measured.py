"""What every kind of guardrail is given and gives back."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from penstock.monitoring.findings import Finding, Kind
from penstock.monitoring.profile import Profile
from penstock.monitoring.windows import Window

MIN_REQUESTS = 20
"""With fewer requests a guardrail that is not breached does not count as held."""
ALPHA = 0.01
"""Chance that a rollout without any fault is ended by its guardrails; they share it."""


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What a model was like when it passed its gate: its training profile and offline metrics.

    `row_count` is how many held-out rows the metrics are of; None where nobody knows.
    """

    profile: Profile | None = None
    metrics: Mapping[str, float] = {}
    row_count: int | None = None


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a finding that its guardrail knows."""

    name: str
    observed: float
    limit: float
    against: float | None = None
    count: int
    statistic: str
    statistic_value: float
    breached: bool


def make_finding(kind: Kind, window: Window, measured: Measured, sentence: str) -> Finding:
    key = window.key
    return Finding(
        kind=kind,
        endpoint=key.endpoint,
        revision=key.revision,
        version=key.version,
        route=key.route,
        start_s=key.start_s,
        end_s=window.end_s,
        sentence=f"{key.route} version {key.version}: {sentence}",
        **msgspec.structs.asdict(measured),
    )
