"""Dashboards as Grafana reads them: whole, deterministic, and what Grafana's linter asks for.

That their expressions return data is asked of the real Prometheus: tests/compat/prometheus.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import pytest
import yaml

from penstock.base.errors import NotFound
from penstock.monitoring.grafana.boards import Board
from penstock.monitoring.grafana.provisioning import BOARDS, grafana_files

URL = "http://penstock:5000"


@pytest.fixture(scope="module")
def boards() -> dict[str, Any]:
    """The dashboards by their uid."""
    files = grafana_files("http://prometheus:9090", "/var/lib/grafana/dashboards", f"{URL}/")
    return {
        name.split("/")[-1].removesuffix(".json"): json.loads(data)
        for name, data in files.items()
        if name.endswith(".json")
    }


def drawn(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in board["panels"] if one["type"] != "row"]


def test_the_same_arguments_give_the_same_bytes() -> None:
    one, other = (grafana_files("http://p:9090", "/x", URL) for _ in range(2))
    assert one == other
    assert sorted(one)[-2:] == [
        "provisioning/dashboards/penstock.yaml",
        "provisioning/datasources/penstock.yaml",
    ]


def test_provisioning_tells_of_prometheus_and_of_the_folder() -> None:
    files = grafana_files("http://prometheus:9090", "/var/lib/grafana/dashboards")
    source = yaml.safe_load(files["provisioning/datasources/penstock.yaml"])
    provider = yaml.safe_load(files["provisioning/dashboards/penstock.yaml"])
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    assert provider["providers"][0]["options"] == {"path": "/var/lib/grafana/dashboards"}


def test_panels_have_their_own_numbers_and_places_and_overlap_nowhere(boards: dict[str, Any]) -> None:
    for board in boards.values():
        numbers = [one["id"] for one in board["panels"]]
        assert len(set(numbers)) == len(numbers)
        taken: set[tuple[int, int]] = set()
        for one in board["panels"]:
            place = one["gridPos"]
            assert place["x"] + place["w"] <= 24, one["title"]
            own = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not own & taken, one["title"]
            taken |= own


def test_panels_say_what_they_show_in_which_unit_and_from_where(boards: dict[str, Any]) -> None:
    for board in boards.values():
        for one in drawn(board):
            assert one["title"], one
            assert one["description"].endswith("."), one["title"]
            assert one["fieldConfig"]["defaults"]["unit"], one["title"]
            letters = [target["refId"] for target in one["targets"]]
            assert letters == sorted(set(letters)), one["title"]
            sources = {target["datasource"]["uid"] for target in one["targets"]} | {one["datasource"]["uid"]}
            assert sources == {"${datasource}"}, one["title"]


def test_variables_are_used_where_they_are_defined_and_defined_where_they_are_used(
    boards: dict[str, Any],
) -> None:
    for board in boards.values():
        defined = {one["name"] for one in board["templating"]["list"]}
        text = json.dumps(board["panels"]) + json.dumps(board["templating"])
        used = set(re.findall(r"\$\{?(?!__)(\w+)", text))
        assert used == defined, board["uid"]


def test_rates_are_over_what_grafana_says(boards: dict[str, Any]) -> None:
    for board in boards.values():
        for one in drawn(board):
            for target in one["targets"]:
                for function, span in re.findall(r"\b(rate|increase)\([^\[]*\[([^\]]+)\]", target["expr"]):
                    assert span == "$__rate_interval" or function == "increase", target["expr"]


def test_dashboards_link_to_each_other_and_to_our_pages(boards: dict[str, Any]) -> None:
    assert set(boards) == {one.uid for one in BOARDS}
    for one in BOARDS:
        links = boards[one.uid]["links"]
        assert links[0]["tags"] == ["penstock"] == boards[one.uid]["tags"]
        assert links[1]["url"] == f"{URL}{one.page}"
    bare = json.loads(grafana_files("http://p:9090", "/x")["dashboards/penstock-drift.json"])
    assert [one["title"] for one in bare["links"]] == ["Penstock"]


def test_a_table_has_a_name_for_every_question() -> None:
    def tables(board: Board) -> list[tuple[int, int]]:
        return [
            (len(panel.queries), len(panel.columns))
            for row in board.rows
            for panel in row.panels
            if panel.kind == "table"
        ]

    found = [pair for board in BOARDS for pair in tables(board)]
    assert found
    assert all(questions == columns for questions, columns in found)


def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grafana_foundation_sdk.cog.encoder", None)
    with pytest.raises(NotFound, match="grafana-foundation-sdk") as caught:
        grafana_files("http://p:9090", "/x")
    assert caught.value.hint == "pip install 'penstock[grafana]'"
