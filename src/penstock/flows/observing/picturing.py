"""Reports as PNG pictures, for what shows pictures and no pages."""

from __future__ import annotations

from penstock.monitoring.reporting.changes import TableReport
from penstock.monitoring.reporting.posters import endpoint_poster, tables_poster
from penstock.monitoring.reporting.spans import EndpointReport
from penstock.pipeline.plots.drawing import picture_of


def draw_report(report: TableReport | EndpointReport) -> bytes:
    """Return a report as a PNG picture.

    Raises:
        Unavailable: what draws pictures is not installed.
    """
    return picture_of(tables_poster(report) if isinstance(report, TableReport) else endpoint_poster(report))
