"""Experiments of both programs in one repository: each reads, applies and removes the other's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from compat.dvc.sides import Comparison, Side
from compat.dvc.tools import Tool, git

pytestmark = pytest.mark.slow
DVC_YAML = """\
stages:
  copy:
    cmd: cp raw copied
    deps: [raw]
    outs: [copied]
  train:
    cmd: cp params.yaml model && cp accuracy m.json
    deps: [copied, accuracy]
    params: [lr]
    outs: [model]
    metrics:
    - m.json:
        cache: false
"""
FILES = {
    "dvc.yaml": DVC_YAML,
    "params.yaml": "# kept\nlr: 0.1\nother: {deep: [1, 2]}\n",
    "raw": "data\n",
    "accuracy": '{"acc": 0.123456789, "n": 2}',
}


def test_each_program_reads_the_others_experiments(
    make_repo: Callable[[str, Tool], Path], dvc: Tool, penstock: Tool
) -> None:
    root = make_repo("both", dvc)
    side = Side(dvc, root)
    side.put(FILES)
    dvc(root, "add", "raw")
    dvc(root, "repro")
    side.commit_all()
    dvc(root, "exp", "run", "-S", "lr=0.2", "-n", "theirs")
    git(root, "checkout", "-q", ".")
    penstock(root, "exp", "run", "-S", "lr=0.3", "-n", "ours")
    assert "up to date" in dvc(root, "status")
    penstock(root, "exp", "run", "--temp", "-S", "other.deep=[3]", "-n", "apart")
    for words in (
        ("--csv",),
        ("--md", "--only-changed"),
        ("--md", "--drop", "C.*", "--sort-by", "lr", "--sort-order", "desc"),
        ("--csv", "--hide-workspace", "--sha", "--precision", "2", "-A"),
    ):
        assert penstock(root, "exp", "show", *words) == dvc(root, "exp", "show", *words), words
    assert penstock.json(root, "exp", "show", "--force") == dvc.json(root, "exp", "show")
    for words in (
        ("diff", "theirs", "ours"),
        ("diff", "HEAD", "theirs", "--json"),
        ("diff", "HEAD", "ours", "--md", "--no-path"),
    ):
        ours = penstock(root, "exp", *words)
        theirs = dvc(root, "exp", *words)
        if "--json" in words:
            assert json.loads(ours) == json.loads(theirs)
        else:
            assert ours.split() == theirs.split()
    git(root, "commit", "-q", "--allow-empty", "-m", "next")
    for commits in (("-n", "2"), ("--rev", "HEAD~1"), ("-a",)):
        assert penstock(root, "exp", "show", "--csv", *commits) == dvc(root, "exp", "show", "--csv", *commits)
    assert penstock(root, "exp", "list", "-n", "2") == dvc(root, "exp", "list", "-n", "2")
    git(root, "reset", "-q", "--soft", "HEAD~1")
    penstock(root, "exp", "apply", "theirs")
    assert (root / "model").read_text().startswith("# kept\nlr: 0.2")
    assert "up to date" in dvc(root, "status")
    dvc(root, "exp", "apply", "ours")
    assert "up to date" in penstock(root, "status")
    assert (root / "model").read_text().startswith("# kept\nlr: 0.3")
    dvc(root, "exp", "branch", "apart", "kept")
    assert git(root, "show", "kept:params.yaml") == "# kept\nlr: 0.3\nother: {deep: [3]}\n"
    dvc(root, "exp", "rename", "ours", "renamed")
    penstock(root, "exp", "remove", "theirs")
    assert (
        dvc(root, "exp", "list", "--name-only").split()
        == penstock(root, "exp", "list", "--name-only").split()
    )
    dvc(root, "exp", "remove", "-A")
    assert penstock.json(root, "exp", "list", "-A") == []


def what_parameters_become(side: Side) -> object:
    side.put({"params.yaml": "# kept\nlr: 0.1  # rate\nnet:\n  depth: 3\n  sizes: [1, 2]\nname: a\n",
        "dvc.yaml": "stages:\n  s:\n    cmd: touch out\n    params: [lr]\n    outs: [out]\n",
        "p.json": '{"a": 1}', "p.toml": "[t]\na = 1 # one\n"
    })  # fmt: skip
    side.commit_all()
    found = []
    for number, words in enumerate(
        (
            ["lr=0.2"],
            ["net.depth=4", "+net.width=2"],
            ["~net.sizes"],
            ["net={depth: 5}"],
            ["++new.x=[1,a]"],
            ["name='a,b'"],
            ["p.json:a=2", "p.toml:t.a=2"],
        )
    ):
        side("exp", "run", "-n", f"e{number}", *(part for word in words for part in ("-S", word)))
        texts = [(side.root / name).read_text() for name in ("params.yaml", "p.json", "p.toml")]
        found.append([yaml.safe_load(texts[0]), json.loads(texts[1]), texts[2], "# rate" in texts[0]])
        side.git("checkout", "-q", ".")
    for words in (["nope=1"], ["+lr=1"], ["~nope"], ["lr=a(b"]):
        side("exp", "run", *(part for word in words for part in ("-S", word)))
        side.git("checkout", "-q", ".")
    return found


def test_parameters_become_the_same(compare: Comparison) -> None:
    compare(what_parameters_become)


def what_is_drawn(side: Side) -> object:
    side.put({
        "dvc.yaml": "stages:\n  s:\n    cmd: echo\n    plots:\n    - loss.csv: {cache: false, x: step, y: loss, title: Loss}\n"
        "    - roc.json: {cache: false, x: fpr, y: tpr}\n    - cm.csv: {cache: false, template: confusion, x: actual, y: predicted}\n"
        "    - imgs: {cache: false}\nplots:\n- both:\n    x: step\n    y: {loss.csv: loss, val.tsv: [loss, acc]}\n"
        "- plain.csv\n- val.tsv:\n    y: [loss, acc]\n- xs:\n    x: {loss.csv: step, plain.csv: a}\n    y: {loss.csv: loss, plain.csv: b}\n",
        "loss.csv": "step,loss\n0,1.0\n1,0.5\n", "val.tsv": "step\tloss\tacc\n0\t1.1\t0.1\n1\t0.7\t0.5\n",
        "plain.csv": "a,b\n1,2\n3,4\n", "cm.csv": "actual,predicted\ncat,cat\ncat,dog\n", "imgs/1.svg": "<svg/>",
        "roc.json": '{"roc": [{"fpr": 0, "tpr": 0}, {"fpr": 0.5, "tpr": 0.9}], "auc": 0.9}',
    })  # fmt: skip
    side.commit_all()
    side.put({"loss.csv": "step,loss\n0,1.0\n1,0.25\n"})
    found = []
    for words in (
        ["show"],
        ["show", "both"],
        ["show", "imgs"],
        ["diff"],
        ["diff", "HEAD"],
        ["show", "cm.csv", "-t", "linear"],
    ):
        data = side.json("plots", *words)["data"]
        found.append([
            [name, one["type"], one["revisions"], *([one["content"]["data"]["values"], one["content"]["title"]] if one["type"] == "vega" else [])]
            for name, plots in sorted(data.items()) for one in plots
        ])  # fmt: skip
    shutil.rmtree(side.root / "dvc_plots", ignore_errors=True)
    return found, side.text("plots", "templates").split()


def test_the_same_plots_are_drawn_of_the_same_points(compare: Comparison) -> None:
    compare(what_is_drawn)
