"""`repro` by both programs on the same repository: the same stages run, and the same files are left."""

from __future__ import annotations

import shutil

import pytest

from compat.dvc.sides import Comparison, Scenario, Side

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
    runs += [ran(side, "--downstream", "b"), ran(side, "-s", "c", "a")]
    side.put({"accuracy": '{"acc": 2}', "params.yaml": "p: 2\nq: {r: 2}\n"})
    return [*runs, ran(side, "--force-downstream", "b")]


def what_is_frozen(side: Side) -> object:
    side.put(FILES)
    runs = [ran(side)]
    side("freeze", "b")
    side.put({"in": "2"})
    found = side.json("status")
    runs += [ran(side, "c")]
    side("unfreeze", "b")
    return runs, found, ran(side)


def what_fails(side: Side) -> object:
    side.put(FILES | {"dvc.yaml": CHAIN.replace("cp b.out c.out", "exit 1")})
    side.put({"d/dvc.yaml": "stages:\n  d: {cmd: echo d >> ../log, deps: [../in, ../c.out]}\n"})
    runs = [ran(side, "-P", "-k"), ran(side, "--ignore-errors")]
    side.root.joinpath(".gitignore").unlink(missing_ok=True)  # DVC forgets it after a failure
    side("repro", "z")
    side.put(
        {"dvc.yaml": "stages:\n  a: {cmd: x, deps: [o], outs: [p]}\n  b: {cmd: x, deps: [p], outs: [o]}\n"}
    )
    side("repro")
    return runs


def what_several_files_hold(side: Side) -> object:
    side.put(FILES | {"dvc.yaml": CHAIN.replace("{m.json: {cache: false}}", "m.json")})
    command = "cp ../b.out sub.out && echo s >> ../log"
    side.put({"s/dvc.yaml": f"stages:\n  a: {{cmd: {command}, deps: [../b.out], outs: [sub.out]}}\n"})
    runs = [ran(side, "--glob", "s/dvc.yaml:[ab]")]
    side.put({"in": "2"})
    found = side.json("status", cwd="s")
    runs += [ran(side, "../dvc.yaml:b", cwd="s"), ran(side, "-R", "s")]
    (side.root / "s/sub.out").unlink()
    side("gc", "-w", "-f")
    side("checkout", "s/dvc.yaml:a")
    return runs, found, side.cached()


def what_pointers_track(side: Side) -> object:
    side.put(FILES | {"d/x": "1"})
    side("add", "in", "d")
    side.put({"in": "2", "d/x": "2", "dvc.yaml": CHAIN.replace("deps: [in]", "deps: [in, d/x]")})
    runs = [ran(side)]
    (side.root / "in").unlink()
    return [*runs, ran(side), ran(side, "--allow-missing")]


def what_is_kept_out_of_the_cache(side: Side) -> object:
    side.put(FILES | {"dvc.yaml": CHAIN.replace("outs: [c.out]", "outs: [{c.out: {cache: false}}]")})
    runs = [ran(side, "--no-commit")]
    found = side.json("status")
    side("commit", "-f", "-R", ".")
    (side.root / "dvc.lock").unlink()
    runs += [ran(side)]
    side.put({"in": "2"})
    runs += [ran(side)]
    side.put({"in": "1"})
    return runs, found, ran(side)


def what_is_missing(side: Side) -> object:
    side.put(FILES)
    side("add", "in")
    runs = [ran(side)]
    side.with_remote()
    side("push", "--run-cache")

    def lose() -> None:
        shutil.rmtree(side.root / ".dvc/cache")
        for name in ("in", "a.out", "b.out", "c.out"):
            (side.root / name).unlink(missing_ok=True)

    lose()
    runs += [ran(side, "--allow-missing"), ran(side, "--pull")]
    lose()
    (side.root / "dvc.lock").unlink()
    return [*runs, ran(side, "--pull")]


def what_the_lock_keeps_and_commands_see(side: Side) -> object:
    lines = "|\n      x=1\n      echo $DVC_STAGE $x $(basename $DVC_ROOT | wc -l) > o"
    more = (
        f"  lines:\n    cmd: {lines}\n    outs: [o]\n"
        "  grows:\n    cmd: echo x >> p\n    deps: [in]\n    outs: [{p: {persist: true}}]\n"
    )
    side.put(FILES | {"dvc.yaml": CHAIN + more})
    runs = [ran(side)]
    first, rest = CHAIN.removeprefix("stages:\n").split("  b:\n")
    side.put({"dvc.yaml": f"stages:\n  b:\n{rest}{first}{more}", "in": "2"})
    runs += [ran(side)]
    lock = side.root / "dvc.lock"
    lock.write_text(
        lock.read_text().replace("    params:\n      params.yaml:\n        p: 1\n        q.r: 2\n", "")
    )
    found = side.json("status")
    lock.unlink()
    return runs, found, ran(side, "c")


def what_was_committed_by_hand_and_taken_back(side: Side) -> object:
    """The lock's word counts where its inputs are these; of what `commit` tells the run cache the two differ."""
    side.put(FILES)
    runs = [ran(side)]
    side.commit_all()
    side.put({"m.json": '{"acc": 99}', "b.out": "99"})
    side("commit", "-f", "b")
    side.git("checkout", "-q", "dvc.lock")
    (side.root / "m.json").unlink()
    runs += [ran(side, "b"), (side.root / "m.json").read_text(), (side.root / "b.out").read_text()]
    shutil.rmtree(side.root / ".dvc/cache")
    return runs


SCENARIOS: list[Scenario] = [
    what_was_committed_by_hand_and_taken_back,
    what_is_forced_and_where_it_starts,
    what_is_frozen,
    what_fails,
    what_several_files_hold,
    what_pointers_track,
    what_is_kept_out_of_the_cache,
    what_is_missing,
    what_the_lock_keeps_and_commands_see,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_both_do_the_same(compare: Comparison, scenario: Scenario) -> None:
    compare(scenario)
