"""Calls that cannot be taken yet: they keep no others waiting, and it is told that they wait, since when and why."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import penstock
from flows.production.endpoints import World
from patience import PATIENCE_S
from penstock.base.errors import Denied, PenstockError
from penstock.flows.production.live.spool import Spool
from penstock.flows.production.live.undelivered import list_undelivered
from penstock.flows.production.overview import view_endpoint
from penstock.serving.told.observations import read_head
from penstock.watching.engine import Engine
from penstock.watching.places import StorePlace
from watching.seen import count, wait_until, windows_of

SCRIPT = """
import time, penstock
@penstock.watch(endpoint={endpoint!r}, model={model!r})
def infer(features): return 0.5
for _ in range(3): infer({{"hour": 1.0}})
"""


def watched(model: str, endpoint: str = "delay") -> Callable[[dict[str, float]], float]:
    return penstock.watch(endpoint=endpoint, model=model)(lambda _features: 0.5)


def run_script(world: World, model: str, endpoint: str = "delay") -> str:
    """Run a batch script to its end; return what it said."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(endpoint=endpoint, model=model)],
        cwd=world.root,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return done.stderr


def waits_for(world: World, endpoint: str = "delay") -> list[tuple[str, int]]:
    return [
        (one.model, one.call_count)
        for one in list_undelivered(world.project.home)
        if one.endpoint == endpoint
    ]


@pytest.mark.parametrize("wrong", ["m/4", "m@nobody"])
def test_a_version_that_is_not_registered_keeps_no_other_call_waiting(
    world: World,
    engine: Engine,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    wrong: str,
) -> None:
    monkeypatch.setattr("penstock.watching.sending.RETRY_S", 0.02)
    typo, right = watched(wrong), watched("m/1")
    typo({"hour": 1.0})
    engine.flush()
    for _ in range(5):
        right({"hour": 1.0})
    wait_until(lambda: count(world) == 5)
    wait_until(lambda: waits_for(world) == [(wrong, 1)])
    assert "it is recorded" not in caplog.text
    why = "there is no model version m/4" if wrong == "m/4" else "no version of 'm' is called 'nobody'"
    assert f"calls of delay wait on disk: {why}" in caplog.text
    world.version(4)
    world.alias(4, "nobody")
    assert engine.drain(PATIENCE_S)
    assert {(one.key.version, one.request_count) for one in windows_of(world)} == {(1, 5), (4, 1)}
    wait_until(lambda: waits_for(world) == [])


def test_a_version_that_a_single_call_names_wrongly_costs_no_other_call(world: World, engine: Engine) -> None:
    right = watched("m/1")
    wait_until(lambda: all(one.standing.endpoint_id for one in engine.watched.values()))
    right({"hour": 1.0})
    with penstock.watch(endpoint="delay", model="m/1") as call:
        call.version = 9
        call.inputs, call.outputs = {"hour": 1.0}, 0.5
    right({"hour": 1.0})
    assert engine.drain(PATIENCE_S)
    assert count(world) == 2
    assert engine.counts.dropped["delay"] == 1


def test_a_version_that_was_taken_away_is_needed_no_more_once_another_answers(
    world: World, engine: Engine
) -> None:
    infer: Callable[..., Any] = penstock.watch(
        endpoint="delay", model="m/4", on_revision=lambda _current: None
    )(lambda hour: 1)
    wait_until(lambda: engine.watched["delay", "m/4"].standing.version == 1)
    infer(1)
    assert engine.drain(PATIENCE_S)
    assert count(world) == 1


def test_a_service_that_took_another_model_over_is_recorded_for_that(
    world: World, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    infer: Callable[..., Any] = penstock.watch(
        endpoint="delay", model="m/1", on_revision=lambda _current: None
    )(lambda hour: 1)
    wait_until(lambda: engine.watched["delay", "m/1"].standing.revision == 1)
    world.version(1, model="n")
    world.deploy(1, model="n")
    wait_until(lambda: engine.watched["delay", "m/1"].standing.revision == 2)
    infer(1)
    assert engine.drain(PATIENCE_S)
    assert (count(world), engine.counts.dropped["delay"]) == (1, 0)
    assert "another model" not in caplog.text


@pytest.mark.parametrize(
    "error", [Denied("the token is for another endpoint", code="test.denied"), RuntimeError("it fails")]
)
def test_an_endpoint_whose_calls_are_not_taken_keeps_no_other_waiting(
    world: World, engine: Engine, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    class Choosy(StorePlace):
        def send(self, data: bytes) -> None:
            if read_head(data).endpoint == "other":
                raise error
            super().send(data)

    engine._place = Choosy(world.project)
    world.deploy(1, endpoint="other")
    watched("m/1", "other")({"hour": 1.0})
    engine.flush()
    watched("m/1")({"hour": 1.0})
    wait_until(lambda: count(world) == 1)
    why = error.message if isinstance(error, PenstockError) else "RuntimeError: it fails"
    wait_until(lambda: f"calls of other wait on disk: {why}" in caplog.text)
    assert count(world, "other") == 0


def test_what_a_script_leaves_is_told_at_its_end_and_by_status_until_another_process_sends_it(
    world: World,
) -> None:
    said = run_script(world, "m/4")
    assert "3 calls of delay stay on disk in" in said
    assert "there is no model version m/4" in said
    said = run_script(world, "m/1", "fresh")
    assert "penstock deploy fresh --model m/1" in said
    (one,) = view_endpoint(world.project, "delay").undelivered
    assert one.sentence.startswith("3 calls wait on this machine's disk (1 batch, of m/4) since ")
    assert "there is no model version m/4" in one.why
    assert "the process that recorded them has ended" in one.why
    status = subprocess.run(
        [sys.executable, "-m", "penstock.cli", "-C", str(world.root), "monitor", "status"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "\nwaits   3 calls wait" in status.stdout
    assert "fresh: 3 calls wait" in status.stderr
    world.version(4)
    run_script(world, "m/1")
    wait_until(lambda: waits_for(world) == [])
    assert count(world) == 6


def test_what_is_on_its_way_is_not_told_as_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.base.clock import now_ms
    from penstock.serving.told.observations import ObservationBatch
    from penstock.watching.keeping import encoder

    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "tmp"))
    spool = Spool(tmp_path, "watch")
    data = encoder.encode(ObservationBatch(batch="b", endpoint="delay"))
    spool.put("delay", "b", now_ms(), data)
    assert list_undelivered(tmp_path) == ()
    spool.put("delay", "c", now_ms() - 60_000, data)
    assert [one.why for one in list_undelivered(tmp_path)] == ["a process that runs is sending them"]
    spool.after_fork()
    assert [one.batch_count for one in list_undelivered(tmp_path)] == [2]
