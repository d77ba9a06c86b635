"""Plots: data points as files hold them, templates that Vega-Lite takes, and what is told apart where several are drawn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import vl_convert

from penstock.base.errors import Invalid, NotFound
from penstock.pipeline.plots.definitions import Look, PlotDefinition
from penstock.pipeline.plots.drawing import Drawn, draw_page, draw_png
from penstock.pipeline.plots.points import parse_points
from penstock.pipeline.plots.rendering import Series, render_plot
from penstock.pipeline.plots.templates import TEMPLATES, anchor, has_anchor, parse_template

POINTS = [{"a": "1", "b": "2", "c": "x"}, {"a": "3", "b": "4", "c": "y"}]


def test_data_points_are_found_in_every_kind_of_file() -> None:
    assert parse_points(b"a,b,c\n1,2,x\n3,4,y\n", "p.csv") == POINTS
    assert parse_points(b"\xef\xbb\xbfa\tb\tc\r\n1\t2\tx\r\n\r\n3\t4\ty\r\n", "p.tsv") == POINTS
    assert parse_points(b"1,2\n", "p.csv", has_header=False) == [{"0": "1", "1": "2"}]
    assert parse_points(b'{"n": [1], "in": {"it": [{"a": 1}], "other": [{"b": 2}]}}', "p.json") == [{"a": 1}]
    assert parse_points(b'{"in": {"it": [{"a": 1}], "other": [{"b": 2}]}}', "p.json", {"b"}) == [{"b": 2}]
    assert parse_points(b"- a: 1\n- a: 2\n", "p.yaml") == [{"a": 1}, {"a": 2}]
    assert parse_points(b"", "p.csv") == []
    for data, file in {
        b"\xff": "p.csv",
        b'"a': "q.csv",
        b"{": "p.json",
        b'{"a": 1}': "q.json",
        b"a: b: c": "p.yaml",
    }.items():
        with pytest.raises(Invalid):
            parse_points(data, file)


def test_every_template_is_one_that_vega_lite_takes_and_is_filled_wholly() -> None:
    definition = PlotDefinition("p.csv", (("p.csv", "b"), ("p.csv", "a")), {"": "c"}, Look(title="T"))
    for name, template in TEMPLATES.items():
        for chosen in (definition, PlotDefinition("p.csv", (("p.csv", None),))):
            spec, shown = render_plot(
                chosen, [Series("one", "p.csv", POINTS), Series("two", "p.csv", POINTS)], template
            )
            assert shown == ["one", "two"]
            assert "<DVC_METRIC" not in json.dumps(spec), name
            assert vl_convert.vegalite_to_vega(spec, vl_version="5.20")["marks"], name


def test_several_files_and_fields_are_told_apart() -> None:
    definition = PlotDefinition(
        "both", (("p.csv", "b"), ("q.csv", "d")), {"p.csv": "a", "q.csv": "e"}, is_named=True
    )
    series = [Series("now", "p.csv", POINTS), Series("now", "q.csv", [{"d": 1, "e": 2}])]
    spec, _ = render_plot(definition, series, TEMPLATES["linear"])
    first, *_, last = spec["data"]["values"]
    assert first == {
        **POINTS[0],
        "dvc_inferred_x_value": "1",
        "dvc_inferred_y_value": "2",
        "rev": "now",
        "filename::field": "p.csv::b",
    }
    assert (last["dvc_inferred_x_value"], last["dvc_inferred_y_value"]) == (2, 1)
    assert spec["encoding"]["x"]["field"] == "dvc_inferred_x_value"
    assert spec["title"]["text"] == "both"
    odd, _ = render_plot(
        PlotDefinition("o", (("p.csv", "a.b[0]"),)),
        [Series("now", "p.csv", [{"a.b[0]": 1}])],
        TEMPLATES["linear"],
    )
    assert odd["encoding"]["y"]["field"] == "a\\.b\\[0\\]"
    with pytest.raises(NotFound, match="no field 'gone'"):
        render_plot(PlotDefinition("p.csv", (("p.csv", "gone"),)), series, TEMPLATES["linear"])


def test_a_template_of_ones_own_needs_a_place_for_data() -> None:
    spec = parse_template(
        json.dumps({"data": {"values": anchor("data")}, "mark": "bar", "x": f"by {anchor('x')}"}), "mine"
    )
    assert has_anchor(spec, "x")
    for text in ("{", "[]", '{"data": 1}'):
        with pytest.raises(Invalid):
            parse_template(text, "mine")


def test_a_page_holds_everything_and_no_data_ends_its_script(tmp_path: Path) -> None:
    hostile = [{"a": "</script><script>alert(1)</script><!--", "b": 1}]
    spec, _ = render_plot(
        PlotDefinition("p.csv", (("p.csv", "b"),)), [Series("<b>", "p.csv", hostile)], TEMPLATES["linear"]
    )
    page = draw_page([Drawn("p.csv", spec), Drawn("<i>.svg", None, b"<svg/>", "<r>")], tmp_path)
    assert page.count("</script>") == 2
    assert "default-src 'none'" in page and 'src="http' not in page
    assert "&lt;i&gt;.svg" in page and "data:image/svg+xml;base64," in page
    assert draw_page([Drawn("p.csv", spec)], tmp_path, "<p>{plot_divs}</p>{scripts}").startswith(
        "<p><section"
    )
    assert draw_png(spec).startswith(b"\x89PNG")
