"""`exp run --search optuna:N`: experiments by what those before gave; the search goes on after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from cli.conftest import IDENTITY, Desk
from stories.live import is_running, wait_until

pytest.importorskip("optuna")
SPACE = ("-S", "lr=interval(0.0,1.0)", "-S", "net.depth=1,2")


def test_a_search_tells_the_best_and_the_same_command_with_more_goes_on(quick: Desk) -> None:
    words = ("exp", "run", *SPACE, "--metric", "lr", "-n", "st", "--search")
    first = quick.json(*words, "optuna:3")
    rates = {one["name"]: one["metrics"]["lr"] for one in first["experiments"]}
    assert set(rates) == {"st-1", "st-2", "st-3"}
    assert first["best"]["value"] == max(rates.values()) == rates[first["best"]["name"]]
    assert first["best"]["values"]["params.yaml:lr"] == first["best"]["value"]
    more = quick.run(*words, "optuna:5", "-j", "2")
    assert "Ran 2 experiments of st, after 3 before." in more.stdout
    assert quick.json(*words, "optuna:5")["experiments"] == []
    parents = [one for one in quick.json("run", "list") if one["name"] == "st"]
    assert [one["status"] for one in parents] == ["FINISHED"]
    shown = quick.json("run", "show", parents[0]["id"])
    assert shown["status"] == "FINISHED"
    quick.run("exp", "apply", first["best"]["name"])


def test_what_cannot_be_searched_is_told(quick: Desk) -> None:
    for words, told in (
        ((*SPACE, "--search", "optuna:2"), "needs --metric"),
        ((*SPACE, "--search", "optuna:2", "--metric", "lr", "--queue"), "one after another"),
        (("-S", "lr=1", "--search", "optuna:2", "--metric", "lr"), "nothing can be drawn"),
        (("-S", "lrr=interval(0,1)", "--search", "optuna:2", "--metric", "lr"), "lrr"),
        ((*SPACE, "--search", "optuna:1", "--metric", "auc"), "have no metric"),
        ((*SPACE, "--search", "optuna:1", "--metric", "lr", "-n", "a b"), "cannot be called"),
    ):
        code = 2 if "--queue" in words or "--metric" not in words else 1
        assert told in quick.error("exp", "run", *words, code=code)


def test_a_search_that_was_killed_goes_on(quick: Desk) -> None:
    text = (quick.root / "dvc.yaml").read_text()
    pid, go = quick.root.parent / "pid", quick.root.parent / "go"
    waits = f"cmd: test -e {go} || {{ echo $$ > {pid}.part; mv {pid}.part {pid}; sleep 1000; }}; cp params.yaml model"
    (quick.root / "dvc.yaml").write_text(text.replace("cmd: cp params.yaml model", waits))
    quick.commit_all()
    words = ("exp", "run", *SPACE, "--metric", "lr", "--search", "optuna:2", "-n", "st")
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock.cli", *words],
        cwd=quick.root,
        env={**os.environ, **IDENTITY, "HOME": str(quick.home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(pid.exists)
    process.send_signal(signal.SIGKILL)
    process.wait()
    go.touch()
    done = quick.json(*words)
    assert done["before"] == 0
    assert [one["name"] for one in done["experiments"]] == ["st-2", "st-3"]
    assert not is_running(int(pid.read_text()))


def test_a_search_ends_when_everything_was_tried(quick: Desk) -> None:
    words = ("exp", "run", "-S", "net.depth=1,2", "--metric", "lr", "-n", "st", "--search")
    told = quick.run(*words, "optuna:9", "-j", "2").stdout
    assert "Ran 2 experiments of st.\nEach combination that there is was tried.\nBest: st-" in told
    again = quick.json(*words, "optuna:9")
    assert (again["experiments"], again["before"], again["exhausted"]) == ([], 2, True)


def test_whole_ends_of_a_float_are_no_whole_numbers(quick: Desk) -> None:
    done = quick.json("exp", "run", "-S", "lr=interval(0,1)", "--search", "random:3")
    assert len({one["metrics"]["lr"] for one in done}) == 3
    told = quick.run("exp", "run", "-S", "net.depth=interval(1,2)", "--search", "random:3").stderr
    assert "only 2 different experiments can be drawn, not 3: net.depth is drawn from whole numbers" in told
