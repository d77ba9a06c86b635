"""Labels that come before their prediction is stored: kept, joined, bounded, told, and counted where they are lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from flows.production.endpoints import World
from penstock.base.clock import now_ms
from penstock.base.store.database import Database, connect
from penstock.base.store.migrate import upgrade
from penstock.cli.main import cli
from penstock.flows.production.live.housekeeping import Housekeeping
from penstock.flows.production.live.ingesting import Ingest
from penstock.flows.production.live.joining import join_labels, join_waiting
from penstock.flows.production.live.recording import LiveRecorder
from penstock.http.app import build_server_app
from penstock.http.prometheus.judgement import JudgementMetrics
from penstock.monitoring.settings import MonitorSettings
from penstock.monitoring.windows import Window, list_windows, merge_windows
from penstock.processes.controller import ControllerLoop
from penstock.serving.predictions import waiting as waiting_labels
from penstock.serving.predictions.encoding import encode_columns
from penstock.serving.predictions.ids import PredictionId, parse_prediction_id
from penstock.serving.predictions.stored import (
    Prediction,
    add_predictions,
    delete_predictions,
    list_labels,
    list_predictions,
)
from penstock.serving.predictions.waiting import (
    KEPT_MS,
    WaitingLabel,
    add_waiting,
    expire_waiting,
    tell_waiting,
    waiting,
)
from penstock.serving.recorder import Exchange, Label, LabelCounts
from penstock.serving.told.observations import parse_batch
from servers.postgres import PostgresServer


def made(counter: int, time_ms: int | None = None, endpoint_id: int = 1) -> PredictionId:
    return PredictionId(
        now_ms() if time_ms is None else time_ms, endpoint_id & 0xFFFFFF, 1, "stable", 5, counter
    )


def exchange(identity: PredictionId, score: float = 0.9) -> Exchange:
    return Exchange(
        endpoint="delay", revision=1, version=1, route="stable", time_ms=identity.time_ms, id=identity.encode(),
        counter=identity.counter, inputs={"hour": np.array([7])}, outputs={"probability": np.array([score])},
        row_count=1, latency_s=0.003,
    )  # fmt: skip


def stored(identity: PredictionId, rows: int = 1, *, is_run: bool = False) -> Prediction:
    return Prediction(
        id=identity.encode(), version=1, endpoint="delay", revision=1, route="stable",
        window_start_s=identity.time_ms // 1000, outputs=encode_columns({"probability": np.full(rows, 0.5)}),
        row_count=rows, is_run=is_run,
    )  # fmt: skip


def label(identity: PredictionId, *values: object, by: str | None = None) -> Label:
    return Label(identity, identity.encode(), list(values), by)


def quality_of(world: World) -> Window:
    with world.project.database.read() as connection:
        return merge_windows(list_windows(connection, "delay"))


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/penstock.db"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.new_schema()
    opened = connect(url)
    upgrade(opened)
    yield opened
    opened.close()


def test_labels_before_their_predictions_are_joined_when_those_come_as_if_they_had_come_in_order(
    store: Database,
) -> None:
    writer, monitor = (1, iter(range(1, 99))), MonitorSettings()
    first, second, odd, run = made(1), made(2), made(3), made(100)
    inside, after = (msgspec.structs.replace(run, counter=100 + place) for place in (7, 10))
    given = [
        label(first, 0, by="ada"), label(first, 1), label(first, 1), label(second, None), label(odd, 1, 0),
        label(inside, 1), label(after, 1), label(made(9, now_ms() - KEPT_MS - 60_000), 1),
    ]  # fmt: skip
    with store.write() as connection:
        counts = join_labels(connection, "delay", given, monitor, writer)
        assert counts == LabelCounts(waiting=6, unknown=1, misfit=1, reasons=counts.reasons)
        assert list(counts.reasons) == [second.encode()], "null is no label, whether the prediction is there"
        assert join_labels(connection, "delay", given[1:2], monitor, writer).waiting == 1
        assert tell_waiting(connection, now_ms())["delay"].count == 5, "one said again waits once"
        join_waiting(connection, [stored(made(50))], lambda _: monitor, writer)
        assert tell_waiting(connection, now_ms())["delay"].count == 5
        came = [stored(first), stored(odd), stored(run, 10, is_run=True)]
        add_predictions(connection, came)
        for _ in range(2):
            join_waiting(connection, came, lambda _: monitor, writer)
        found = list_labels(connection, [first.encode(), inside.encode(), odd.encode()])
        assert [(one.values, one.sent_by) for one in found if one.prediction_id == first.encode()] == [
            ([0], "ada"),
            ([1], None),
        ], "what was corrected while it waited keeps its history"
        told = tell_waiting(connection, now_ms())["delay"]
        assert (told.count, told.lost) == (1, {"misfit": 1})
        whole = merge_windows(list_windows(connection, "delay"))
        assert whole.quality.label_count == 2
        assert whole.quality.brier() == pytest.approx(0.25)
        late = join_labels(connection, "delay", [label(first, 1)], monitor, writer)
        assert late.duplicate == 1
        delete_predictions(connection, 1 << 46)
        assert join_labels(connection, "elsewhere", [label(first, 1)], monitor, writer).waiting == 1


def test_the_number_and_the_time_are_bounded_and_what_is_lost_is_counted(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_labels, "WAITING_MAX", 3)
    writer, monitor = (1, iter(range(1, 99))), MonitorSettings()
    with store.write() as connection:
        many = [label(made(counter), 1) for counter in range(5)]
        counts = join_labels(connection, "delay", many, monitor, writer)
        assert (counts.waiting, counts.unknown) == (3, 2)
        assert join_labels(connection, "other", many[4:], monitor, writer).waiting == 1
        assert expire_waiting(connection, now_ms()) == 0
        assert expire_waiting(connection, now_ms() + KEPT_MS + 1000) == 4
        told = tell_waiting(connection, now_ms())
        assert told["delay"].lost_ever == {"full": 2, "expired": 3}
        assert told["other"].lost_ever == {"expired": 1}
        later = tell_waiting(connection, now_ms() + 3 * KEPT_MS)["delay"]
        assert (later.lost, later.lost_ever) == ({}, {"full": 2, "expired": 3})
        assert not later
        assert not later.sentence


def test_a_serve_process_and_a_told_batch_join_what_waited_and_another_processes_labels_too(
    world: World,
) -> None:
    of = world.deploy(1).endpoint_id
    project = world.project
    recorder, ingest = (
        LiveRecorder(project.database, 99, flush_s=3600),
        Ingest(project),
    )  # 1 is the number that Ingest takes
    try:
        first, second, third = (made(number, endpoint_id=of) for number in (1, 2, 3))
        assert ingest.add_labels("delay", [label(first, 1)]).waiting == 1, "by another process than answered"
        recorder.record(exchange(first))
        recorder.flush()
        assert quality_of(world).quality.label_count == 1
        assert recorder.add_labels("delay", [label(second, 0), label(third, 1)]).waiting == 2
        told = {
            "id": second.encode(), "time_ms": second.time_ms, "latency_s": 0.1, "inputs": {"hour": 7},
            "outputs": {"probability": 0.2}, "revision": 1,
        }  # fmt: skip
        body = msgspec.json.encode({"batch": "b", "endpoint": "delay", "observations": [told]})
        assert ingest.take(parse_batch(body)).is_new
        assert quality_of(world).quality.label_count == 2
        with project.database.write() as connection:  # as PostgreSQL's transactions may miss each other
            add_predictions(connection, [stored(third)])
        Housekeeping(project).clean()
        assert quality_of(world).quality.label_count == 3
        with project.database.read() as connection:
            assert connection.execute(waiting.select()).first() is None
    finally:
        recorder.close()


def test_labels_that_cannot_be_joined_hold_back_neither_predictions_nor_other_labels(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """One of 401 digits, as older versions took it, and one that is broken in the store."""
    of = world.deploy(1).endpoint_id
    database = world.project.database
    huge, broken, good = (made(number, endpoint_id=of) for number in (1, 2, 3))
    came_ms = now_ms()
    kept: list[tuple[PredictionId, Any]] = [(huge, [10**400]), (huge, [1]), (broken, 5), (good, [0])]
    with database.write() as connection:
        add_waiting(
            connection,
            (
                WaitingLabel(
                    prediction_id=one.encode(), received_ms=came_ms + place, endpoint="delay", values=values
                )
                for place, (one, values) in enumerate(kept)
            ),
        )
    recorder = LiveRecorder(database, 99, flush_s=3600)
    try:
        for one in (huge, broken, good):
            recorder.record(exchange(one))
        recorder.flush()
    finally:
        recorder.close()
    ids = [one.encode() for one in (huge, broken, good)]
    with database.read() as connection:
        assert len(list_predictions(connection, ids)) == 3
        assert [one.values for one in list_labels(connection, ids)] == [[1], [0]]
        assert connection.execute(waiting.select()).first() is None
        told = tell_waiting(connection, now_ms())["delay"]
    assert (told.count, told.lost) == (0, {"misfit": 2})
    assert quality_of(world).quality.label_count == 2
    assert f"a label of delay that waited for prediction {ids[1]} cannot be joined: TypeError" in caplog.text


def test_a_label_whose_answer_cannot_be_read_holds_back_no_other_of_its_request(
    store: Database, caplog: pytest.LogCaptureFixture
) -> None:
    writer, monitor = (1, iter(range(1, 99))), MonitorSettings()
    ids = [made(counter) for counter in range(7)]
    answers = [encode_columns({"probability": np.array([0.5])})] * 3 + [b"torn"]
    answers += [encode_columns({"probability": np.array([0.5])})] * 3
    came = [
        msgspec.structs.replace(stored(one), outputs=outputs)
        for one, outputs in zip(ids, answers, strict=True)
    ]
    with store.write() as connection:
        add_predictions(connection, came)
        counts = join_labels(connection, "delay", [label(one, 1) for one in ids], monitor, writer)
        whole = merge_windows(list_windows(connection, "delay"))
    assert (counts.accepted, counts.misfit, list(counts.reasons)) == (6, 1, [ids[3].encode()])
    assert "it cannot be joined to its prediction: " in counts.reasons[ids[3].encode()]
    assert whole.quality.label_count == 6
    assert f"a label of delay that came for prediction {ids[3].encode()} cannot be joined" in caplog.text


def test_answers_of_one_window_that_are_texts_and_numbers_are_scored_each_by_itself(store: Database) -> None:
    writer, monitor = (1, iter(range(1, 99))), MonitorSettings()
    late = np.array(["late"], dtype=object)
    answers: list[tuple[dict[str, Any], Any]] = [
        ({"prediction": late, "probability": np.array([0.9])}, "late"),
        ({"prediction": late, "probability": np.array(["high"], dtype=object)}, "late"),
        ({"prediction": np.array([1])}, "late"),
        ({"prediction": np.array([0.5])}, 0.7),
        ({"prediction": np.array([2])}, 3),
    ]
    came = [
        msgspec.structs.replace(stored(made(number)), outputs=encode_columns(one))
        for number, (one, _) in enumerate(answers)
    ]
    came = [msgspec.structs.replace(one, window_start_s=came[0].window_start_s) for one in came]
    with store.write() as connection:
        add_predictions(connection, came)
        given = [
            label(parse_prediction_id(one.id), value) for one, (_, value) in zip(came, answers, strict=True)
        ]
        counts = join_labels(connection, "delay", given, monitor, writer)
        quality = merge_windows(list_windows(connection, "delay")).quality
    assert (counts.accepted, counts.misfit) == (5, 0)
    assert quality.left_out == 1, "the probability that is a text is no answer"
    assert [quality.total(one) for one in ("scored", "classed", "valued")] == [1, 2, 2]
    assert quality.total("absolute") == pytest.approx(1.2)


def test_what_waits_and_what_was_lost_is_told_by_feedback_status_show_metrics_and_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.policy()
    revision = world.deploy(1)
    monkeypatch.chdir(world.project.root)
    identity = PredictionId(now_ms(), revision.endpoint_id, 1, "stable", 5, 1).encode()
    runner = CliRunner()
    sent = runner.invoke(cli, ["feedback", "delay", "--prediction", identity, "--label", "1"])
    assert sent.exit_code == 0, sent.output
    assert "1 waiting" in sent.output
    assert "penstock monitor status delay" in sent.output
    with world.project.database.write() as connection:
        waiting_labels.add_lost(connection, {("delay", "expired"): 2}, now_ms())
    words = "1 label waits for predictions that are not stored yet, the oldest since "
    lost = "2 labels were given up in the last 7 days: 2 since their predictions never came"
    for command in (["endpoint", "show", "delay"], ["monitor", "status"]):
        shown = runner.invoke(cli, command)
        assert words in shown.output, shown.output
        assert lost in shown.output, shown.output
    loop = ControllerLoop(world.project)
    loop._controller.tick()
    loop.health = replace(loop.health, looks=loop._controller.looks)
    client = TestClient(build_server_app(world.project, loop))
    page = client.get("/endpoints/delay").text
    assert words in page
    assert lost in page
    metrics = JudgementMetrics(loop, "1").render().decode()
    assert 'penstock_labels_waiting{endpoint="delay"} 1.0' in metrics
    assert 'penstock_labels_lost_total{endpoint="delay",reason="expired"} 2.0' in metrics
    assert 'penstock_labels_lost_total{endpoint="delay",reason="full"} 0.0' in metrics
