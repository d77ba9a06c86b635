"""Batches of observations: what they become in the store, once however often they are sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from penstock.base.clock import now_ms
from penstock.base.errors import Invalid, NotFound, PenstockError
from penstock.flows.chain.lineage import explain
from penstock.flows.production.live.ingesting import Ingest
from penstock.flows.production.live.recording import LiveRecorder
from penstock.monitoring.settings import MonitorSettings
from penstock.monitoring.windows import Window, list_windows, merge_windows
from penstock.serving.deployments import get_revision
from penstock.serving.predictions.encoding import decode_columns
from penstock.serving.predictions.ids import PredictionId, parse_prediction_id
from penstock.serving.predictions.stored import list_predictions
from penstock.serving.recorder import Exchange, Label
from penstock.serving.told.observations import parse_batch
from projects import Sample
from servers.postgres import PostgresServer
from serving.fixtures import released_root

__all__ = ["released_root"]
HOUR = {"hour": 7, "wind": 10.5, "carrier": "AA"}


@pytest.fixture(params=["sqlite", "postgresql"])
def deployed(request: pytest.FixtureRequest, released_root: Path, tmp_path: Path) -> Iterator[Sample]:
    """The sample project, whose endpoint `delay` serves `late/1`."""
    sample = Sample.copy(released_root, tmp_path / "project")
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        sample.move_store(server.new_schema())
    yield sample
    sample.close()


def batch(name: str, *observations: dict[str, Any], **more: Any) -> bytes:
    return msgspec.json.encode(
        {"batch": name, "endpoint": "delay", "observations": [{**call(), **one} for one in observations]}
        | more
    )


def call() -> dict[str, Any]:
    return {"time_ms": now_ms(), "latency_s": 0.004, "inputs": HOUR, "outputs": {"probability": 0.3}}


def whole(sample: Sample) -> Window:
    """Everything that is known of the endpoint, in one window."""
    with sample.project.database.read() as connection:
        return merge_windows(list_windows(connection, "delay"))


def test_what_was_told_is_what_a_serve_process_would_have_recorded(deployed: Sample) -> None:
    project, ingest = deployed.project, Ingest(deployed.project)
    told = [{"outputs": {"probability": value / 10}} for value in range(10)]
    told += [{"outputs": None, "error": "ValueError"}, {"outputs": {"probability": float("nan")}}]
    done = ingest.take(
        parse_batch(msgspec.msgpack.encode(msgspec.json.decode(batch("one", *told[:-1]))), is_packed=True)
    )
    assert (done.is_new, done.observation_count, done.answers_left_out) == (True, 11, 0)
    ours = whole(deployed)
    recorder = LiveRecorder(project.database, 99, {"delay": MonitorSettings(window_s=1)}, flush_s=3600)
    for index in range(11):
        identity = PredictionId(now_ms(), 1, 1, "stable", 99, index)
        answer = {} if index == 10 else {"probability": np.array([index / 10])}
        recorder.record(
            Exchange(
                endpoint="other", revision=1, version=1, route="stable", time_ms=now_ms(), id=identity.encode(),
                counter=index, inputs={name: np.array([value]) for name, value in HOUR.items()}, outputs=answer,
                row_count=1, latency_s=0.004, error="ValueError" if index == 10 else None,
            )
        )  # fmt: skip
    recorder.close()
    with project.database.read() as connection:
        theirs = merge_windows(list_windows(connection, "other"))
    for name in ("request_count", "error_count", "row_count", "error_run_count", "nonfinite_count"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.features.column_names == theirs.features.column_names
    assert ours.outputs.to_bytes() == theirs.outputs.to_bytes()
    assert ours.quantile_s(0.5) == theirs.quantile_s(0.5)


def test_a_time_in_another_unit_is_refused_and_the_unit_is_told(deployed: Sample) -> None:
    ingest, now = Ingest(deployed.project), now_ms()
    for time, words in (
        (now // 1000, "looks like seconds"),
        (now * 1000, "looks like microseconds"),
        (now * 1_000_000, "looks like nanoseconds"),
        (5, "before 2001, or after tomorrow"),
        (now + 2 * 86_400_000, "before 2001, or after tomorrow"),
    ):
        with pytest.raises(Invalid, match=rf"observations\[0\]: .*{words}"):
            ingest.take(parse_batch(batch("unit", {"time_ms": time})))
        with pytest.raises(Invalid, match=rf"missed\[0\]: .*{words}"):
            ingest.take(parse_batch(batch("unit", missed=[{"time_ms": time, "request_count": 1}])))
    assert ingest.take(parse_batch(batch("unit", {"time_ms": now}))).is_new, "nothing was taken before"


def test_a_batch_that_is_sent_again_counts_once_also_from_another_process(deployed: Sample) -> None:
    first, second = Ingest(deployed.project), Ingest(deployed.project)
    sent = parse_batch(batch("again", {}, {}, missed=[{"time_ms": now_ms(), "request_count": 5}]))
    done = first.take(sent)
    assert done.is_new
    for again in (first.take(sent), second.take(sent)):
        assert (again.is_new, again.prediction_ids) == (False, done.prediction_ids)
    assert second.take(parse_batch(batch("another", {}))).is_new
    found = whole(deployed)
    assert (found.request_count, found.dropped_count, found.row_count) == (8, 5, 3)
    labels = [Label(parse_prediction_id(one), one, [1]) for one in done.prediction_ids]
    assert second.add_labels("delay", labels).accepted == 2
    assert all(explain(deployed.project, one).version == "late/1" for one in done.prediction_ids)
    other = second.take(
        parse_batch(batch("again", {"time_ms": now_ms() - 10**10}, {}))
    )  # what was never recorded has no id
    assert (other.is_new, other.prediction_ids) == (False, ())


def test_a_batch_that_fails_half_way_leaves_nothing_and_can_be_sent_again(
    deployed: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    from penstock.flows.production.live import ingesting

    ingest = Ingest(deployed.project)
    ingest.take(parse_batch(batch("before", {})))
    with monkeypatch.context() as broken:

        def fail(*_: object) -> None:
            raise OSError("the disk is full")

        broken.setattr(ingesting, "add_predictions", fail)
        with pytest.raises(OSError, match="full"):
            ingest.take(parse_batch(batch("fails", {}, {})))
    assert whole(deployed).request_count == 1
    assert ingest.take(parse_batch(batch("fails", {}, {}))).is_new
    assert whole(deployed).request_count == 3


def test_a_version_that_takes_no_part_is_told_apart_and_labels_find_what_was_told(deployed: Sample) -> None:
    ingest = Ingest(deployed.project)
    identity = PredictionId(now_ms(), 0, 0, "direct", 1 << 23, 5).encode()
    done = ingest.take(parse_batch(batch("b", {"id": identity}, {}, model="late@champion")))
    assert done.prediction_ids[0] == identity
    with deployed.project.database.read() as connection:
        (made,) = list_predictions(connection, done.prediction_ids[1:])
    assert (made.endpoint, made.revision, made.route) == ("delay", 1, "stable")
    labels = [Label(parse_prediction_id(one), one, [1]) for one in done.prediction_ids]
    assert ingest.add_labels("elsewhere", labels).unknown == 2  # of another endpoint
    assert ingest.add_labels("delay", labels).accepted == 2
    assert whole(deployed).quality.label_count == 2
    assert explain(deployed.project, identity).version == "late/1"
    with deployed.project.database.read() as connection:
        (kept,) = list_predictions(connection, [identity])
    assert decode_columns(kept.outputs)["probability"].tolist() == [0.3]


def test_answers_without_a_name_are_named_by_the_model(deployed: Sample) -> None:
    ingest = Ingest(deployed.project)
    answers: list[Any] = [0.7, 1, [[0.2, 0.8]], [1, 0], {"prediction": 1, "probability": 0.9}]
    told = [{"outputs": one, "inputs": [7, 10.5, "AA"]} for one in answers]
    told[3]["inputs"] = [[7, 10.5, "AA"], [8, 1, None]]
    done = ingest.take(parse_batch(batch("named", *told)))
    with deployed.project.database.read() as connection:
        kept = {
            one.id: decode_columns(one.outputs) for one in list_predictions(connection, done.prediction_ids)
        }
    named = [{name: values.tolist() for name, values in kept[one].items()} for one in done.prediction_ids]
    assert named == [
        {"probability": [0.7]},
        {"prediction": [1]},
        {"probability": [0.8]},
        {"prediction": [1, 0]},
        {"prediction": [1], "probability": [0.9]},
    ]
    assert whole(deployed).features.column_names == ("carrier", "hour", "wind")


def test_what_cannot_be_a_batch_is_refused_and_leaves_nothing(deployed: Sample) -> None:
    ingest = Ingest(deployed.project)
    with deployed.project.database.read() as connection:
        other = get_revision(connection, "delay").endpoint_id + 1
    foreign = PredictionId(now_ms(), other, 1, "stable", 1, 1).encode()
    twice = PredictionId(now_ms(), 0, 1, "stable", 1, 1).encode()
    wrong: list[tuple[bytes, type[PenstockError]]] = [
        (b"", Invalid),
        (b"[]", Invalid),
        (b'{"batch": "x"}', Invalid),
        (b"[" * 100_000, Invalid),
        (batch("", {}), Invalid),
        (batch("x/y", {}), Invalid),
        (batch("x", {}, surprise=1), Invalid),
        (batch("x", {"time_ms": -1}), Invalid),
        (batch("x", {"time_ms": now_ms() + 10**8}), Invalid),
        (batch("x", {"time_ms": 2**70}), Invalid),
        (batch("x", {"latency_s": -0.1}), Invalid),
        (batch("x", {"latency_s": "soon"}), Invalid),
        (batch("x", {"version": 99}), Invalid),
        (batch("x", {"version": -1}), Invalid),
        (batch("x", {"version": 0}), Invalid),
        (batch("x", missed=[{"time_ms": 1, "request_count": 1, "version": 0}]), Invalid),
        (batch("x", {"revision": 99}), Invalid),
        (batch("x", {"id": "nonsense"}), Invalid),
        (batch("x", {"id": foreign}), Invalid),
        (batch("x", {"id": twice}, {"id": twice}), Invalid),
        (batch("x", {"rows": 0}), Invalid),
        (batch("x", missed=[{"time_ms": 1, "request_count": 1, "error_count": 2}]), Invalid),
        (batch("x", {}, model="late/99"), NotFound),
        (batch("x", {}, endpoint="none"), NotFound),
    ]
    for body, cause in wrong:
        with pytest.raises(cause) as caught:
            ingest.take(parse_batch(body))
        assert caught.value.message, body
    with deployed.project.database.read() as connection:
        assert list_windows(connection, "delay") == []
    assert ingest.take(parse_batch(batch("x", {}))).is_new
