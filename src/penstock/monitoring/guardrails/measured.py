"""What every kind of guardrail is given and gives back."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from penstock.monitoring.findings import Finding, Kind, Unjudged
from penstock.monitoring.guardrails.next_steps import next_step
from penstock.monitoring.profile import Profile
from penstock.monitoring.rowwise.multivariate import OwnSeparation
from penstock.monitoring.rowwise.rows import Rows
from penstock.monitoring.windows import Window, WindowKey

MIN_REQUESTS = 20
"""With fewer requests a guardrail that is not breached does not count as held."""
NEAR = 0.5
"""Share of the evidence of a breach below which a guardrail surely holds again."""
ALPHA = 0.01
"""Chance that a rollout without any fault is ended by its guardrails; they share it."""


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What a model was like when it passed its gate: its training profile and offline metrics.

    `outputs` are the names of what it answers; None where nobody knows. `problem` says why a profile that
    there is cannot be read.
    `rows` is a sample of the reference's rows, and `separation` how well its stretches are told from the rest of it.
    `row_count` is how many held-out rows the metrics are of; None where nobody knows.
    """

    profile: Profile | None = None
    metrics: Mapping[str, float] = {}
    outputs: frozenset[str] | None = None
    problem: str = ""
    row_count: int | None = None
    rows: Rows | None = None
    separation: OwnSeparation | None = None


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
    near: bool = False


def make_unjudged(
    kind: Kind, key: WindowKey, name: str, limit: float, count: int, why: tuple[Unjudged, str]
) -> Finding:
    """Make the finding that a guardrail on a route was not judged; `why` is the reason and its words."""
    reason, words = why
    verb = "are" if name == "features" or ", " in name else "is"
    return Finding(
        kind=kind,
        endpoint=key.endpoint,
        revision=key.revision,
        version=key.version,
        route=key.route,
        start_s=key.start_s,
        end_s=key.start_s,
        name=name,
        observed=math.nan,
        limit=limit,
        count=count,
        statistic="",
        statistic_value=math.nan,
        breached=False,
        unjudged=reason,
        why_unjudged=words,
        sentence=f"{key.route} version {key.version}: {name} {verb} not judged: {words} "
        f"({next_step(kind, reason, key.endpoint)})",
    )


def make_finding(kind: Kind, window: Window, measured: Measured, sentence: str) -> Finding:
    """Make the finding of a guardrail that was judged on a window."""
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
