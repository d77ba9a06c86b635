"""`plots`: what dvc.yaml declares, of the workspace and of revisions and experiments, as JSON, a page and pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.conftest import Desk, make_desk

DVC_YAML = """\
stages:
  s:
    cmd: mkdir -p imgs && cp raw loss.csv && cp raw imgs/a.png
    deps: [raw]
    plots:
    - loss.csv: {x: step, y: loss, title: Loss}
    - imgs
plots:
- both:
    x: step
    y: {loss.csv: loss, val.tsv: [loss, acc]}
    template: mine
- val.tsv
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A pipeline whose plots are in the cache, changed since its commit."""
    folder = tmp_path_factory.mktemp("plots")
    desk = make_desk(folder / "repo", folder / "home")
    own = {
        "data": {"values": "<DVC_METRIC_DATA>"},
        "mark": "bar",
        "encoding": {"y": {"field": "<DVC_METRIC_Y>"}},
    }
    desk.put({"dvc.yaml": DVC_YAML, "raw": "step,loss\n0,1.0\n1,0.5\n", "val.tsv": "step\tloss\tacc\n0\t2\t0.1\n", ".dvc/plots/mine.json": json.dumps(own)})  # fmt: skip
    desk.run("repro")
    desk.commit_all()
    desk.put({"raw": "step,loss\n0,1.0\n1,0.25\n"})
    desk.run("repro")
    return desk


def test_plots_are_shown_as_declared_and_as_asked(drawn: Desk) -> None:
    found = drawn.json("plots", "show")["data"]
    assert list(found) == ["both", "val.tsv", "loss.csv", "imgs/a.png"]
    assert found["both"][0]["content"]["mark"] == "bar"
    assert found["loss.csv"][0]["content"]["title"]["text"] == "Loss"
    spec = json.loads(drawn.run("plots", "show", "val.tsv", "-x", "acc", "-y", "loss", "-t", "scatter", "--x-label", "the x", "--show-vega").stdout)  # fmt: skip
    assert spec["encoding"]["x"] == {
        "field": "acc",
        "type": "quantitative",
        "title": "the x",
        "scale": {"zero": False},
    }
    for words, code in {("gone.csv",): 1, ("-t", "gone"): 1, ("--show-vega",): 2}.items():
        drawn.run("plots", "show", *words, code=code)
    told = drawn.run("plots", "show", "val.tsv", "-y", "gone", "--json", code=1)
    assert "no field 'gone'" in json.loads(told.stdout)["errors"][0]["msg"]


def test_revisions_are_drawn_over_each_other(drawn: Desk) -> None:
    found = drawn.json("plots", "diff", "--targets", "loss.csv", "imgs")["data"]
    assert found["loss.csv"][0]["revisions"] == ["workspace", "HEAD"]
    assert [one["loss"] for one in found["loss.csv"][0]["content"]["data"]["values"]] == [
        "1.0",
        "0.25",
        "1.0",
        "0.5",
    ]
    assert [one["revisions"] for one in found["imgs/a.png"]] == [["workspace"], ["HEAD"]]
    drawn.run("exp", "save", "-n", "kept", "-f")
    assert list(drawn.json("plots", "diff", "HEAD", "kept", "--targets", "loss.csv")["data"]) == ["loss.csv"]
    assert "no revision" in drawn.error("plots", "diff", "gone")


def test_a_page_and_pictures_are_written(drawn: Desk, tmp_path: Path) -> None:
    told = drawn.run("plots", "show", "-o", tmp_path / "out", "--png").stdout.split()
    assert told[0] == f"file://{tmp_path}/out/index.html"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "index.html",
        "both.png",
        "val.tsv.png",
        "loss.csv.png",
    }
    assert (tmp_path / "out/index.html").read_text().count('vegaEmbed("#plot') == 3


def test_templates_are_listed_and_printed(drawn: Desk) -> None:
    names = drawn.run("plots", "templates").stdout.split()
    assert {"linear", "simple", "scatter", "confusion", "smooth", "bar_horizontal"} <= set(names)
    assert "<DVC_METRIC_DATA>" in drawn.run("plots", "templates", names[0]).stdout
    assert drawn.json("plots", "templates", "mine")["mark"] == "bar"
