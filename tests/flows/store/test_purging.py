"""A purge takes what was deleted, with its files, and nothing that something kept still points to."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa
from sklearn.linear_model import LinearRegression, LogisticRegression

import penstock
from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.base.store.events import list_events
from penstock.client.models import LoggedModel
from penstock.data.verbs.creation import init_repository
from penstock.flows.models.aliases import AliasPolicy
from penstock.flows.models.removing import delete_model, delete_version
from penstock.flows.store.purging import apply, finish_purges, parse_age, plan, wish_until
from penstock.project.project import Project
from penstock.registry.entities import Verdict
from penstock.registry.verdicts import add_verdict
from penstock.registry.versions import list_versions
from penstock.serving.deployments import RevisionDraft, append_revision
from penstock.tracking import logged_models, runs
from penstock.tracking.experiments import create_experiment, delete_experiment, find_experiment
from penstock.tracking.tables import datasets, run_metrics
from penstock.workspace import open_workspace
from servers.forking import MODEL_IMPORTS, penstock_server, run_penstock
from servers.postgres import PostgresServer

FRAME = pl.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [1.0, 0.0, 1.0, 0.0]})


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def project(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Project]:
    root = tmp_path / "project"
    root.mkdir()
    init_repository(root, no_scm=True, subdir=False, force=False)
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        monkeypatch.setenv("PENSTOCK_STORE", server.new_database())
    monkeypatch.chdir(root)
    for name in ("PENSTOCK_URI", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "")
    opened = open_workspace(root)
    yield opened
    opened.close()


def log(name: str | None = None, *, line: bool = False, experiment: str = "e") -> LoggedModel:
    model = LinearRegression() if line else LogisticRegression()
    with penstock.start_run(experiment=experiment, system_metrics=False):
        penstock.log_metric("m", 1.0)
        penstock.log_text("hello", "a.txt")
        return penstock.log_model(model.fit(FRAME, [0, 0, 1, 1]), inputs=FRAME, registered_model_name=name)


def forget(project: Project, *ids: str) -> None:
    with project.database.write() as connection:
        for name in ids:
            if name.startswith("m-"):
                logged_models.delete_model(connection, name)
            else:
                runs.delete_run(connection, name)


def drop(project: Project, model: str, *numbers: int) -> None:
    with project.database.write() as connection:
        for number in numbers:
            delete_version(connection, AliasPolicy.of(project), model, number, "me")


def files(project: Project, prefix: str = "") -> set[str]:
    return {entry.key for entry in project.artifacts.backend.list(prefix)}


def test_runs_and_models_go_with_their_files(project: Project) -> None:
    gone, stays = log(), log()
    forget(project, gone.run_id, str(gone.id))
    before = files(project)
    planned = plan(project, wish_until(None))
    assert (planned.runs, planned.logged_models, planned.kept) == ((gone.run_id,), (gone.id,), ())
    assert files(project) == before
    apply(project, planned)
    kept = files(project)
    assert not any(gone.run_id in key or str(gone.id) in key for key in kept)
    assert sum(stays.run_id in key or str(stays.id) in key for key in kept) > 2
    with project.database.read() as connection:
        assert [row.id for row in runs.list_rows(connection, [gone.run_id, stays.run_id])] == [stays.run_id]
        assert set(connection.execute(sa.select(run_metrics.c.run_id)).scalars()) == {stays.run_id}
        assert [event.kind for event in list_events(connection)][-2:] == [
            "store.purged",
            "store.purge_finished",
        ]
    assert plan(project, wish_until(None)).is_empty
    assert len(penstock.load_model(stays.uri).predict(FRAME)) == 4


def test_a_version_goes_with_the_content_that_nothing_else_has(project: Project) -> None:
    only, shared, also = log("line", line=True), log("line"), log("other")
    drop(project, "line", 1, 2)
    planned = plan(project, wish_until(None))
    assert [one.ref for one in planned.versions] == ["line/1", "line/2"]
    before = files(project, "objects")
    apply(project, planned)
    after = files(project, "objects")
    assert len(before - after) == len(planned.objects) > 0
    assert shared.digest == also.digest != only.digest
    assert len(penstock.load_model("models:/other/1").predict(FRAME)) == 4
    with project.database.read() as connection:
        assert [one.ref for one in list_versions(connection, deleted=True)] == ["other/1"]
    again = penstock.register_model(only.uri, "line")
    assert again.number == 3
    assert len(penstock.load_model("models:/line/3").predict(FRAME)) == 4


def test_an_experiment_goes_with_all_it_had(project: Project) -> None:
    log(experiment="gone")
    with project.database.write() as connection:
        found = find_experiment(connection, "gone")
        assert found is not None
        delete_experiment(connection, found.id)
    planned = plan(project, wish_until(None))
    assert (planned.experiments, len(planned.runs), len(planned.logged_models)) == ((found.id,), 1, 1)
    apply(project, planned)
    assert files(project, "files") == set()
    with project.database.write() as connection:
        assert find_experiment(connection, "gone") is None
        assert connection.execute(sa.select(datasets)).first() is None
        create_experiment(connection, "gone")


def test_what_is_pointed_to_stays_with_its_reason(project: Project) -> None:
    client = penstock.Client()
    logged = [log("m") for _ in range(5)]
    client.set_alias("m", "champion", 1)
    client.set_alias("m", "champion", 2)
    client.delete_alias("m", "champion")
    with project.database.write() as connection:
        draft = RevisionDraft(model="m", stable=3, shadows=(4,), actor="me", reason="test")
        append_revision(connection, "delay", draft, expected=None)
        again = RevisionDraft(model="other", stable=1, actor="me", reason="test")
        append_revision(connection, "delay", again, expected=1)
    drop(project, "m", 1, 2, 3, 4, 5)
    forget(project, *(one.run_id for one in logged), *(str(one.id) for one in logged))
    planned = plan(project, wish_until(None))
    reasons = dict(planned.kept)
    assert reasons["version m/1"] == reasons["version m/2"] == "it was champion once"
    assert reasons["version m/3"] == reasons["version m/4"] == "revision delay#1 served it"
    assert reasons[f"run {logged[0].run_id}"] == "version m/1 came from it"
    assert reasons[f"logged model {logged[3].id}"] == "version m/4 came from it"
    assert [one.ref for one in planned.versions] == ["m/5"]
    assert (planned.runs, planned.logged_models) == ((logged[4].run_id,), (logged[4].id,))
    assert planned.objects == ()
    apply(project, planned)
    with project.database.write() as connection:
        kept = {one.ref: one for one in list_versions(connection, "m", deleted=True)}
        assert sorted(kept) == ["m/1", "m/2", "m/3", "m/4"]


def test_what_a_verdict_is_about_stays(project: Project) -> None:
    logged = log("judged")
    with project.database.write() as connection:
        verdict = Verdict(
            id="v" * 32,
            model="judged",
            model_digest=logged.digest,
            settings_digest="s",
            data={},
            passed=False,
            checks=(),
            created_ms=1,
            actor="me",
        )
        add_verdict(connection, verdict)
        delete_model(connection, AliasPolicy.of(project), "judged", "me")
    planned = plan(project, wish_until(None))
    assert planned.is_empty
    assert dict(planned.kept) == {"version judged/1": f"verdict {'v' * 32} is about it"}


def test_only_what_is_named_and_old_enough_goes(project: Project) -> None:
    first, second = log(), log()
    forget(project, first.run_id, str(first.id), str(second.id))
    assert plan(project, wish_until("1h")).is_empty
    assert plan(project, wish_until(None, logged_models=[str(second.id)])).logged_models == (second.id,)
    planned = plan(project, wish_until(None, runs=[first.run_id]))
    assert planned.is_empty
    assert planned.kept[0].reason == f"logged model {first.id} came from it; delete that first"
    with pytest.raises(NotFound):
        plan(project, wish_until(None, runs=["0" * 32]))
    with pytest.raises(Invalid, match="not deleted"):
        plan(project, wish_until(None, runs=[second.run_id]))
    with pytest.raises(Invalid, match="not an age"):
        parse_age("yesterday")


def test_a_plan_that_is_out_of_date_is_refused(project: Project) -> None:
    logged = log()
    forget(project, str(logged.id))
    forget(project, logged.run_id)
    planned = plan(project, wish_until(None))
    with project.database.write() as connection:
        runs.restore_run(connection, logged.run_id)
    with pytest.raises(Conflict):
        apply(project, planned)
    with project.database.read() as connection:
        assert runs.get_run(connection, logged.run_id).metrics == {"m": 1.0}


def test_content_that_is_registered_again_meanwhile_stays(project: Project) -> None:
    """What a purge left to remove is not removed when a version has it again by then."""
    logged = log("m")
    drop(project, "m", 1)
    planned = plan(project, wish_until(None))
    purge_until_killed(at=1)
    again = penstock.register_model(logged.uri, "m")
    assert finish_purges(project) == 1
    assert again.digest == logged.digest
    assert len(penstock.load_model(again.uri).predict(FRAME)) == 4
    assert planned.objects


KILLED = """
import os, signal
from pathlib import Path
from penstock.flows.store.purging import apply, plan, wish_until
from penstock.storage.local import LocalBackend
from penstock.workspace import open_workspace
count = 0
def counted(method):
    def call(self, key):
        global count
        count += 1
        if count == {at}:
            os.kill(os.getpid(), signal.SIGKILL)
        return method(self, key)
    return call
LocalBackend.delete, LocalBackend.delete_tree = counted(LocalBackend.delete), counted(LocalBackend.delete_tree)
project = open_workspace(Path.cwd())
apply(project, plan(project, wish_until(None)))
"""


def purge_until_killed(at: int) -> None:
    """Purge in another process, which is killed before its file number `at` is removed."""
    program = KILLED.format(at=at)
    done = penstock_server(*MODEL_IMPORTS).run([], cwd=Path.cwd(), env=os.environ, program=program)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_a_kill_at_any_moment_is_made_good(project: Project) -> None:
    stays = log("stays")
    for at in (1, 3, 5, 6):
        gone = log("gone", line=True)
        assert gone.version is not None
        drop(project, "gone", gone.version.number)
        forget(project, gone.run_id, str(gone.id))
        purge_until_killed(at)
        with project.database.read() as connection:
            assert runs.list_rows(connection, [gone.run_id]) == []
        apply(project, plan(project, wish_until(None)))
        left = files(project)
        assert not any(gone.run_id in key or str(gone.id) in key for key in left)
        assert len(penstock.load_model("models:/stays/1").predict(FRAME)) == 4
    with project.database.read() as connection:
        kept = {file.sha256 for one in list_versions(connection, deleted=True) for file in one.manifest.files}
    assert {key.removeprefix("objects/").replace("/", "") for key in files(project, "objects")} == kept
    assert penstock.Client().get_run(stays.run_id).status == "FINISHED"


def test_the_command_shows_first_and_asks(project: Project) -> None:
    logged = log("m")
    drop(project, "m", 1)
    forget(project, logged.run_id, str(logged.id))

    def command(*arguments: str) -> tuple[int, dict[str, object]]:
        done = run_penstock(Path.cwd(), "db", "purge", "--json", *arguments)
        return done.returncode, json.loads(done.stdout)

    code, shown = command("--dry-run")
    assert (code, shown["versions"], shown["runs"]) == (0, ["m/1"], [logged.run_id])
    code, refused = command()
    assert (code, refused["error"]["code"]) == (1, "purge.needs_force")  # type: ignore[index]
    assert files(project)
    code, done = command("-f", "--older-than", "0s")
    assert (code, done["versions"]) == (0, ["m/1"])
    assert files(project) == set()
