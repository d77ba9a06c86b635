"""`penstock.compare_tables`: two tables compared, in a notebook or a program."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import msgspec

from penstock.base.files import write_atomic
from penstock.flows.observing.comparing import compare_rows
from penstock.flows.observing.picturing import draw_report
from penstock.monitoring.reporting.changes import FeatureChange, TableReport
from penstock.monitoring.reporting.markdown import tables_markdown
from penstock.monitoring.reporting.pages import render_tables

FRAME = "width:100%;height:38rem;border:1px solid #e3e5e8"


class TableComparison:
    """What changed from one table to another. A notebook shows it as a page; `str` is its sentence."""

    def __init__(self, report: TableReport) -> None:
        self.report = report

    @property
    def features(self) -> tuple[FeatureChange, ...]:
        """Every feature, what changed most first."""
        return self.report.features

    @property
    def changed(self) -> tuple[str, ...]:
        """The names of the features that changed by more than the limits, or in kind."""
        return tuple(one.name for one in self.report.changed)

    def to_html(self, path: str | Path) -> Path:
        """Write one HTML file that needs nothing else, and return where."""
        place = Path(path)
        write_atomic(place, render_tables(self.report).encode(), mode=0o644)
        return place

    def to_png(self, path: str | Path) -> Path:
        """Write it as one picture, and return where.

        Raises:
            Unavailable: what draws pictures is not installed.
        """
        place = Path(path)
        write_atomic(place, draw_report(self.report), mode=0o644)
        return place

    def to_markdown(self) -> str:
        """Return it as Markdown."""
        return tables_markdown(self.report)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, as `penstock monitor report --json` prints them."""
        found: dict[str, Any] = msgspec.to_builtins(self.report)
        return found

    def __str__(self) -> str:
        return self.report.sentence

    def __repr__(self) -> str:
        return f"<TableComparison: {self.report.sentence}>"

    def _repr_html_(self) -> str:
        """Return the page in a frame of its own, so that its style leaves the notebook's alone."""
        page = escape(render_tables(self.report), quote=True)
        return f'<iframe title="{escape(str(self), quote=True)}" style="{FRAME}" srcdoc="{page}"></iframe>'


def compare_tables(
    reference: Any, current: Any, *, names: tuple[str, str] = ("reference", "current")
) -> TableComparison:
    """Compare two tables and rank what changed.

    Args:
        reference: a frame of pandas or polars, a mapping of columns, or the path of a Parquet, CSV or JSON lines
            file, which is read in batches: memory does not grow with its rows.
        current: the same.
        names: what the two are called in reports.

    Raises:
        Invalid: one of them is no table.

    Example:
        >>> import numpy as np
        >>> before = {"x": np.arange(2000.0), "c": np.repeat(["a", "b"], 1000)}
        >>> compare_tables(before, {"x": np.arange(2000.0) + 900, "c": before["c"]}).changed
        ('x',)
    """
    return TableComparison(compare_rows(reference, current, names))
