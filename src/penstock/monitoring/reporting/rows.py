"""The tables of a report as plain text, cell by cell: one home for what its page and its Markdown write. Pure.

Nothing is escaped here: whoever writes a cell somewhere does that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penstock.base.clock import format_ms
from penstock.monitoring.reporting.changes import FeatureChange, short
from penstock.monitoring.reporting.spans import EndpointReport, Estimate

QUALITY = "quality (95 % interval)"
STATE = "state"
"""The heading of cells that are one of a few words of ours."""


@dataclass(frozen=True)
class Table:
    """A table; `title` is empty where the report needs none. The last `numbers` columns are numbers."""

    title: str
    headers: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    numbers: int = 0


def endpoint_tables(report: EndpointReport) -> list[Table]:
    """Return what served, quality by slice, and how the guardrails stand; without tables that would be empty."""
    versions = [
        (
            one.route,
            str(one.version),
            f"{one.request_count:,}",
            f"{one.error_ratio:.2%}",
            number(one.p50_ms),
            number(one.p99_ms),
            f"{one.label_count:,}",
            quality(one.quality),
        )
        for one in report.versions
    ]
    slices = [(one.feature, one.value, f"{one.label_count:,}", quality(one.quality)) for one in report.slices]
    judged = [(one.state, one.kind, one.route, one.sentence) for one in report.judged]
    served = ("route", "version", "requests", "failed", "p50 ms", "p99 ms", "labels", QUALITY)
    found = [
        Table("Versions", served, versions),
        Table("Slices", ("feature", "slice", "labels", QUALITY), slices),
        Table("Guardrails", (STATE, "guardrail", "route", "what"), judged),
    ]
    return [one for one in found if one.rows]


def events_table(report: EndpointReport, most: int | None = None) -> Table:
    """Return what happened, the newest `most` of it, oldest first."""
    events = report.events if most is None else report.events[-most:]
    rows = [(format_ms(one.time_ms), one.kind, one.summary) for one in events]
    return Table("Events", ("time", "event", "what"), rows)


def features_table(features: Sequence[FeatureChange]) -> Table:
    """Return how each feature changed, by every measure."""
    rows = [
        (
            one.name,
            one.state,
            one.sentence,
            number(one.psi),
            number(one.ks),
            number(one.noise),
            number(one.wasserstein),
            number(one.jensen_shannon),
            number(one.chi_square),
        )
        for one in features
    ]
    headers = ("feature", STATE, "what", "PSI", "KS", "noise", "Wasserstein", "JS", "χ²")
    return Table("What changed", headers, rows, numbers=6)


def quality(found: Mapping[str, Estimate]) -> str:
    """Return metrics with their intervals."""
    told = [
        f"{name} {short(one.value)}"
        + (f" ({short(one.low)} to {short(one.high)})" if one.low is not None else "")
        for name, one in found.items()
    ]
    return ", ".join(told) or "–"


def number(value: float | None) -> str:
    """Return a number with the decimals of its column."""
    return "–" if value is None else f"{value:,.3f}" if abs(value) < 10 else f"{value:,.1f}"
