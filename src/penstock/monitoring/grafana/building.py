"""Dashboards as Grafana reads them, made by Grafana's own builder. The only module that knows `grafana_foundation_sdk`.

The library is an extra and imported when a dashboard is made: nothing else needs it.

Source:
    grafana-foundation-sdk 11.6.0; rules of github.com/grafana/dashboard-linter as a checklist.
"""

from __future__ import annotations

import json
import string
from typing import Any

from penstock.base.errors import NotFound
from penstock.monitoring.grafana.boards import Board, Panel, Variable

DATASOURCE = "${datasource}"
TAG = "penstock"


def render_board(board: Board, server_url: str = "") -> str:
    """Return a dashboard's JSON; the same dashboard gives the same bytes.

    Raises:
        NotFound: the extra `grafana` is not installed.
    """
    try:
        from grafana_foundation_sdk.cog.encoder import JSONEncoder
    except ImportError:
        raise NotFound(
            "dashboards are made by grafana-foundation-sdk, which is not installed",
            code="monitoring.grafana_missing",
            hint="pip install 'penstock[grafana]'",
        ) from None
    encoder = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False)
    document = json.loads(encoder.encode(_Builder(server_url.rstrip("/")).build(board)))
    document["id"] = None
    return json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


class _Builder:
    """Builds one dashboard; its panels are numbered in their order."""

    def __init__(self, server_url: str) -> None:
        from grafana_foundation_sdk.builders import (
            bargauge,
            common,
            dashboard,
            prometheus,
            stat,
            statetimeline,
            table,
            timeseries,
        )
        from grafana_foundation_sdk.models import common as common_values
        from grafana_foundation_sdk.models import dashboard as values
        from grafana_foundation_sdk.models import prometheus as prometheus_values

        self._server_url = server_url
        self._dashboard, self._common, self._prometheus = dashboard, common, prometheus
        self._values, self._common_values, self._prometheus_values = values, common_values, prometheus_values
        self._kinds: dict[str, Any] = {
            "lines": timeseries.Panel,
            "stat": stat.Panel,
            "bars": bargauge.Panel,
            "states": statetimeline.Panel,
            "table": table.Panel,
        }
        self._source = values.DataSourceRef(type_val="prometheus", uid=DATASOURCE)

    def build(self, board: Board) -> Any:
        """Return the dashboard as the library has it."""
        made = (
            self._dashboard.Dashboard(board.title)
            .uid(board.uid)
            .description(board.description)
            .tags([TAG])
            .editable()
            .timezone("browser")
            .tooltip(self._values.DashboardCursorSync.CROSSHAIR)
            .time("now-6h", "now")
            .refresh("30s")
        )
        made = made.with_variable(
            self._dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
        for variable in board.variables:
            made = made.with_variable(self._variable(variable))
        for link in self._links(board):
            made = made.link(link)
        number, top = 0, 0
        for row in board.rows:
            number += 1
            heading = self._dashboard.Row(row.title).id(number)
            made = made.with_row(heading.grid_pos(self._values.GridPos(x=0, y=top, w=24, h=1)))
            top += 1
            left = tallest = 0
            for panel in row.panels:
                if left + panel.width > 24:
                    top, left, tallest = top + tallest, 0, 0
                number += 1
                place = self._values.GridPos(x=left, y=top, w=panel.width, h=panel.height)
                made = made.with_panel(self._panel(panel, number, place))
                left, tallest = left + panel.width, max(tallest, panel.height)
            top += tallest
        return made.build()

    def _variable(self, variable: Variable) -> Any:
        made = (
            self._dashboard.QueryVariable(variable.name)
            .label(variable.label)
            .query(variable.query)
            .datasource(self._source)
            .refresh(self._values.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(self._values.VariableSort.ALPHABETICAL_ASC)
            .multi(variable.has_all)
            .include_all(variable.has_all)
        )
        return made.all_value(".+").current(self._values.VariableOption(text="All", value="$__all"))

    def _links(self, board: Board) -> list[Any]:
        kinds = self._values.DashboardLinkType
        found = [
            self._dashboard.DashboardLink("Penstock")
            .type(kinds.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        ]
        if self._server_url:
            page = self._dashboard.DashboardLink("Its page").type(kinds.LINK).icon("external link")
            found.append(page.url(f"{self._server_url}{board.page}").target_blank(True))
        return found

    def _panel(self, panel: Panel, number: int, place: Any) -> Any:
        made = self._kinds[panel.kind]()
        made = made.id(number).title(panel.title).description(panel.description).grid_pos(place)
        made = made.datasource(self._source).unit(panel.unit)
        if panel.least is not None:
            made = made.min(panel.least)
        if panel.most is not None:
            made = made.max(panel.most)
        if panel.limits:
            steps = [self._values.Threshold(value=value, color=color) for value, color in panel.limits]
            made = made.thresholds(
                self._dashboard.ThresholdsConfig().mode(self._values.ThresholdsMode.ABSOLUTE).steps(steps)
            )
        for letter, query in zip(string.ascii_uppercase, panel.queries, strict=False):
            made = made.with_target(self._target(panel, letter, query.expr, query.legend))
        return getattr(self, f"_{panel.kind}", lambda one, _panel: one)(made, panel)

    def _target(self, panel: Panel, letter: str, expr: str, legend: str) -> Any:
        made = self._prometheus.Dataquery().ref_id(letter).datasource(self._source).expr(expr)
        made = made.editor_mode(self._prometheus_values.QueryEditorMode.CODE)
        if panel.kind == "table":
            return made.instant().format(self._prometheus_values.PromQueryFormat.TABLE)
        made = made.legend_format(legend or panel.title)
        return made.instant() if panel.kind in ("stat", "bars") else made.range()

    def _lines(self, made: Any, _panel: Panel) -> Any:
        legend = (
            self._common.VizLegendOptions()
            .display_mode(self._common_values.LegendDisplayMode.TABLE)
            .placement(self._common_values.LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "max"])
            .show_legend(True)
        )
        tooltip = self._common.VizTooltipOptions().mode(self._common_values.TooltipDisplayMode.MULTI)
        return made.legend(legend).tooltip(tooltip).fill_opacity(6).line_width(1)

    def _bars(self, made: Any, _panel: Panel) -> Any:
        return made.orientation(self._common_values.VizOrientation.HORIZONTAL)

    def _states(self, made: Any, panel: Panel) -> Any:
        words = {
            value: self._values.ValueMappingResult(text=text, color=color, index=index)
            for index, (value, text, color) in enumerate(panel.names)
        }
        return made.mappings([self._values.ValueMap(options=words)]).merge_values(True)

    def _table(self, made: Any, panel: Panel) -> Any:
        """Join the questions by endpoint; name and format a column a question."""
        config, letters = self._values.DataTransformerConfig, string.ascii_uppercase
        hidden = {"Time": True, "Value #A": True}
        hidden |= {f"Time {index}": True for index in range(1, len(panel.columns) + 1)}
        named = {
            f"Value #{letter}": title
            for letter, (title, _) in zip(letters, panel.columns, strict=False)
            if title
        }
        made = made.with_transformation(
            config(id_val="joinByField", options={"byField": "endpoint", "mode": "outer"})
        ).with_transformation(
            config(id_val="organize", options={"excludeByName": hidden, "renameByName": named})
        )
        value = self._values.DynamicConfigValue
        for title, unit in panel.columns:
            if title:
                made = made.override_by_name(title, [value(id_val="unit", value=unit)])
        link = {
            "title": "Open",
            "url": "/d/penstock-endpoint?var-endpoint=${__value.raw}&${__url_time_range}",
        }
        return made.override_by_name("endpoint", [value(id_val="links", value=[link])])
