"""`repro` by both programs on the same repository: the same stages run, and the same files are left."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Tool
from .sides import Scenario, Side, assert_same

pytestmark = pytest.mark.slow
CHAIN = """\
stages:
  a:
    cmd: cp in a.out && echo a >> log
    deps: [in]
    outs: [a.out]
  b:
    cmd: cat a.out > b.out && cp accuracy m.json && echo b >> log
    deps: [a.out]
    params: [p, q.r]
    outs: [b.out]
    metrics: [{m.json: {cache: false}}]
  c:
    cmd: cp b.out c.out && echo c >> log
    deps: [b.out]
    outs: [c.out]
"""
FILES = {"in": "1", "accuracy": '{"acc": 1}', "params.yaml": "p: 1\nq: {r: 2}\n", "dvc.yaml": CHAIN}


def ran(side: Side, *arguments: str, cwd: str = "") -> str:
    """Reproduce and return which stages' commands ran, in order."""
    side("repro", *arguments, cwd=cwd)
    log = side.root / "log"
    found = log.read_text().replace("\n", "") if log.exists() else ""
    log.unlink(missing_ok=True)
    return found


def what_is_forced_and_where_it_starts(side: Side) -> object:
    side.put(FILES)
    runs = [ran(side, "b"), ran(side, "-P")]
    side.put({"in": "2"})
    runs += [ran(side, "--downstream", "b"), ran(side, "-s", "c", "a"), ran(side, "--downstream", "b")]
    runs += [ran(side, "-f", "b"), ran(side, "-p", "a")]
    side.put({"accuracy": '{"acc": 2}', "params.yaml": "p: 2\nq: {r: 2}\n"})
    return [*runs, ran(side, "--force-downstream", "b"), ran(side, "--force-downstream")]


def what_is_frozen(side: Side) -> object:
    side.put(FILES)
    runs = [ran(side)]
    side("freeze", "b")
    side.put({"in": "2"})
    runs += [ran(side, "c"), ran(side)]
    side.put({"b.out": "by hand"})
    found = side.json("status")
    runs += [ran(side)]
    (side.root / "b.out").unlink()
    runs += [ran(side)]
    side("unfreeze", "b")
    return runs, found, ran(side)


def what_fails(side: Side) -> object:
    broken = CHAIN.replace("cp b.out c.out", "exit 1")
    side.put(FILES | {"dvc.yaml": broken.replace("cp in a.out", "cp in a.out; false")})
    side.put(
        {
            "d/dvc.yaml": "stages:\n  d: {cmd: echo d >> ../log, deps: [../in, ../c.out]}\n  e: {cmd: echo e >> ../log}\n"
        }
    )
    runs = [ran(side, "-P", "-k")]
    side.put({"dvc.yaml": broken})
    runs += [ran(side, "-P", "-k"), ran(side, "--ignore-errors", "-P"), ran(side, "c")]
    side.root.joinpath(".gitignore").unlink(missing_ok=True)  # DVC forgets it after a failure
    return runs


def what_is_refused(side: Side) -> None:
    definitions = [
        "a: {cmd: x, deps: [o2], outs: [o1]}\n  b: {cmd: x, deps: [o1], outs: [o2]}",
        "a: {cmd: x, deps: [o], outs: [o]}",
        "a: {cmd: x, outs: [o]}\n  b: {cmd: x, outs: [o]}",
        "a: {cmd: x, outs: [o]}\n  b: {cmd: x, outs: [o/sub]}",
        "a: {cmd: mkdir -p sub; touch o, deps: [nowhere], outs: [o]}",
        "a: {cmd: mkdir -p sub, outs: [o]}",
    ]
    for text in definitions:
        side.put({"dvc.yaml": f"stages:\n  {text}\n"})
        side("repro")
    side("repro", "z")
    side("repro", cwd="sub")


def what_several_files_hold(side: Side) -> object:
    side.put(FILES | {"dvc.yaml": CHAIN.replace("{m.json: {cache: false}}", "m.json")})
    stage = "    cmd: cp ../b.out sub.out && echo {0} >> ../log\n    deps: [../b.out]\n    outs: [{1}]\n"
    side.put({"s/dvc.yaml": "stages:\n  a:\n" + stage.format("s", "sub.out")})
    side.put({"t/u/dvc.yaml": "stages:\n  a2: {cmd: echo t >> ../../log}\n"})
    runs = [ran(side, "s/dvc.yaml:a"), ran(side, cwd="s")]
    side.put({"in": "2"})
    before = side.json("status"), side.json("status", cwd="s"), side.json("status", "s/dvc.yaml")
    runs += [ran(side, "-R", "t"), ran(side, "--glob", "t/u/dvc.yaml:*2"), ran(side, "--glob", "[ab]")]
    runs += [ran(side, "../dvc.yaml:c", cwd="s"), ran(side, "s/dvc.yaml")]
    (side.root / "s/sub.out").unlink()
    side("checkout", "s/dvc.yaml:a")
    side("gc", "-w", "-f")
    return runs, before, side.cached()


def what_pointers_track(side: Side) -> object:
    side.put(FILES | {"d/x": "1", "other": "1"})
    side("add", "in", "d", "other")
    side.put({"dvc.yaml": CHAIN.replace("deps: [in]", "deps: [in, d/x]")})
    runs = [ran(side)]
    side.put({"in": "2", "d/x": "2", "other": "2"})
    runs += [ran(side)]
    (side.root / "other").unlink()
    runs += [ran(side), ran(side, "other.dvc")]
    side.put({"in": "3"})
    runs += [ran(side, "in.dvc"), ran(side, "--downstream", "in.dvc")]
    (side.root / "in").unlink()
    return [*runs, ran(side), ran(side, "--allow-missing")]


def what_is_kept_out_of_the_cache(side: Side) -> object:
    uncached = CHAIN.replace("outs: [c.out]", "outs: [{c.out: {cache: false}}]")
    side.put(FILES | {"dvc.yaml": uncached})
    runs = [ran(side, "--no-commit")]
    found = side.json("status")
    side("commit", "-f")
    (side.root / "dvc.lock").unlink()
    runs += [ran(side)]
    side.put({"in": "2"})
    runs += [ran(side)]
    side.put({"in": "1"})
    runs += [ran(side), ran(side, "--no-run-cache")]
    return runs, found, sorted(path.name for path in (side.root / ".dvc/cache/runs").glob("*/*/*"))


def what_is_missing(side: Side) -> object:
    side.put(FILES)
    side("add", "in")
    side("config", "core.analytics", "false")
    runs = [ran(side)]
    side.with_remote()
    side("push", "--run-cache")

    def lose() -> None:
        shutil.rmtree(side.root / ".dvc/cache")
        for name in ("in", "a.out", "b.out", "c.out"):
            (side.root / name).unlink(missing_ok=True)

    lose()
    runs += [ran(side, "--allow-missing"), ran(side, "--pull", "--allow-missing")]
    there = [name for name in ("in", "a.out", "b.out", "c.out") if (side.root / name).exists()]
    runs += [ran(side, "--pull")]
    lose()
    (side.root / "dvc.lock").unlink()
    return [*runs, ran(side, "--pull"), there]


def what_the_lock_keeps(side: Side) -> object:
    side.put(FILES | {"dvc.yaml": CHAIN + "  z: {cmd: echo z >> log}\n"})
    runs = [ran(side)]
    first, rest = CHAIN.removeprefix("stages:\n").split("  b:\n")
    side.put({"dvc.yaml": f"stages:\n  b:\n{rest}{first}", "in": "2"})
    runs += [ran(side)]
    lock = side.root / "dvc.lock"
    lock.write_text(
        lock.read_text().replace("    params:\n      params.yaml:\n        p: 1\n        q.r: 2\n", "")
    )
    found = side.json("status")
    runs += [ran(side)]
    lock.unlink()
    return runs, found, ran(side)


def what_a_command_sees(side: Side) -> object:
    side.put(
        {
            "dvc.yaml": "stages:\n"
            "  lines:\n    cmd: |\n      x=1\n      echo $DVC_STAGE $x $(basename $DVC_ROOT | wc -l) > o\n    outs: [o]\n"
            "  grows:\n    cmd: echo x >> p\n    deps: [in]\n    outs: [{p: {persist: true}}]\n",
            "s/dvc.yaml": "stages:\n  here: {cmd: pwd -P | xargs basename > h; echo $DVC_STAGE >> h, outs: [h]}\n",
            "in": "1",
        }
    )
    side("repro", "-P")
    side.put({"in": "2"})
    side("repro")


SCENARIOS: list[Scenario] = [
    what_is_forced_and_where_it_starts,
    what_is_frozen,
    what_fails,
    what_is_refused,
    what_several_files_hold,
    what_pointers_track,
    what_is_kept_out_of_the_cache,
    what_is_missing,
    what_the_lock_keeps,
    what_a_command_sees,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_both_do_the_same(
    make_repo: Callable[[str, Tool], Path], dvc: Tool, penstock: Tool, scenario: Scenario
) -> None:
    assert_same(make_repo, dvc, penstock, scenario)
