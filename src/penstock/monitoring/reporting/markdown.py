"""A report as Markdown, for a pull request or a chat."""

from __future__ import annotations

import re

from penstock.base.clock import format_ms
from penstock.base.numbers import counted
from penstock.monitoring.reporting.changes import TableReport
from penstock.monitoring.reporting.rows import Table, endpoint_tables, events_table, features_table
from penstock.monitoring.reporting.spans import EndpointReport

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
    parts = [
        f"# Endpoint {_text(report.endpoint)}",
        f"{format_ms(report.since_ms)} to {format_ms(report.until_ms)}. {_text(report.sentence)}",
        *map(_table, endpoint_tables(report)),
        _features(report.features) if report.features is not None else _text(report.features_note),
    ]
    events = events_table(report, EVENTS_MAX)
    if events.rows:
        parts.append(_table(events))
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"


def _features(report: TableReport) -> str:
    rest = len(report.features) - FEATURES_MAX
    more = f"\n… and {counted(rest, 'more feature')}.\n" if rest > 0 else ""
    return _table(features_table(report.features[:FEATURES_MAX])) + more


def _table(found: Table) -> str:
    rows = [found.headers, ["---"] * len(found.headers), *found.rows]
    return "".join("| " + " | ".join(_cell(cell) for cell in row) + " |\n" for row in rows)


def _cell(value: object) -> str:
    return _text(value).replace("|", "\\|")


def _text(value: object) -> str:
    """Return text in which a name of somebody's making cannot be a link, a heading, a tag or a style."""
    line = " ".join(str(value).splitlines())
    return MARKS.sub(r"\\\g<0>", line.replace("&", "&amp;").replace("<", "&lt;"))
