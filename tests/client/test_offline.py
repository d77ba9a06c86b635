"""Runs that were kept to be sent later: one that is refused holds up no other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from client.scripts import found
from penstock.client.offline import JOURNAL, JournalSink
from penstock.client.sink import Batch, RunDraft
from penstock.project.project import Project
from penstock.tracking.entities import PARENT_TAG, MetricPoint
from penstock.tracking.experiments import (
    create_experiment,
    delete_experiment,
    find_experiment,
    restore_experiment,
)
from servers.forking import run_penstock


def keep(home: Path, letter: str, start_ms: int, experiment: str = "e", parent: str = "") -> Path:
    """Keep a run of one point, and return where."""
    journal = JournalSink(home)
    tags = {PARENT_TAG: parent} if parent else {}
    draft = RunDraft(client_id=letter * 32, experiment=experiment, name=letter, start_ms=start_ms, tags=tags)
    journal.start(draft)
    journal.log(draft.client_id, Batch(metrics=[MetricPoint("m", 1.0, start_ms)]))
    journal.finish(draft.client_id, "FINISHED", start_ms + 1)
    return Path(journal.place) / draft.client_id


def test_a_journal_that_is_refused_holds_up_no_other(project: Project) -> None:
    with project.database.write() as connection:
        delete_experiment(connection, create_experiment(connection, "old"))
    refused = keep(project.home, "a", 1, experiment="old")
    within = keep(project.home, "b", 2, parent="a" * 32)
    broken = keep(project.home, "c", 3)
    head = (broken / JOURNAL).read_bytes()[:4]
    (broken / JOURNAL).write_bytes(head + b"\xff" * int.from_bytes(head))
    keep(project.home, "d", 4)
    done = run_penstock(project.root, "run", "sync", MLFLOW_TRACKING_URI="")
    assert done.returncode == 1
    assert [run.name for run in found(project)] == ["d"]
    assert done.stdout == f"sent {'d' * 32} to {project.database.url}\n"
    for folder, why in (
        (refused, "The experiment 1 must be in the 'active' state"),
        (within, f"the run around it, {'a' * 32}, was not sent"),
        (broken, "a record cannot be read"),
    ):
        assert f"{folder} was not sent: {why}" in done.stderr
        assert f"rm -r {folder}" in done.stderr
    told = json.loads(run_penstock(project.root, "run", "sync", "--json", MLFLOW_TRACKING_URI="").stdout)
    assert [(one["run"], one["kept_as"]) for one in told] == [(None, letter * 32) for letter in "abc"]
    assert {one["error"]["code"] for one in told} == {
        "tracking.deleted", "client.parent_waits", "client.bad_journal",
    }  # fmt: skip

    with project.database.write() as connection:
        old = find_experiment(connection, "old")
        assert old is not None
        restore_experiment(connection, old.id)
    assert run_penstock(project.root, "run", "sync", MLFLOW_TRACKING_URI="").returncode == 1
    runs = {run.name: run for run in found(project)}
    assert runs["b"].tags[PARENT_TAG] == runs["a"].id


def test_files_that_threads_keep_at_once_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = JournalSink(tmp_path)
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    original, later = shutil.copyfile, ["two"]

    def copyfile(source: Path, target: Path) -> None:
        if later:  # as another thread that comes between
            journal.upload("a", tmp_path / later.pop(), "two")
        original(source, target)

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    journal.upload("a", tmp_path / "one", "one")
    assert sorted(file.read_text() for file in (Path(journal.place) / "a" / "files").iterdir()) == [
        "one",
        "two",
    ]
