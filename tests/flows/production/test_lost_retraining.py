"""A retraining that outlives its controller is ended by the next one, and told: never a process that is somebody else's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from flows.production.retrained import Bench
from penstock.base.clock import format_ms
from penstock.base.running import name_process
from penstock.base.store.events import Event, record_event
from penstock.cli.main import cli
from penstock.flows.production.controlling.responding import Controller
from penstock.flows.production.controlling.retraining import FRUITLESS
from penstock.flows.production.overview import overview
from penstock.monitoring.alerts import alerts
from stories.live import is_running, wait_until

KILLED = Path(__file__).with_name("killed.py")
COMMAND = "trap '' TERM; sleep 600 & echo $! > pid; wait; wait; sleep 600"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "world")
    yield made
    made.retraining.stop()
    made.world.project.close()


def _begun_by(bench: Bench, owner: str, leader: str) -> Event:
    """Write that a retraining was started by another controller."""
    cause = {"commit": "a" * 40, "owner": owner, "leader": leader, "host": "elsewhere", "log": "/no.log"}
    with bench.world.project.database.write() as connection:
        record_event(connection, "retrain.started", "endpoint:delay", "controller", "started", cause=cause)
    return bench.world.events("retrain.started")[-1]


def _is_quiet(root: Path) -> bool:
    """Say whether no process runs in a folder."""
    for one in Path("/proc").iterdir():
        if one.name.isdecimal() and one.name != str(os.getpid()):
            try:
                if (one / "cwd").readlink() == root:
                    return False
            except OSError:
                continue
    return True


@pytest.mark.parametrize("how", ["alone", "guard"])
def test_a_retraining_whose_controller_was_killed_is_ended_and_told(bench: Bench, how: str) -> None:
    head = bench.commit("data/raw.csv.dvc", "outs: [{path: raw.csv}]\n")
    bench.look(COMMAND)
    root = bench.world.root
    done = subprocess.run([sys.executable, str(KILLED), "retrain", how, str(root)], check=False)
    assert done.returncode == -9
    left = int((root / "pid").read_text())
    if how == "guard":
        assert is_running(left)
    controller = Controller(bench.world.project)
    controller.tick()
    wait_until(lambda: _is_quiet(root))
    assert not is_running(left)
    assert bench.told() == ["retrain.started", "retrain.lost"]
    (lost,) = bench.world.events("retrain.lost")
    assert lost.summary.startswith(f"the retraining of {head[:7]} is lost: the controller that ran it on ")
    assert "was killed" in lost.summary
    if how == "guard":
        assert lost.summary.endswith("was killed; it still ran and was ended now")
    assert lost.cause["commit"] == head
    with bench.world.project.database.read() as connection:
        told = connection.execute(sa.select(alerts.c.summary).where(alerts.c.name == FRUITLESS)).scalar_one()
    assert told.startswith(f"delay: {lost.summary}")
    Controller(bench.world.project).tick()
    assert bench.told() == ["retrain.started", "retrain.lost"], "it is told once"
    bench.consider("true")
    assert bench.told()[-1] == "retrain.started", "the same commit is tried again"
    controller.close()


def test_a_process_of_another_host_or_with_a_number_given_anew_is_left_alone(bench: Bench) -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as other:
        try:
            pid, began, place = name_process(other.pid).split(".")
            _begun_by(bench, f"{pid}.{began}.{'0' * 16}", f"{pid}.{began}.{'0' * 16}")
            controller = Controller(bench.world.project)
            controller.tick()
            (lost,) = bench.world.events("retrain.lost")
            assert "on elsewhere has no lease any more: it may still run there" in lost.summary
            controller.close()
            _begun_by(bench, f"{os.getpid()}.1.{place}", f"{pid}.{int(began) - 1}.{place}")
            controller = Controller(bench.world.project)
            controller.tick()
            assert "was killed" in bench.world.events("retrain.lost")[-1].summary
            assert bench.told().count("retrain.lost") == 2
            controller.close()
            assert other.poll() is None
        finally:
            other.kill()


def test_what_another_controller_runs_is_left_alone_while_it_has_the_lease(bench: Bench) -> None:
    bench.commit("data/raw.csv.dvc", "outs: [{path: raw.csv}]\n")
    first, second = Controller(bench.world.project), Controller(bench.world.project)
    first.tick()
    bench.consider("sleep 600", first.retraining)
    second.tick()
    assert bench.told() == ["retrain.started"]
    with bench.world.project.database.write() as connection:
        first.lease.release(connection)
    second.tick()
    assert bench.told() == ["retrain.started", "retrain.lost"]
    first.tick()
    assert bench.told() == ["retrain.started", "retrain.lost"]
    assert first.retraining.made == {}
    wait_until(lambda: _is_quiet(bench.world.root))
    first.close()
    second.close()


def test_a_retraining_that_ends_with_its_controller_is_told_and_alerts_nobody(bench: Bench) -> None:
    bench.commit("data/raw.csv.dvc", "outs: [{path: raw.csv}]\n")
    controller = Controller(bench.world.project)
    controller.tick()
    bench.consider("trap '' TERM; sleep 600; sleep 600", controller.retraining)
    controller.close()
    assert _is_quiet(bench.world.root)
    (lost,) = bench.world.events("retrain.lost")
    assert lost.summary.endswith("the controller that ran it was stopped, and it with it")
    with bench.world.project.database.read() as connection:
        assert connection.execute(sa.select(alerts.c.name).where(alerts.c.name == FRUITLESS)).all() == []


def test_a_retraining_that_runs_is_shown_with_its_commit_and_the_newer_one_behind_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench.world.root)
    first = bench.commit("data/raw.csv.dvc", "outs: [{path: one}]\n")
    assert [one.retraining for one in overview(bench.world.project)] == [None]
    bench.consider("sleep 600")
    since = format_ms(bench.world.events("retrain.started")[0].time_ms)
    bench.commit("train.py", "# code is no data\n")
    words = f"a retraining of {first[:7]} runs since {since}"
    shown = CliRunner().invoke(cli, ["monitor", "status"], catch_exceptions=False).output
    assert f"retrain {words}\n" in shown
    second = bench.commit("data/raw.csv.dvc", "outs: [{path: two}]\n")
    words += f"; {second[:7]} has newer data and waits until it has ended"
    shown = CliRunner().invoke(cli, ["monitor", "status"], catch_exceptions=False).output
    assert f"retrain {words}\n" in shown
    shown = CliRunner().invoke(cli, ["endpoint", "show", "delay"], catch_exceptions=False).output
    assert f"retrain   {words}\n" in shown
    for command in (["monitor", "status", "--json"], ["endpoint", "show", "delay", "--json"]):
        told = json.loads(CliRunner().invoke(cli, command, catch_exceptions=False).stdout)
        (found,) = told if isinstance(told, list) else [told]
        assert (found["retraining"]["commit"], found["retraining"]["waiting"]) == (first, second)
        assert found["retraining"]["sentence"] == words
    bench.retraining.stop()
    assert [one.retraining for one in overview(bench.world.project)] == [None]
