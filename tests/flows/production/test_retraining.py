"""`Retraining`: when its command starts, what becomes of what it made, and that it is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from flows.production.retrained import Bench
from penstock import __version__
from penstock.base.store.build import told_build
from penstock.base.store.events import record_event
from penstock.flows.production.controlling.newer_data import newer_data
from penstock.flows.production.controlling.retraining import FRUITLESS, Retraining
from penstock.monitoring.alerts import alerts
from penstock.project.settings import load_project_settings
from stories.live import is_running, wait_until


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "world")
    yield made
    made.retraining.stop()
    made.world.project.close()


def test_without_newer_data_it_waits_and_says_so_once_whoever_looks(bench: Bench) -> None:
    bench.consider()
    bench.consider()
    bench.consider(retraining=Retraining(bench.world.project))  # of another process
    assert bench.told() == ["retrain.waiting"]
    bench.commit("train.py", "# code is no data\n")
    bench.consider()
    assert bench.told() == ["retrain.waiting", "retrain.waiting"]
    assert not (bench.world.root / ".penstock" / "retrain").exists()


PIPELINE = """\
stages:
  fetch: {cmd: "true", deps: [fetch.py], outs: [{rows.csv: {cache: false}}, stored.csv]}
  train: {cmd: "true", deps: [train.py, rows.csv, stored.csv], outs: [model], metrics: [{m.json: {cache: false}}]}
"""
LOCK = """\
schema: '2.0'
stages:
  fetch:
    cmd: 'true'
    outs:
    - {path: stored.csv, hash: md5, md5: %s, size: 1}
"""


def test_tables_in_git_and_what_a_stage_brings_in_from_outside_are_data_and_results_are_not(
    bench: Bench,
) -> None:
    (bench.world.root / ".dvc").mkdir(exist_ok=True)
    (bench.world.root / "penstock.yaml").write_text(
        "project: w\nmodel: {name: m, path: model, reference: ref.csv}\n"
    )
    bench.world.project.go_by(load_project_settings(bench.world.root))
    bench.commit("dvc.yaml", PIPELINE)
    trained_on = bench.commit("dvc.lock", LOCK % ("a" * 32))
    kinds = {
        "ref.csv": ["ref.csv"], "rows.csv": ["rows.csv"], "fetch.py": [], "train.py": [], "m.json": [], "notes.csv": [],
    }  # fmt: skip
    for name, found in kinds.items():
        before = bench.git.resolve("HEAD")
        assert newer_data(bench.world.project, before, bench.commit(name, "x\n")) == found, name
    before = bench.git.resolve("HEAD")
    head = bench.commit("dvc.lock", LOCK % ("b" * 32))
    assert newer_data(bench.world.project, before, head) == ["stored.csv"]
    assert newer_data(bench.world.project, trained_on, head) == ["ref.csv", "rows.csv", "stored.csv"]
    assert newer_data(bench.world.project, "f" * 40, head) == ["everything"]


def test_what_it_waits_for_is_told_as_it_is(bench: Bench) -> None:
    head = bench.commit("train.py", "# code is no data\n")
    bench.consider()
    (waits,) = bench.world.events("retrain.waiting")
    assert waits.summary.startswith(
        "a retraining waits for newer data: nothing that pointers track, and no table in git"
    )
    assert waits.summary.endswith(f"which m/1 was trained on, and {head[:7]}")


def test_newer_data_start_it_and_its_version_that_passed_is_handed_on(bench: Bench) -> None:
    head = bench.commit("data/raw.csv.dvc", "outs: [{path: raw.csv}]\n")
    bench.consider("pwd; until [ -e go ]; do sleep 0.02; done")
    (started,) = bench.world.events("retrain.started")
    assert started.cause["commit"] == head
    assert "data/raw.csv.dvc changed" in started.summary
    bench.retraining.follow()
    assert bench.retraining.made == {}
    bench.consider("touch second")  # one at a time
    bench.add_version(2, passed=False)
    bench.add_version(3, passed=True)
    (bench.world.root / "go").touch()
    assert bench.finish() == "m/3"
    assert bench.told() == ["retrain.started", "retrain.finished"]
    (log,) = (bench.world.root / ".penstock" / "retrain").iterdir()
    assert log.read_text().strip() == str(bench.world.root)
    bench.consider("touch second")  # what was made has not gone out
    del bench.retraining.made["delay"]
    bench.consider("touch second")  # this commit was tried
    assert bench.retraining.running is None
    assert not (bench.world.root / "second").exists()


def test_it_finds_penstock_where_nobody_activated_its_environment(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    bench.commit("data/raw.csv.dvc", "outs: [{path: raw.csv}]\n")
    bench.consider("penstock --version >&2; exit 7")
    bench.finish()
    (failed,) = bench.world.events("retrain.failed")
    assert failed.summary == f"the retraining ended with 7: {told_build(__version__)}"


def test_a_command_that_fails_or_makes_nothing_is_told_with_its_last_words(bench: Bench) -> None:
    bench.commit("data/raw.csv.dvc", "outs: [{path: one}]\n")
    bench.consider("echo first; echo the disk is full >&2; exit 3")
    assert bench.finish() is None
    (failed,) = bench.world.events("retrain.failed")
    assert failed.summary == "the retraining ended with 3: the disk is full"
    assert failed.cause["tail"] == ["first", "the disk is full"]
    with bench.world.project.database.read() as connection:
        told = connection.execute(sa.select(alerts.c.summary).where(alerts.c.name == FRUITLESS)).scalar_one()
    assert told.startswith("delay: the retraining ended with 3: the disk is full (the log is /")
    bench.consider("true", Retraining(bench.world.project))
    assert bench.told()[-1] == "retrain.failed", "another process tries no commit that was tried"
    bench.commit("data/raw.csv.dvc", "outs: [{path: two}]\n")
    bench.consider("true")
    assert bench.finish() is None
    assert bench.told()[-2:] == ["retrain.started", "retrain.nothing"]


def test_a_retraining_that_its_gate_refused_is_told_with_the_verdict_where_it_prints_nothing(
    bench: Bench,
) -> None:
    project = bench.world.project
    for number, summary in ((1, "refused before"), (2, "m did not pass: auc is 0.5")):
        if number == 2:
            bench.commit("data/raw.csv.dvc", "outs: [{path: one}]\n")
            bench.consider("until [ -e go ]; do sleep 0.02; done; exit 1")
        with project.database.write() as connection:
            record_event(
                connection, "gate.refused", "model:m", "ci", summary, cause={"verdict": f"v{number}"}
            )
    (bench.world.root / "go").touch()
    bench.finish()
    (failed,) = bench.world.events("retrain.failed")
    assert failed.summary == "the retraining ended with 1: its gate said: m did not pass: auc is 0.5"
    assert failed.cause["verdict"] == "v2"
    with project.database.read() as connection:
        told = connection.execute(sa.select(alerts.c.summary).where(alerts.c.name == FRUITLESS)).scalar_one()
    assert told.startswith(f"delay: {failed.summary} (the log is /")


def test_stop_ends_the_command_with_all_that_it_started(bench: Bench) -> None:
    bench.commit("data/raw.csv.dvc", "outs: [{path: one}]\n")
    bench.consider("sleep 600 & echo $! > pid; wait")
    pid = bench.world.root / "pid"
    wait_until(lambda: pid.exists() and pid.read_text().strip() != "")
    bench.retraining.stop()
    wait_until(lambda: not is_running(int(pid.read_text())))
    assert bench.retraining.running is None
