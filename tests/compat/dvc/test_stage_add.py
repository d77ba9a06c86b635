"""`stage add`, `stage list`, `remove` and `dag` by both programs: the same dvc.yaml byte for byte, the same words."""

from __future__ import annotations

import pytest

from compat.dvc.sides import Comparison, Scenario, Side

pytestmark = pytest.mark.slow
WRITTEN = """\
# what we do
vars:
  - model: {kind: tree}   # a name

stages:
  first:   # comes first
    cmd: cp in one
    deps: [in]     # the data
    outs:
      - one:
          desc: the first    # described
    meta: {owner: me}
    desc: makes one
  each:
    foreach: [x, y]
    do:
      cmd: cp one ${item}.txt
      deps:
      - one
      outs: ["${item}.txt"]

metrics: [m.json]
"""


def adding(side: Side) -> None:
    side.put({"in": "1", "params.yaml": "p: 1\nq: {r: 2}\n", "sub/x": "1", "sub/deep/y": "1"})
    side("stage", "add", "-n", "all", "-d", "in", "-d", "b", "-p", "q.r,p", "-p", "o.yaml:z,a", "-p", "w.toml:", "-o", "z",
         "-O", "y", "-m", "m1", "-M", "m2", "--plots", "p1", "--plots-no-cache", "p2", "--outs-persist", "k", "--outs-persist-no-cache",
         "l", "--desc", "words: many", "--always-changed", "echo", "a b", "c", "-n")  # fmt: skip
    side("stage", "add", "-n", "in_sub", "-w", "sub", "-d", "x", "-o", "deep/out", "cat x > deep/out")
    side("stage", "add", "-n", "here", "-d", "../in", "-o", "made", "--run", "cp ../in made", cwd="sub")
    side("stage", "add", "-n", "here", "-o", "elsewhere", "true", cwd="sub")
    side("stage", "add", "-f", "-n", "here", "-o", "elsewhere", "true", cwd="sub")


def adding_to_what_is_written(side: Side) -> None:
    side.put({"dvc.yaml": WRITTEN, "in": "1"})
    side("stage", "add", "-n", "last", "-d", "x.txt", "-o", "last.txt", "cp x.txt last.txt")
    side("stage", "add", "-f", "-n", "first", "-d", "in", "-d", "in2", "-o", "one", "cp in2 one")
    side("stage", "add", "-f", "-n", "each", "-o", "any", "true")


def refusing(side: Side) -> None:
    side.put({"dvc.yaml": WRITTEN, "in": "1", "t": "1"})
    side("add", "t")
    for words in ("a -o t x", "first -o o x", "a -d y.txt -o in x"):
        side("stage", "add", "-n", *words.split())


def listing_and_removing(side: Side) -> object:
    side.put({"dvc.yaml": WRITTEN + "params: [other.yaml]\n", "in": "1", "t": "1"})
    side.put({"sub/dvc.yaml": "stages:\n  a:\n    cmd: echo > o\n    deps: [../one]\n    outs: [o]\n"})
    side("add", "t")
    side("repro", "-P")
    names = [
        side.text("stage", "list", *words.split())
        for words in ("", "--names-only", "sub/dvc.yaml", "first t.dvc")
    ]
    names += ["".join(sorted(side.text("stage", "list", "--all").split()))]
    side("remove", "first")
    side("remove", "sub/dvc.yaml:a", "--outs")
    return names


def graphs(side: Side) -> object:
    side.put(
        {
            "dvc.yaml": WRITTEN,
            "in": "1",
            "sub/dvc.yaml": "stages:\n  a: {cmd: x, deps: [../x.txt], outs: [o]}\n",
        }
    )
    side("add", "in")
    found = [
        sorted(side.text("dag", "--dot").splitlines()),
        side.text("dag", "--mermaid"),
        side.text("dag", "--md", "each@y"),
        side.text("dag", "--mermaid", "--outs"),
        side.text("dag", "--mermaid", "--full", "../dvc.yaml:first", cwd="sub"),
        sorted(side.text("dag", "--dot", "--collapse-foreach-matrix").splitlines()),
    ]
    side("dag", "nothing")
    return found


SCENARIOS: list[Scenario] = [adding, adding_to_what_is_written, refusing, listing_and_removing, graphs]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_both_do_the_same(compare: Comparison, scenario: Scenario) -> None:
    compare(scenario)
