"""A run that is being recorded: what it cannot keep is told at once, and what else it was given is kept."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from starlette.testclient import TestClient

from client.scripts import forked, found
from penstock.base.errors import Conflict, Invalid, NotFound, PenstockError
from penstock.cli.main import cli
from penstock.client.active import ActiveRun, Recording
from penstock.client.embedded import StoreSink
from penstock.client.offline import JournalSink
from penstock.client.sink import Batch, RunDraft
from penstock.http.app import build_server_app
from penstock.processes.controller import ControllerLoop
from penstock.project.project import Project
from penstock.tracking.entities import MetricPoint
from penstock.tracking.metrics import RunReference, list_history, list_steps, list_thinned, log_points

DRAFT = RunDraft(client_id="a" * 32, experiment="e", name="n", start_ms=1_700_000_000_000)


@pytest.fixture
def recording(project: Project, tmp_path: Path) -> Recording:
    return Recording(StoreSink(project), JournalSink(tmp_path), system_metrics=False)


def points(project: Project, run_id: str, key: str) -> list[tuple[int, float]]:
    with project.database.read() as connection:
        return [(row[3], row[1]) for row in list_history(connection, run_id, key)]


def test_whole_numbers_of_any_kind_are_steps(project: Project, recording: Recording) -> None:
    with ActiveRun.start(recording, DRAFT) as run:
        for step in (*np.arange(2), np.array(2), 3, np.uint8(4)):
            run.log_metric("loss", np.float32(0.5), step=step)
        run.log_metric("loss", Decimal("0.25"))  # type: ignore[arg-type]
        run.log_param(np.str_("lr"), np.str_("0.1"))
    assert sorted(points(project, run.id, "loss")) == [*((step, 0.5) for step in range(5)), (5, 0.25)]
    assert found(project)[0].params == {"lr": "0.1"}


def test_steps_that_an_earlier_client_stored_as_bytes_are_read(
    project: Project, recording: Recording
) -> None:
    with ActiveRun.start(recording, DRAFT) as run:
        for step in range(1, 4):
            run.log_metric("loss", 0.5, step)
    with project.database.write() as connection:
        for table in ("run_metrics", "run_latest_metrics"):
            as_bytes = f"UPDATE {table} SET step = CAST(char(step) || x'00000000000000' AS BLOB)"
            connection.execute(sa.text(as_bytes))
    assert points(project, run.id, "loss") == [(1, 0.5), (2, 0.5), (3, 0.5)]
    with project.database.read() as connection:
        assert [row[3] for row in list_thinned(connection, run.id, "loss", 10)] == [1, 2, 3]
        assert list_steps(connection, [run.id], "loss", None) == {run.id: [1, 2, 3]}
    assert ActiveRun.resume(recording, run.id).status == "RUNNING"
    client = TestClient(build_server_app(project, ControllerLoop(project)), raise_server_exceptions=False)
    history = f"/api/2.0/mlflow/metrics/get-history?run_id={run.id}&metric_key=loss"
    for address in (f"/runs/{run.id}", "/runs", history, f"/api/2.0/mlflow/runs/get?run_id={run.id}"):
        assert client.get(address).status_code == 200, address
    done = CliRunner().invoke(cli, ["-C", str(project.root), "run", "export", run.id])
    assert done.exit_code == 0, done.output


class Tensor:
    """A value of more than one element, as PyTorch refuses it."""

    def __float__(self) -> float:
        raise RuntimeError("a Tensor with 2 elements cannot be converted to Scalar")


@pytest.mark.parametrize(
    "work",
    [
        lambda run: run.log_metrics({"good": 1.0, "m": 1.0}, step=1.5),
        lambda run: run.log_metrics({"good": 1.0, "m": 1.0}, step="1"),
        lambda run: run.log_metrics({"good": 1.0, "m": 1.0}, step=2**63),
        lambda run: run.log_metrics({"good": 1.0, "m": Tensor()}),
        lambda run: run.log_metrics({"good": 1.0, "m": np.zeros(2)}),
        lambda run: run.log_params({"good": 1, "p": "a\0b"}),
        lambda run: run.log_params({"good": 1, "p": "\ud800"}),
        lambda run: run.set_tag("t", "\ud800"),
    ],
)
def test_what_no_store_can_keep_is_told_at_once(
    project: Project, recording: Recording, work: Callable[[ActiveRun], None]
) -> None:
    with ActiveRun.start(recording, DRAFT) as run:
        with pytest.raises(Invalid):
            work(run)
        run.log_metric("good", 2.0)
    (kept,) = found(project)
    assert (kept.status, kept.metrics, kept.params) == ("FINISHED", {"good": 2.0}, {})
    assert points(project, run.id, "good") == [(0, 2.0)]


def test_the_store_takes_no_steps_but_whole_ones(project: Project, recording: Recording) -> None:
    run_id = recording.sink.start(DRAFT)
    with project.database.write() as connection:
        point: Any = MetricPoint("m", 1.0, 5, np.int64(3))
        log_points(connection, RunReference(run_id, 1), [point])
        with pytest.raises(Invalid, match="step"):
            log_points(connection, RunReference(run_id, 1), [MetricPoint("m", 1.0, 5, 1.5)])  # type: ignore[arg-type]
    assert points(project, run_id, "m") == [(3, 1.0)]


def test_a_defect_while_sending_is_told_and_the_run_ends(
    project: Project, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: StoreSink, run_id: str, batch: Batch) -> None:
        raise TypeError("cannot encode")

    monkeypatch.setattr(StoreSink, "log", broken)
    run = ActiveRun.start(recording, DRAFT)
    run.log_metric("m", 1.0)
    with pytest.raises(PenstockError, match="cannot encode"):
        run.end()
    assert found(project)[0].status == "FINISHED"


def again(recording: Recording) -> ActiveRun:
    """Go on with a run whose parameter p is 1."""
    with ActiveRun.start(recording, DRAFT) as run:
        run.log_param("p", 1)
    return ActiveRun.resume(recording, run.id)


def test_a_refused_parameter_takes_nothing_else_along(project: Project, recording: Recording) -> None:
    run = again(recording)
    run.log_params({"p": 2, "q": 3})
    for step in range(50):
        run.log_metric("loss", 0.5, step)
    run.set_tag("team", "x")
    with pytest.raises(Invalid, match=r"not kept: parameter 'p': Changing param values") as told:
        run.end()
    assert told.value.code == "tracking.parameter_changed"
    (kept,) = found(project)
    assert (kept.status, kept.params, kept.metrics) == ("FINISHED", {"p": "1", "q": "3"}, {"loss": 0.5})
    assert kept.tags["team"] == "x"
    assert len(points(project, run.id, "loss")) == 50


def test_all_that_is_lost_is_named(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(self: StoreSink, run_id: str, batch: Batch) -> None:
        raise NotFound("there is no run", code="tracking.no_run")

    run = ActiveRun.start(recording, DRAFT)
    monkeypatch.setattr(StoreSink, "log", gone)
    run.log_params({"p": 2, "q": 3})
    for step in range(50):
        run.log_metrics({"loss": 0.5, "auc": 0.5}, step)
    names = "parameter 'p', parameter 'q', 50 points of 'loss', 50 points of 'auc'"
    with pytest.raises(NotFound, match=f"not kept: {names}: there is no run"):
        run.end()


def test_what_an_interrupted_flush_had_in_hand_is_sent(
    project: Project, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: StoreSink, run_id: str, batch: Batch) -> None:
        raise KeyboardInterrupt

    run = ActiveRun.start(recording, DRAFT)
    with monkeypatch.context() as patch:
        patch.setattr(StoreSink, "log", interrupted)
        run.log_metric("m", 1.0)
        with pytest.raises(KeyboardInterrupt):
            run.flush()
    run.log_metric("m", 2.0)
    run.end("KILLED")
    assert points(project, run.id, "m") == [(0, 1.0), (1, 2.0)]


def test_a_process_that_ends_tells_what_was_lost(project: Project, recording: Recording) -> None:
    again(recording).end()
    done = forked(
        project.root,
        f"""
        import penstock
        penstock.start_run(run_id={DRAFT.client_id!r}, system_metrics=False)
        penstock.log_param("p", 2)
        penstock.log_metric("loss", 0.5)
        """,
    )
    assert f"run {DRAFT.client_id}: not kept: parameter 'p'" in done.stderr
    assert found(project)[0].metrics == {"loss": 0.5}


@pytest.mark.parametrize(
    "work",
    [
        lambda run: run.log_metric("late", 2.0),
        lambda run: run.log_param("late", 1),
        lambda run: run.set_tag("late", "x"),
    ],
)
def test_nothing_is_logged_to_a_run_that_ended(
    project: Project, recording: Recording, work: Callable[[ActiveRun], None]
) -> None:
    with ActiveRun.start(recording, DRAFT) as run:
        run.log_metric("m", 1.0)
    with pytest.raises(Conflict, match=f"run {run.id} has ended") as told:
        work(run)
    assert told.value.code == "client.run_ended"
    assert told.value.hint == f"go on with it: penstock.start_run(run_id={run.id!r})"


def test_what_is_logged_while_a_run_ends_is_kept_or_refused(
    project: Project, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ActiveRun.start(recording, DRAFT)
    original, refused = StoreSink.log, []

    def log(self: StoreSink, run_id: str, batch: Batch) -> None:
        original(self, run_id, batch)
        try:
            run.log_metric("m", len(refused))
        except Conflict as error:
            refused.append(error.code)

    monkeypatch.setattr(StoreSink, "log", log)
    run.log_metric("m", 1.0)
    run.end()
    assert refused == ["client.run_ended"]
    assert points(project, run.id, "m") == [(0, 1.0)]
