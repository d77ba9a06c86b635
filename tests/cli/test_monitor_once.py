"""`monitor run --once`, as cron begins it: it looks, acts, waits for a retraining that it begins, and says what came of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.production.retrained import Bench
from patience import PATIENCE_S, wait_until
from penstock.flows.production.controlling.responding import Controller
from servers.forking import run_penstock

PENSTOCK = Path(sys.executable).with_name("penstock")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "world")
    yield made
    made.world.project.close()


def look_once(bench: Bench) -> subprocess.CompletedProcess[str]:
    done = run_penstock(bench.world.root, "monitor", "run", "--once", "--interval", "0.1", "--json")
    assert done.returncode == 0, done.stderr
    return done


def test_a_retraining_that_it_begins_is_waited_for_and_its_outcome_is_told(bench: Bench) -> None:
    bench.let_quality_fall("sleep 1; touch made")
    done = look_once(bench)
    assert "delay is retrained, which is waited for (log: " in done.stderr
    found = json.loads(done.stdout)
    assert (found["endpoints"], found["acts"], found["problems"]) == (1, True, {})
    assert "delay: the retraining made no new version that passed its gates" in found["retrained"]
    assert (bench.world.root / "made").exists()
    assert bench.told() == ["retrain.started", "retrain.nothing"]
    assert json.loads(look_once(bench).stdout)["retrained"] == [], "once for each commit"


def test_what_ends_it_meanwhile_ends_the_retraining_and_is_told(bench: Bench) -> None:
    bench.let_quality_fall("touch begun; sleep 600")
    command = ("monitor", "run", "--once", "--json")
    process = subprocess.Popen(
        [PENSTOCK, *command],
        cwd=bench.world.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    wait_until((bench.world.root / "begun").exists)
    process.send_signal(signal.SIGTERM)
    told, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert json.loads(told)["retrained"][-1].endswith("was stopped, and it with it")
    assert bench.told() == ["retrain.started", "retrain.lost"]


def test_where_another_controller_acts_that_is_said(bench: Bench) -> None:
    bench.let_quality_fall("true")
    other = Controller(bench.world.project)
    with bench.world.project.database.write() as connection:
        assert other.lease.acquire(connection)
    (bench.world.root / "penstock.yaml").write_text("project: world\n")
    done = run_penstock(bench.world.root, "monitor", "run", "--once")
    assert done.stdout == "Looked at nothing: another controller acts.\n"
    assert bench.told() == []
    other.close()


def test_a_canary_that_somebody_deploys_meanwhile_is_not_waited_for_and_what_waits_is_said(
    bench: Bench,
) -> None:
    bench.let_quality_fall("touch begun; until [ -e go ]; do sleep 0.02; done")
    for number in (2, 3):
        bench.add_version(number)
    process = subprocess.Popen(
        [PENSTOCK, "monitor", "run", "--once", "--interval", "0.1", "--json"],
        cwd=bench.world.root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        wait_until((bench.world.root / "begun").exists)
        (log,) = (bench.world.root / ".penstock" / "retrain").iterdir()
        bench.world.deploy(1, 2, steps=())
        bench.add_version(4, passed=True, retraining=str(log))
        (bench.world.root / "go").touch()
        told, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert json.loads(told)["retrained"][-2:] == [
        "delay: the retraining made m/4",
        "delay: m/4, which the retraining made, waits to go out until the canary m/2 has ended",
    ]
    bench.world.deploy(1)
    again = json.loads(look_once(bench).stdout)["retrained"]
    assert again == [], "it was refused for good, as an event tells: it has no files"
    (refused,) = bench.world.events("retrain.refused")
    assert refused.cause["version"] == "m/4"


def test_what_keeps_a_retraining_from_beginning_is_said(bench: Bench) -> None:
    bench.let_quality_fall("true", rev="release")
    for _ in range(2):
        (told,) = json.loads(look_once(bench).stdout)["retrained"]
        assert told.startswith("delay: no retraining could begin: git knows no revision 'release'")
    assert bench.told() == ["retrain.hindered"]
