"""CI runs that no push begins: due or changed begins one, the same cause never a second."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

import projects
from penstock.base.errors import Invalid, Refused
from penstock.base.store.events import Event, list_events
from penstock.flows.ci.new_data import state_of, take_new_data
from penstock.flows.ci.triggering import Triggers
from penstock.project.settings import load_project_settings
from projects import Sample
from servers.forking import run_penstock

HOUR_MS = 3_600_000
NIGHT_MS = int(datetime(2026, 11, 28, 2, 30, tzinfo=UTC).timestamp() * 1000)


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now_ms = NIGHT_MS

    def __call__(self) -> int:
        return self.now_ms


def told(sample: Sample) -> list[Event]:
    with sample.project.database.read() as connection:
        return list_events(connection, subject="ci:sample")


def run_to_its_end(triggers: Triggers) -> None:
    deadline = time.monotonic() + 120
    while triggers.is_running:
        assert time.monotonic() < deadline, "the run does not end"
        time.sleep(0.05)
        triggers.look()


def watch(sample: Sample, source: Path) -> None:
    """Let the raw data be an import, and its source and the hour of three be watched."""
    (sample.root / "data/raw.csv").unlink()
    (sample.root / "data/raw.csv.dvc").unlink()
    assert run_penstock(sample.root, "import-url", str(source), "data/raw.csv").returncode == 0
    settings = sample.root / "penstock.yaml"
    text = settings.read_text()
    on = '  tests: "true"\n  on: {schedule: "0 3 * * *", data: data/raw.csv}'
    settings.write_text(text.replace('  tests: "true"', on))
    sample.commit("Import the data and watch them")


@pytest.mark.slow
def test_a_run_begins_when_it_is_due_and_when_data_change_and_never_twice(
    sample: Sample, tmp_path: Path
) -> None:
    source = tmp_path / "flights.csv"
    source.write_text(projects.rows(600, seed=1))
    watch(sample, source)
    clock = Clock()
    triggers = Triggers(sample.project, clock)
    for _ in range(2):
        triggers.look()
        assert [event.kind for event in told(sample)] == ["ci.watching"]
    assert not Triggers(sample.project, clock).is_running

    source.write_text(projects.rows(700, seed=2))
    clock.now_ms += 24 * HOUR_MS + HOUR_MS
    triggers.look()
    begun = told(sample)[-1]
    assert begun.kind == "ci.started"
    assert "`0 3 * * *` was due on 2026-11-29 03:00 UTC; data/raw.csv changed at its source" in begun.summary
    run_to_its_end(triggers)
    assert "passed: late/1 registered" in told(sample)[-1].summary
    assert told(sample)[-1].cause["outcome"] == "passed"
    for again in (triggers, after := Triggers(sample.project, clock)):
        again.look()
        assert len(told(sample)) == 3
        triggers.close()

    source.unlink()
    for _ in range(2):
        after.look()
    assert [event.kind for event in told(sample)[3:]] == ["ci.unreached"]
    source.write_text(projects.rows(650, seed=3))
    after.look()
    assert after.is_running
    assert after._running is not None
    os.kill(after._running.process.pid, 9)
    after._running.process.wait()
    after.close()
    kinds = [event.kind for event in told(sample)[4:]]
    assert kinds == ["ci.started", "ci.finished"]
    assert told(sample)[-1].cause["outcome"] == "failed"
    Triggers(sample.project, clock).look()
    assert len(told(sample)) == 6


def test_a_run_whose_watcher_was_killed_is_told_and_not_begun_again(sample: Sample, tmp_path: Path) -> None:
    source = tmp_path / "flights.csv"
    source.write_text("1")
    settings = sample.root / "penstock.yaml"
    settings.write_text(settings.read_text().replace('  tests: "true"', f"  on: {{data: ['{source}']}}"))
    first, clock = Triggers(sample.project), Clock()
    first.look()
    source.write_text("22")
    first.look()
    assert first._running is not None
    first._running.process.kill()
    first._running.process.wait()
    first._running.log.close()
    other = Triggers(sample.project, clock)
    other.look()
    assert told(sample)[-1].kind == "ci.started", "another process took over while the first holds the lease"
    with sample.project.database.write() as connection:
        first._lease.release(connection)
    other.look()
    assert (told(sample)[-1].kind, told(sample)[-1].cause["outcome"]) == ("ci.finished", "interrupted")
    other.look()
    assert not other.is_running


@pytest.mark.slow
@pytest.mark.parametrize("has_report", [True, False])
def test_a_run_that_could_not_begin_is_not_told_as_the_one_before_it(
    sample: Sample, has_report: bool
) -> None:
    settings = sample.root / "penstock.yaml"
    right = settings.read_text().replace(
        '  tests: "true"', '  tests: "exit 1"\n  on: {schedule: "0 3 * * *"}'
    )
    settings.write_text(right)
    sample.commit("Refused by its tests")
    if has_report:
        assert run_penstock(sample.root, "ci", "run").returncode == 1
    settings.write_text(f"{right}oops: 1\n")
    sample.commit("Wrong settings")
    settings.write_text(right)
    clock = Clock()
    triggers = Triggers(sample.project, clock)
    triggers.look()
    clock.now_ms += 24 * HOUR_MS + HOUR_MS
    triggers.look()
    run_to_its_end(triggers)
    last = told(sample)[-1]
    assert last.kind == "ci.finished"
    assert last.summary.startswith("the CI run could not begin: ")
    assert "oops" in last.summary
    assert (last.cause["outcome"], last.cause["commit"]) == ("failed", "")
    triggers.close()


def test_what_cannot_be_watched_is_refused_with_a_way_out(sample: Sample, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="is no import"):
        state_of(sample.project, "data/raw.csv")
    settings = sample.root / "penstock.yaml"
    text = settings.read_text()
    for on, why in (('{schedule: "0 25 * * *"}', "hour of a schedule"), ("{date: x}", "date")):
        settings.write_text(text.replace('  tests: "true"', f"  on: {on}"))
        with pytest.raises(Invalid, match=why):
            load_project_settings(sample.root)
    settings.write_text(text.replace('  tests: "true"', "  on: {data: data/more.csv}"))
    (tmp_path / "outside.csv").write_text("1")
    done = run_penstock(sample.root / "data", "import-url", "../../outside.csv", "more.csv")
    assert done.returncode == 0, done.stderr
    pointer = sample.root / "data/more.csv.dvc"
    pointer.write_text(pointer.read_text().replace(str(tmp_path), "../.."))
    tree = sample.project.at(sample.root, load_project_settings(sample.root), "ci")
    with pytest.raises(Refused, match="another tree does not know"):
        take_new_data(tree)
