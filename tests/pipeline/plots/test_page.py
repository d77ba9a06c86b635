"""The page of plots in a real browser: everything is drawn, nothing is asked for, no data run as a program."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.pipeline.plots.definitions import PlotDefinition
from penstock.pipeline.plots.drawing import Drawn, draw_page
from penstock.pipeline.plots.rendering import Series, render_plot
from penstock.pipeline.plots.templates import TEMPLATES
from servers.browser import chromium

pytestmark = pytest.mark.slow


def test_a_browser_draws_every_template_without_a_request(tmp_path: Path) -> None:
    points = [
        {"a": 1, "b": 2, "c": "</script><script>document.title='run'</script>"},
        {"a": 2, "b": 1, "c": "y"},
    ]
    series = [Series("one", "p.csv", points), Series("two", "p.csv", points)]
    definition = PlotDefinition("p.csv", (("p.csv", "b"), ("p.csv", "a")), {"": "c"})
    drawn = [Drawn(name, render_plot(definition, series, spec)[0]) for name, spec in TEMPLATES.items()]
    picture = Drawn("p.svg", None, b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "one")
    page_file = tmp_path / "index.html"
    page_file.write_text(draw_page([*drawn, picture], tmp_path))
    asked: list[str] = []
    problems: list[str] = []
    with chromium() as browser:
        page = browser.new_page()
        page.on("request", lambda one: asked.append(one.url))
        page.on("pageerror", lambda one: problems.append(str(one)))
        page.on("console", lambda one: problems.append(one.text) if one.type == "error" else None)
        page.goto(page_file.as_uri())
        for number in range(len(drawn)):
            page.locator(f"#plot-{number} canvas, #plot-{number} svg.marks").first.wait_for()
        assert page.title() == "Plots"
        assert page.locator("img").evaluate("one => one.naturalWidth") == 9
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert problems == []
