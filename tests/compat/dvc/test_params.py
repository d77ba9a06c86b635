"""`params diff`, `metrics show` and `metrics diff` by both programs: the same documents and tables."""

from __future__ import annotations

import pytest

from compat.dvc.sides import Comparison, Scenario, Side

pytestmark = pytest.mark.slow
STAGES = """\
stages:
  train:
    cmd: cp a m.json && cp n n.txt && mkdir -p d && cp a d/x.json
    deps: [a, n]
    params: [p, q.r, {s/more.toml: null}, {code.py: [Train.rate]}]
    metrics: [m.json, {n.txt: {cache: false}}]
    outs: [d]
metrics: [d/x.json]
"""
FILES = {
    "dvc.yaml": STAGES,
    "a": '{"acc": 1, "inner": {"loss": 0.25, "none": null}, "words": "x"}',
    "n": "0.5",
    "params.yaml": "p: 1\nq: {r: 2, s: 3}\nn:\n",
    "s/more.toml": "x = 2\n[t]\ny = [1, 2]\n",
    "code.py": "import os\nLAYERS = [1]\nclass Train:\n    rate: float = 0.1\n    def __init__(self):\n        self.w = 3\n",
}


def parameters(side: Side) -> object:
    side.put(FILES)
    side("repro")
    side.commit_all()
    side.put(
        {
            "params.yaml": "p: [1, 2]\nq: {r: 3.1234567}\nz: true\n",
            "s/more.toml": "x = 3\n[t]\ny = [1]\n",
            "code.py": FILES["code.py"].replace("0.1", "0.2"),
        }
    )
    found = (
        side.json("params", "diff"),
        side.json("params", "diff", "--deps"),
        side.json("params", "diff", "--all"),
    )
    one = ("params", "diff", "HEAD", "--targets", "params.yaml")
    texts = side.text(*one), side.text(*one, "--md"), side.text(*one, "--no-path", "--all")
    side("repro")
    side.commit_all()
    between = (
        side.json("params", "diff", "HEAD^", "HEAD", "--targets", "code.py"),
        side.text("params", "diff"),
    )
    side("params", "diff", "nowhere")
    return found, texts, between, side.json("status")


def measures(side: Side) -> object:
    side.put(FILES)
    side("repro")
    side.commit_all()
    side.git("branch", "-M", "main")
    side.git("tag", "v1")
    shown = (
        side.json("metrics", "show"),
        side.text("metrics", "show"),
        side.json("metrics", "show", "m.json", "d"),
    )
    side.put({"a": '{"acc": 0.123456789, "inner": {"loss": false}}', "n": "0.7"})
    side("repro")
    named = side.json("metrics", "show", "-a"), side.json("metrics", "show", "-T", "-a")
    (side.root / "m.json").unlink()
    found = side.json("metrics", "diff", "v1"), side.json("metrics", "diff", "--all")
    one = ("metrics", "diff", "--targets", "d/x.json")
    texts = (
        side.text(*one),
        side.text(*one, "--md", "--precision", "2"),
        side.text("metrics", "show", "d", "--md"),
    )
    return shown, named, found, texts


SCENARIOS: list[Scenario] = [parameters, measures]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_both_do_the_same(compare: Comparison, scenario: Scenario) -> None:
    compare(scenario)
