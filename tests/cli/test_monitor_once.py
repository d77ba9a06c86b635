"""`monitor run --once`, as cron begins it: it looks, acts, waits for a retraining that it begins, and says what came of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from flows.production.endpoints import scored
from flows.production.retrained import Bench
from patience import PATIENCE_S, wait_until
from penstock.flows.production.controlling.responding import Controller
from servers.forking import run_penstock

PENSTOCK = Path(sys.executable).with_name("penstock")
POLICY = """\
model: m@champion
monitor: {{window_s: 1, windows: 600}}
guardrails:
  - quality: {{metric: roc_auc, against: offline, max_drop: 0.1, min_labels: 100, action: alert}}
on_breach: [alert]
retrain: {{on: quality, rev: main, command: {command!r}}}
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "world")
    yield made
    made.world.project.close()


def let_quality_fall(bench: Bench, command: str) -> None:
    """Let live quality fall below that of the version, with newer data to learn from."""
    world = bench.world
    (world.root / "penstock.yaml").write_text("project: world\n")
    with world.project.database.write() as connection:
        connection.execute(sa.text("UPDATE model_versions SET metrics = '{\"roc_auc\": 0.85}'"))
    world.policy(POLICY.format(command=command))
    bench.commit("data/raw.csv.dvc", "outs: [{path: raw.csv}]\n")
    world.traffic("stable", 200, ago_s=2, quality=scored(400, 1.5, inverted=True))


def look_once(bench: Bench) -> subprocess.CompletedProcess[str]:
    done = run_penstock(bench.world.root, "monitor", "run", "--once", "--interval", "0.1", "--json")
    assert done.returncode == 0, done.stderr
    return done


def test_a_retraining_that_it_begins_is_waited_for_and_its_outcome_is_told(bench: Bench) -> None:
    let_quality_fall(bench, "sleep 1; touch made")
    done = look_once(bench)
    assert "delay is retrained, which is waited for (log: " in done.stderr
    found = json.loads(done.stdout)
    assert (found["endpoints"], found["acts"], found["problems"]) == (1, True, {})
    assert "delay: the retraining made no new version that passed its gates" in found["retrained"]
    assert (bench.world.root / "made").exists()
    assert bench.told() == ["retrain.started", "retrain.nothing"]
    assert json.loads(look_once(bench).stdout)["retrained"] == [], "once for each commit"


def test_what_ends_it_meanwhile_ends_the_retraining_and_is_told(bench: Bench) -> None:
    let_quality_fall(bench, "touch begun; sleep 600")
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
    let_quality_fall(bench, "true")
    other = Controller(bench.world.project)
    with bench.world.project.database.write() as connection:
        assert other.lease.acquire(connection)
    (bench.world.root / "penstock.yaml").write_text("project: world\n")
    done = run_penstock(bench.world.root, "monitor", "run", "--once")
    assert done.stdout == "Looked at nothing: another controller acts.\n"
    assert bench.told() == []
    other.close()
