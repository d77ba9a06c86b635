"""Samples of requests and answers: kept whole or not at all, redacted, merged, forgotten, and read with labels."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest

import penstock
from flows.production.endpoints import POLICY, World
from penstock.base.clock import now_ms
from penstock.base.errors import NotFound, Unavailable
from penstock.base.settings import parse_settings
from penstock.base.store.database import Database
from penstock.flows.production.live.ingesting import Ingest
from penstock.flows.production.live.recording import LiveRecorder
from penstock.flows.production.live.summarising import ScoredRows
from penstock.flows.production.payloads.keeping import PayloadLog
from penstock.flows.production.payloads.reading import read_newest, read_payloads
from penstock.flows.production.payloads.sampling import Hour
from penstock.flows.production.payloads.segments import concat, decode, encode, frame_of
from penstock.flows.production.payloads.tidying import tidy
from penstock.flows.production.scoring.recording import Recording
from penstock.http.inference.app import build_inference_app
from penstock.monitoring.policies import PolicyBody, put_policy
from penstock.monitoring.settings import AlertSettings, EndpointSettings, MonitorSettings, PayloadSettings
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.registry.versions import get_version
from penstock.serving.deployments import get_revision
from penstock.serving.predictions.encoding import decode_columns
from penstock.serving.predictions.ids import PredictionId, parse_prediction_id
from penstock.serving.predictions.stored import list_predictions
from penstock.serving.recorder import Exchange, Label
from penstock.serving.told.observations import Observation, ObservationBatch
from penstock.storage.backend import Backend
from penstock.storage.local import LocalBackend
from serving.fixtures import database, source
from serving.models import FolderSource, deploy, request_body
from watching.seen import wait_until

__all__ = ["database", "source"]

ALL = MonitorSettings(feature_ratio=1.0, payloads=PayloadSettings(sample=1.0, redact=("name",)))


def exchange(counter: int, *, time_ms: int | None = None, rows: int = 1, **more: Any) -> Exchange:
    when = time_ms or now_ms()
    return Exchange(
        **{
            "endpoint": "delay", "revision": 1, "version": 1, "route": "stable", "time_ms": when,
            "id": PredictionId(when, 1, 1, "stable", 7, counter).encode(), "counter": counter,
            "inputs": {"hour": np.arange(rows) + counter, "name": np.array(["ada"] * rows, dtype=object)},
            "outputs": {"probability": np.full(rows, 0.5)}, "row_count": rows, "latency_s": 0.01, **more,
        }
    )  # fmt: skip


@pytest.fixture
def place(world: World) -> LocalBackend:
    world.deploy(1)
    return LocalBackend(Path(world.project.places.artifacts_url))


def record(
    world: World, place: Callable[[], Backend], monitor: MonitorSettings, *exchanges: Exchange
) -> None:
    recorder = LiveRecorder(
        world.project.database, 7, {"delay": monitor}, flush_s=3600, payloads=PayloadLog(place, 7)
    )
    for one in exchanges:
        recorder.record(one)
    recorder.close()


def test_calls_are_kept_by_row_with_what_is_known_of_them_and_their_labels(
    world: World, place: LocalBackend
) -> None:
    now = now_ms() - 10
    failed = exchange(2, time_ms=now + 1, outputs={}, error="Timeout")
    calls = [exchange(1, time_ms=now, rows=2), failed, exchange(3, time_ms=now + 2)]
    record(world, lambda: place, ALL, *calls)
    ingest = Ingest(world.project)
    ingest.add_labels("delay", [Label(parse_prediction_id(calls[0].id), calls[0].id, [1, None])])
    found = read_payloads(world.project, "delay")
    assert found.select("prediction_id", "row").rows() == [
        (calls[0].id, 0), (calls[0].id, 1), (failed.id, 0), (calls[2].id, 0)
    ]  # fmt: skip
    assert found["inputs.hour"].to_list() == [1, 2, 2, 3]
    assert found["outputs.probability"].to_list() == [0.5, 0.5, None, 0.5]
    assert found["error"].to_list() == [None, None, "Timeout", None]
    assert found["label"].to_list() == [1, None, None, None]
    assert set(found["route"]) == {"stable"}
    assert found["time"].dtype == pl.Datetime("ms", "UTC")
    with pytest.raises(NotFound):
        read_payloads(world.project, "nosuch")


def test_a_redacted_column_is_kept_nowhere_by_row(world: World, place: LocalBackend) -> None:
    calls = [exchange(number) for number in range(1, 6)]
    record(world, lambda: place, ALL, *calls)
    assert "inputs.name" not in read_payloads(world.project, "delay").columns
    with world.project.database.read() as connection:
        kept = list_predictions(connection, [one.id for one in calls])
    assert [set(decode_columns(one.features or b"")) for one in kept] == [{"hour"}] * 5
    for path in place.root.rglob("*"):
        assert not path.is_file() or b"ada" not in path.read_bytes(), path


def test_nothing_below_a_redacted_name_is_kept_however_it_is_nested_nor_the_words_of_an_error(
    world: World, place: LocalBackend
) -> None:
    world.policy(
        POLICY.replace(
            "windows: 10}", "windows: 10, feature_ratio: 1, payloads: {sample: 1, redact: [plan, user.mail]}}"
        )
    )
    secret: dict[str, Any] = {"plan": {"x": "SECRETNEST", "y": [{"z": "SECRETNEST"}]}}
    told: list[Any] = [
        {"hour": 1, **secret}, {"hour": 1, "user": {**secret, "mail": "SECRETNEST"}}, [{"hour": 1, **secret}],
        [{"hour": 1, "user": {**secret, "mail": "SECRETNEST"}}], {"hour": [1, 2], "rows": [secret, secret]},
        {"hour": 1, "list": [[secret], {"deep": secret}]}, [[1, secret]], {"user": [{"mail": "SECRETNEST", "age": 3}]},
        {"plan.x": "SECRETNEST", "plans": "kept"},
    ]  # fmt: skip
    calls = [Observation(time_ms=now_ms(), latency_s=0.1, inputs=one, outputs=one) for one in told]
    for words in ("KeyError: 'SECRETNEST'", "no plan is called SECRETNEST", "SECRETNEST"):
        calls.append(Observation(time_ms=now_ms(), latency_s=0.1, inputs={"plan": "SECRETNEST"}, error=words))
    done = Ingest(world.project).take(ObservationBatch(batch="b", endpoint="delay", observations=calls))
    found = read_payloads(world.project, "delay")
    assert "SECRETNEST" not in str(found.to_dicts())
    assert sorted(found["error"].drop_nulls()) == ["KeyError", "error", "error"]
    assert {"inputs.hour", "inputs.plans", "inputs.user", "inputs.rows"} <= set(found.columns)
    assert "{'age': 3}" in found["inputs.user"].to_list()
    with world.project.database.read() as connection:
        kept = list_predictions(connection, done.prediction_ids)
    assert len(kept) == len(told)
    assert not any(b"SECRETNEST" in (one.features or b"") for one in kept)


def test_a_share_of_the_calls_is_kept_and_none_without_the_setting(world: World, place: LocalBackend) -> None:
    tenth = MonitorSettings(payloads=PayloadSettings(sample=0.1))
    record(world, lambda: place, tenth, *(exchange(number) for number in range(1000)))
    assert read_payloads(world.project, "delay").height == 100
    record(world, lambda: place, MonitorSettings(), *(exchange(number) for number in range(1000, 1100)))
    assert read_payloads(world.project, "delay").height == 100


def test_what_cannot_be_written_waits_and_is_written_later(place: LocalBackend, world: World) -> None:
    def away() -> Backend:
        raise Unavailable("the store of files is away", code="storage.unavailable")

    opened: list[Callable[[], Backend]] = [away]

    def reach() -> Backend:
        return opened[0]()

    log = PayloadLog(reach, 7)
    log.take([exchange(1), exchange(2)], {"delay": ALL})
    log.try_flush(all_of_it=True)
    assert not read_payloads(world.project, "delay").height
    opened[0] = lambda: place
    log.try_flush()  # not due yet
    assert not read_payloads(world.project, "delay").height
    log.close()
    assert read_payloads(world.project, "delay").height == 2


def test_services_of_one_s_own_and_batches_are_sampled_once_too(world: World, place: LocalBackend) -> None:
    world.policy(POLICY.replace("windows: 10}", "windows: 10, payloads: {sample: 1, redact: [name]}}"))
    ingest = Ingest(world.project)
    one = Observation(time_ms=now_ms(), latency_s=0.1, inputs={"hour": 7, "name": "ada"}, outputs=0.5)
    batch = ObservationBatch(batch="b1", endpoint="delay", observations=[one, one])
    first = ingest.take(batch)
    assert not ingest.take(batch).is_new
    found = read_payloads(world.project, "delay")
    assert sorted(found["prediction_id"]) == sorted(first.prediction_ids)
    assert [name for name in found.columns if name.startswith("inputs.")] == ["inputs.hour"]


def test_rows_of_a_job_are_kept_though_one_bunch_has_whole_numbers_and_the_next_fractions(
    world: World, place: LocalBackend
) -> None:
    world.policy(POLICY.replace("windows: 10}", "windows: 10, payloads: {sample: 1}}"))
    with world.project.database.read() as connection:
        recording = Recording(
            world.project, get_revision(connection, "delay"), get_version(connection, "m", 1)
        )
    where = recording.watching()
    part = recording.begin(where)
    two, places = np.array([0.5, 0.25]), np.arange(2)
    for first, hours in ((0, np.array([7, 8])), (2, np.array([9.5, np.nan]))):
        part.add(ScoredRows({"hour": hours}, {"prediction": two}, places, 2, 0.1), first, 2)
    recording.record("job", 0, part)
    assert read_payloads(world.project, "delay")["inputs.hour"].fill_nan(None).to_list() == [
        7.0,
        8.0,
        9.5,
        None,
    ]
    nothing = recording.begin(where)
    recording.record("job", 1, nothing)
    assert len(list(place.list("payloads"))) == 1


def test_segments_of_an_hour_become_one_and_a_kill_at_any_step_loses_and_doubles_nothing(
    world: World, place: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = now_ms() // 1000
    old_ms = (now_s - 8 * 3600) * 1000
    for number in range(4):
        call = exchange(number, time_ms=old_ms)
        place.put(Hour.of("delay", old_ms).key(f"{number}-1"), encode(frame_of([call], PayloadSettings())))
    record(world, lambda: LocalBackend(place.root), ALL, exchange(9))
    before = read_payloads(world.project, "delay")
    assert before.height == 5

    class Killed(BaseException):
        pass

    steps = {"left": 0}

    def dying(step: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            steps["left"] -= 1
            if steps["left"] < 0:
                raise Killed
            return step(*args, **kwargs)

        return call

    for name in ("put", "delete"):
        monkeypatch.setattr(LocalBackend, name, dying(getattr(LocalBackend, name)))
    for allowed in range(6):
        steps["left"] = allowed
        with contextlib.suppress(Killed):
            tidy(place, {"delay": ALL}, now_s)
        assert read_payloads(world.project, "delay").equals(before), allowed
    assert len([one for one in place.list("payloads") if "merged" in one.key]) == 1
    assert len(list(place.list("payloads"))) == 2


def test_segments_that_are_merged_or_forgotten_while_somebody_reads_are_read_from_what_became_of_them(
    world: World, place: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = now_ms() // 1000
    old_ms = (now_s - 8 * 3600) * 1000
    for number in range(3):
        call = exchange(number, time_ms=old_ms)
        place.put(Hour.of("delay", old_ms).key(f"{number}-1"), encode(frame_of([call], PayloadSettings())))
    record(world, lambda: LocalBackend(place.root), ALL, exchange(9, time_ms=old_ms - 40 * 86_400_000))
    get = LocalBackend.get

    def beside_housekeeping(self: LocalBackend, key: str) -> bytes:
        monkeypatch.setattr(LocalBackend, "get", get)
        found = get(self, key)
        assert tidy(place, {"delay": ALL}, now_s) == 4
        return found

    for read in (read_payloads, lambda project, endpoint: read_newest(project, endpoint, 10)):
        monkeypatch.setattr(LocalBackend, "get", beside_housekeeping)
        found = read(world.project, "delay")
        assert sorted(found.filter(pl.col("time").dt.epoch("ms") == old_ms)["inputs.hour"]) == [0, 1, 2]
        for entry in list(place.list("payloads")):
            place.delete(entry.key)
        for number in range(4):
            when = old_ms - (40 * 86_400_000 if number == 3 else 0)
            call = exchange(number, time_ms=when)
            place.put(Hour.of("delay", when).key(f"{number}-1"), encode(frame_of([call], PayloadSettings())))


def test_days_past_their_retention_go_also_of_an_endpoint_without_the_setting(
    world: World, place: LocalBackend
) -> None:
    now_s = now_ms() // 1000
    days = {2: "kept", 20: "kept", 40: "gone"}
    for age in days:
        record(
            world, lambda: LocalBackend(place.root), ALL, exchange(age, time_ms=(now_s - age * 86_400) * 1000)
        )
    assert tidy(place, {}, now_s) == 1
    assert read_payloads(world.project, "delay")["inputs.hour"].to_list() == [20, 2]
    short = MonitorSettings(payloads=PayloadSettings(keep_days=7))
    assert tidy(place, {"delay": short}, now_s) == 1
    assert read_payloads(world.project, "delay")["inputs.hour"].to_list() == [2]


def test_a_span_of_time_is_read_in_the_project_of_the_working_directory(
    world: World, place: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    for hours in (1, 30, 60):
        when = int((now - timedelta(hours=hours)).timestamp() * 1000)
        record(world, lambda: LocalBackend(place.root), ALL, exchange(hours, time_ms=when))
    spans = {(70, 0): [60, 30, 1], (40, 0): [30, 1], (40, 20): [30], (0.5, 0): []}
    for (begin, end), wanted in spans.items():
        found = read_payloads(
            world.project,
            "delay",
            now - timedelta(hours=begin),
            (now - timedelta(hours=end)).replace(tzinfo=UTC),
        )
        assert (found["inputs.hour"].to_list() if found.height else []) == wanted, (begin, end)
    (world.root / "penstock.yaml").write_text("project: world\n")
    monkeypatch.chdir(world.root)
    assert penstock.payloads("delay").height == 3


def test_segments_of_several_versions_are_one_frame_and_a_damaged_one_is_told_and_left_out(
    world: World, place: LocalBackend, caplog: pytest.LogCaptureFixture
) -> None:
    hour = Hour.of("delay", now_ms())
    base = {"row": [0], "time": [datetime.now(UTC)]}
    for number, value in enumerate((1, 2.5, "three")):
        frame = pl.DataFrame(
            {"prediction_id": [str(number)], "version": [number], **base, "inputs.x": [value]}
        )
        place.put(
            hour.key(f"v{number}"), encode(frame.with_columns(pl.col("time").cast(pl.Datetime("ms", "UTC"))))
        )
    assert read_payloads(world.project, "delay")["inputs.x"].to_list() == ["1", "2.5", "three"]
    for name, data in {"zzz": b"no parquet", "yyy": encode(pl.DataFrame({"x": [1]})), "xxx": b""}.items():
        place.put(hour.key(name), data)
        assert read_payloads(world.project, "delay")["inputs.x"].to_list() == ["1", "2.5", "three"]
        assert name in caplog.text
    tidy(place, {"delay": ALL}, now_ms() // 1000 + 7200)
    left = sorted(path.name[3:6] for path in place.root.rglob("*.parquet"))
    assert left == ["mer", "xxx", "yyy", "zzz"]
    assert read_payloads(world.project, "delay")["inputs.x"].to_list() == ["1", "2.5", "three"]


def test_columns_of_unlike_types_are_one_that_holds_them_all_when_read_and_when_merged(
    world: World, place: LocalBackend
) -> None:
    world.policy(POLICY.replace("windows: 10}", "windows: 10, payloads: {sample: 1}}"))
    ingest = Ingest(world.project)
    told: list[Any] = [
        {"age": 30, "plan": "pro", "minutes": 1.0},
        {"age": [30, 31], "plan": ["pro", "max"], "minutes": [1.0, 2.0]},
        {"age": "old", "plan": True, "minutes": 2},
        {"age": None, "plan": [[1, 2], ["x"]], "minutes": [[1, 2]]},
        [1, 2],
        [[1, 2], [3, 4]],
        "text",
        None,
    ]
    when = now_ms() - 1000
    for index, inputs in enumerate(told):
        one = Observation(time_ms=when + index, latency_s=0.1, inputs=inputs, outputs=0.5)
        assert ingest.take(ObservationBatch(batch=f"p{index}", endpoint="delay", observations=[one])).is_new
        assert read_payloads(world.project, "delay")["prediction_id"].n_unique() == index + 1
    before = read_payloads(world.project, "delay")
    assert before["inputs.age"].to_list()[:3] == ["30", "[30, 31]", "old"]
    assert before["inputs.plan"].to_list()[:3] == ["pro", "promax", "true"]
    for hours in (2, 4):
        tidy(place, {"delay": ALL}, now_ms() // 1000 + hours * 3600)
        assert read_payloads(world.project, "delay").equals(before)
    assert len(list(place.root.rglob("*.parquet"))) == 1


def test_numbers_and_lists_of_numbers_stay_numbers_in_one_frame() -> None:
    def joined(*columns: list[Any]) -> pl.Series:
        return concat([pl.DataFrame({"x": one}) for one in columns])["x"]

    assert joined([1], [2.5], [None]).to_list() == [1.0, 2.5, None]
    assert joined([[1]], [[2.5]], [[]], [None]).to_list() == [[1.0], [2.5], [], None]
    assert joined([[[1]]], [[]]).to_list() == [[[1]], []]
    assert joined([True], [2], [None], ["a"], [[1, 2]], [{"a": 1}], [b"b\xff"]).to_list() == [
        "true", "2", None, "a", "[1, 2]", '{"a": 1}', "b\\xff"
    ]  # fmt: skip


def test_a_serve_process_keeps_a_sample_of_what_it_answers(
    database: Database, source: FolderSource, tmp_path: Path
) -> None:
    deploy(database, "delay", 1)
    monitor = parse_settings(
        POLICY.replace("windows: 10}", "windows: 10, payloads: {sample: 1}}"), EndpointSettings, "p"
    )
    with database.write() as connection:
        put_policy(connection, "delay", PolicyBody(endpoint=monitor, alerts=AlertSettings()), "person:ada")
    options = ServeOptions(port=0, poll_s=0.02, flush_s=0.1, payloads_url=str(tmp_path / "artifacts"))
    process = ServeProcess(database, source, build_inference_app, options)
    process.start()
    try:
        wait_until(lambda: "delay" in process.dataplane.repository.served)
        answer = httpx.post(f"{process.url}/v2/models/delay/infer", json=request_body()).json()
    finally:
        process.stop()
    place = LocalBackend(tmp_path / "artifacts")
    (entry,) = place.list("payloads/delay")
    (row,) = decode(place.get(entry.key)).iter_rows(named=True)
    assert row["prediction_id"] == answer["id"], answer
