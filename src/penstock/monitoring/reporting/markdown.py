"""A report as Markdown, for a pull request or a chat."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from penstock.base.clock import format_ms
from penstock.monitoring.reporting.changes import TableReport, short
from penstock.monitoring.reporting.spans import EndpointReport, Estimate

FEATURES_MAX = 50
EVENTS_MAX = 30
MARKS = re.compile(r"[\\`*\[\]]|(?<!\w)_|_(?!\w)")
"""What Markdown reads within a line; `_` in a word is a letter."""


def tables_markdown(report: TableReport) -> str:
    """Return what changed between two tables."""
    return (
        f"# {_text(report.current_name)} against {_text(report.reference_name)}\n\n"
        f"{_text(report.sentence)}\n\n{_features(report)}"
    )


def endpoint_markdown(report: EndpointReport) -> str:
    """Return what an endpoint did."""
    lines = [
        (
            one.route,
            one.version,
            f"{one.request_count:,}",
            f"{one.error_ratio:.2%}",
            short(one.p99_ms),
            f"{one.label_count:,}",
            _quality(one.quality),
        )
        for one in report.versions
    ]
    slices = [
        (one.feature, one.value, f"{one.label_count:,}", _quality(one.quality)) for one in report.slices
    ]
    judged = [(one.state, one.kind, one.route, one.sentence) for one in report.judged]
    parts = [
        f"# Endpoint {_text(report.endpoint)}",
        f"{format_ms(report.since_ms)} to {format_ms(report.until_ms)}. {_text(report.sentence)}",
        _table(("route", "version", "requests", "failed", "p99 ms", "labels", "quality"), lines),
        _table(("feature", "slice", "labels", "quality"), slices) if slices else "",
        _table(("state", "guardrail", "route", "what"), judged) if judged else "",
        _features(report.features) if report.features is not None else _text(report.features_note),
    ]
    events = [(format_ms(one.time_ms), one.kind, one.summary) for one in report.events[-EVENTS_MAX:]]
    if events:
        parts.append(_table(("time", "event", "what"), events))
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"


def _quality(quality: Mapping[str, Estimate]) -> str:
    """Return metrics with half of their interval."""
    told = [
        f"{name} {short(found.value)}"
        + (f" ± {short(found.high - found.value)}" if found.high is not None else "")
        for name, found in quality.items()
    ]
    return ", ".join(told) or "–"


def _features(report: TableReport) -> str:
    lines = [
        (one.name, one.state, one.sentence, short(one.psi), short(one.ks), short(one.wasserstein))
        for one in report.features[:FEATURES_MAX]
    ]
    rest = len(report.features) - len(lines)
    more = f"\n… and {rest} more features.\n" if rest > 0 else ""
    return _table(("feature", "state", "what", "PSI", "KS", "Wasserstein"), lines) + more


def _table(headers: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    rows = [headers, ["---"] * len(headers), *lines]
    return "".join("| " + " | ".join(_cell(cell) for cell in row) + " |\n" for row in rows)


def _cell(value: object) -> str:
    return _text(value).replace("|", "\\|")


def _text(value: object) -> str:
    """Return text in which a name of somebody's making cannot be a link, a heading, a tag or a style."""
    line = " ".join(str(value).splitlines())
    return MARKS.sub(r"\\\g<0>", line.replace("&", "&amp;").replace("<", "&lt;"))
