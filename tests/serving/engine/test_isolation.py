"""What hangs, floods or has left costs nobody else anything."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from patience import PATIENCE_S
from penstock.monitoring.settings import TrafficSettings
from penstock.processes.traffic import limits_of
from penstock.serving import call
from penstock.serving.engine import engine
from penstock.serving.engine.engine import SHADOW_WEIGHT
from penstock.serving.engine.options import EndpointLimits, EngineOptions
from penstock.serving.loaders.model import Array
from serving.engine.staging import Held, Stage, answers, body, settled
from stories.live import wait_until

SOON = EndpointLimits(timeout_s=4.0)
"""What hangs is given up soon, and what does not is answered by then on a busy machine too."""
FOREVER = EndpointLimits(timeout_s=10 * PATIENCE_S)
Make = Callable[..., Stage]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make stages that are ended with the test."""
    made: list[Stage] = []

    def begin(*options: EngineOptions, **limits: Any) -> Stage:
        made.append(Stage(*options, **limits))
        return made[-1]

    yield begin
    for stage in made:
        stage.close()


def double(x: Array) -> Array:
    return 2 * x


def test_a_hung_canary_stops_nothing_and_is_seen_as_an_error_of_its_route(make: Make) -> None:
    stage, canary = make(a=SOON), Held()
    stage.serve("a", double, canary, canary=50.0)
    stage.serve("b", double)
    canary.go.clear()
    asked = [stage.ask_soon("a", float(number)) for number in range(20)]
    wait_until(lambda: canary.begun > 4)
    assert httpx.get(f"{stage.url}/v2/health/live").json() == {"live": True}
    assert answers(stage.ask("b", 3.0)) == [6.0]
    statuses = [one.status_code for one in settled(asked)]
    assert (statuses.count(200) + statuses.count(504), statuses.count(200) >= 8) == (20, True)
    wait_until(lambda: len(stage.errors("a")) == statuses.count(504))
    assert set(stage.errors("a")) == {("canary", "deadline")}
    canary.go.set()


def test_a_hung_stable_version_leaves_the_canary_and_other_endpoints_alone(make: Make) -> None:
    stage, stable = make(a=SOON), Held()
    stage.serve("a", stable, double, canary=50.0)
    stage.serve("b", double)
    stable.go.clear()
    asked = [stage.ask_soon("a", 1.0) for _ in range(8)]
    assert answers(stage.ask("b", 1.0)) == [2.0]
    statuses = sorted(one.status_code for one in settled(asked))
    assert (set(statuses), statuses.count(200) >= 3) == ({200, 504}, True)
    stable.go.set()
    assert [stage.ask("a", 1.0).status_code for _ in range(4)] == [200] * 4


def test_a_prediction_that_hangs_does_not_take_its_model_along(make: Make) -> None:
    stage, go = make(EngineOptions(threads=1), a=EndpointLimits(timeout_s=2.0)), threading.Event()

    def hang_on_nine(x: Array) -> Array:
        if 9.0 in x:
            go.wait(PATIENCE_S)
        return 2 * x

    stage.serve("a", hang_on_nine)
    assert [stage.ask("a", 9.0).status_code for _ in range(2)] == [504] * 2
    assert answers(stage.ask("a", 4.0)) == [8.0]
    go.set()


def test_predictions_that_hang_do_not_take_their_model_along_when_their_clients_leave(make: Make) -> None:
    """Before, only a deadline that passed let spare threads take over."""
    stage, go, seen = make(EngineOptions(max_rows=1), a=FOREVER), threading.Event(), Counter[str]()
    hangs = threading.Event()

    def hang(x: Array) -> Array:
        if hangs.is_set():
            seen["begun"] += 1
            go.wait(PATIENCE_S)
            seen["ended"] += 1
        return 2 * x

    stage.serve("a", hang)
    hangs.set()
    leave = stage.ask_and_leave("a", 2)
    wait_until(lambda: seen["begun"] == 2)
    hangs.clear()
    leave()
    assert answers(stage.ask("a", 4.0)) == [8.0]
    assert seen["ended"] == 0
    go.set()


def test_clients_that_leave_what_is_slow_begin_no_more_threads_than_there_are_spares(make: Make) -> None:
    stage, slow = make(EngineOptions(threads=1, spare_threads=2, max_rows=1), a=FOREVER), Held()
    stage.serve("a", slow)
    slow.go.clear()
    before = slow.begun
    for count in range(3):
        leave = stage.ask_and_leave("a", 1)
        wait_until(lambda count=count: slow.begun == before + count + 1)
        (lane,) = (one for _, one in stage.plane.engine._own(stage.repository.served["a"].stable))
        leave()
        wait_until(lambda lane=lane, count=count: (lane.busy, lane.stuck) == (0, count + 1))
    last = stage.ask_soon("a", 1.0)
    wait_until(lambda: stage.waiting("a") == 1)
    assert not lane.can_start
    assert slow.begun == before + 3
    slow.go.set()
    assert answers(last.result()) == [2.0]
    wait_until(lambda: (lane.busy, lane.stuck) == (0, 0))


def test_who_waited_too_long_is_told_what_set_the_time(make: Make) -> None:
    by_policy = limits_of(TrafficSettings(timeout_s=0.02), 30.0)
    stage = make(a=by_policy, b=limits_of(TrafficSettings(), 0.02), c=EndpointLimits())
    held = Held()
    for name in "abc":
        stage.serve(name, held)
    held.go.clear()
    hints = {
        "a": "give it more time (traffic.timeout_s of the endpoint's policy is 0.02 s), or send fewer rows",
        "b": "give it more time (serve --timeout is 0.02 s), or send fewer rows",
        "c": "give it more time (parameter `timeout`, in microseconds, or the deadline of the gRPC call), "
        "or send fewer rows",
    }
    for name, hint in hints.items():
        late = stage.ask(name, 1.0, timeout=20_000 if name == "c" else 10_000_000)
        assert (late.status_code, late.json()["hint"]) == (504, hint)
    held.go.set()


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


RAISED = (
    StopIteration(3),
    KeyboardInterrupt(),
    SystemExit(3),
    asyncio.CancelledError(),
    GeneratorExit(),
    Mute(),
)


def raising_from_ten(x: Array) -> Array:
    for value in x:
        if value >= 10.0:
            raise RAISED[int(value) - 10]
    return 2 * x


def test_whatever_a_model_raises_its_caller_is_told_at_once_and_the_others_of_the_batch_are_answered(
    make: Make,
) -> None:
    for is_bounded in (False, True):
        held = Held()

        def ask(x: Array, held: Held = held) -> Array:
            held(x)
            return raising_from_ten(x)

        stage = make(EngineOptions(threads=1, inline_s=10), a=EndpointLimits(timeout_s=PATIENCE_S))
        stage.serve("a", ask, is_bounded=is_bounded)
        for number, error in enumerate(RAISED):
            told = stage.ask("a", 10.0 + number)
            assert (told.status_code, told.json()["code"]) == (500, "serving.model_failed"), error
            assert type(error).__name__ in told.json()["error"], error
        if is_bounded:
            continue
        held.go.clear()
        held.begun = 0
        first = stage.ask_soon("a", 1.0)
        wait_until(lambda held=held: held.begun > 0)
        asked = [stage.ask_soon("a", value) for value in (2.0, 10.0, 3.0, 15.0, 4.0)]
        wait_until(lambda stage=stage: stage.waiting("a") == 5)
        held.go.set()
        assert [one.status_code for one in settled([first, *asked])] == [200, 200, 500, 200, 500, 200]


def test_only_a_cheap_stable_model_without_code_of_its_own_runs_on_the_loop(make: Make) -> None:
    stage, stable, canary, own = make(EngineOptions(inline_s=10)), Held(), Held(), Held()
    stage.serve("a", stable, canary, canary=50.0, is_bounded=True)
    stage.serve("b", own)
    for model in (stable, canary, own):
        model.threads.clear()
    for _ in range(8):
        assert answers(stage.ask("a", 1.0)) == answers(stage.ask("b", 1.0)) == [2.0]
    assert (stable.threads, canary.threads, own.threads) == ({"stage"}, {"penstock-a"}, {"penstock-b"})


def test_requests_whose_clients_have_left_are_not_predicted(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LEFT_S", PATIENCE_S)  # all have left before another thread takes over
    stage, slow = make(EngineOptions(max_rows=1), a=EndpointLimits(backlog=1000)), Held()
    stage.serve("a", slow)
    stage.serve("b", double)
    slow.go.clear()
    before = slow.begun
    leave = stage.ask_and_leave("a", 700)
    wait_until(lambda: stage.waiting("a") >= 698)
    assert answers(stage.ask("b", 1.0)) == [2.0]
    leave()
    wait_until(lambda: stage.waiting("a") == 0)
    slow.go.set()
    assert answers(stage.ask("a", 1.0)) == [2.0]
    assert slow.begun - before == 3


def test_a_full_queue_is_told_with_when_to_retry_and_is_its_own_routes_error(make: Make) -> None:
    stage, slow = make(EngineOptions(threads=1, max_rows=1), a=EndpointLimits(backlog=2)), Held()
    stage.serve("a", slow)
    stage.serve("b", double)
    slow.go.clear()
    asked = [stage.ask_soon("a", 1.0)]
    wait_until(lambda: slow.begun > 4 and stage.waiting("a") == 0)
    asked += [stage.ask_soon("a", 1.0) for _ in range(2)]
    wait_until(lambda: stage.waiting("a") == 2)
    refused = stage.ask("a", 1.0)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert refused.json()["code"] == "serving.overloaded"
    assert answers(stage.ask("b", 1.0)) == [2.0]
    slow.go.set()
    assert [answers(one) for one in settled(asked)] == [[2.0]] * 3
    assert stage.errors("a") == [("stable", "overloaded")]


def test_a_hung_canarys_full_queue_refuses_no_stable_request(make: Make) -> None:
    stage, canary = make(a=EndpointLimits(backlog=20, timeout_s=6.0)), Held()
    stage.serve("a", double, canary, canary=50.0)
    canary.go.clear()
    statuses = [one.status_code for one in settled([stage.ask_soon("a", 1.0) for _ in range(60)])]
    assert statuses.count(200) >= 24
    assert 429 in statuses
    assert set(statuses) <= {200, 429, 504}
    assert {route for route, _ in stage.errors("a")} == {"canary"}
    canary.go.set()


def test_the_clients_own_timeout_holds_when_it_is_shorter(make: Make) -> None:
    stage, slow = make(), Held()
    stage.serve("a", slow)
    slow.go.clear()
    late = stage.ask("a", 1.0, timeout=50_000)
    assert (late.status_code, late.json()["code"]) == (504, "serving.deadline")
    assert stage.ask("a", 1.0, timeout="soon").status_code == 400
    slow.go.set()
    assert answers(stage.ask("a", 1.0, timeout=0)) == [2.0]


def test_a_deadline_that_a_caller_chose_too_short_is_no_fault_of_the_version(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, slow = make(), Held()
    stage.serve("a", slow)
    slow.go.clear()
    for short_s, limit in ((PATIENCE_S, 1), (0.2, 300_000)):
        monkeypatch.setattr(call, "ABANDONED_S", short_s)
        assert stage.ask("a", 1.0, timeout=limit).status_code == 504
    slow.go.set()
    assert answers(stage.ask("a", 1.0)) == [2.0]
    assert stage.errors("a") == [("stable", "deadline")]


def test_a_caller_that_waited_long_and_left_counts_as_an_error_of_the_route(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call, "ABANDONED_S", 0.1)
    stage, slow = make(), Held()
    stage.serve("a", slow)
    slow.go.clear()
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{stage.url}/v2/models/a/infer", json=body(1.0), timeout=1.2)
    wait_until(lambda: stage.errors("a") == [("stable", "abandoned")])
    slow.go.set()


def test_a_flood_of_one_endpoint_leaves_another_its_share(make: Make) -> None:
    stage = make(EngineOptions(slots=1, max_rows=1), a=EndpointLimits(backlog=2000))

    def busy(x: Array) -> Array:
        until = time.thread_time() + 0.01  # as long as the others' work takes on a busy machine
        while time.thread_time() < until:
            pass
        return 2 * x

    stage.serve("a", busy)
    stage.serve("b", double)
    leave = stage.ask_and_leave("a", 500)
    wait_until(lambda: stage.waiting("a") > 100)
    for _ in range(5):
        assert answers(stage.ask("b", 1.0)) == [2.0]
    assert stage.waiting("a") > 0
    leave()


def test_a_changed_weight_holds_for_what_is_served(make: Make) -> None:
    stage = make(EngineOptions(slots=1))
    engine = stage.plane.engine
    stage.serve("a", double, double, shadows=(2,))
    assert answers(stage.ask("a", 1.0)) == [2.0]
    wait_until(lambda: len(engine._shares) == 2)
    for weight in (10.0, 2.0):
        engine.limits = {"a": EndpointLimits(weight=weight)}
        assert answers(stage.ask("a", 1.0)) == [2.0]
        assert {is_shadow: one.weight for (_, is_shadow), one in engine._shares.items()} == {
            False: weight,
            True: weight * SHADOW_WEIGHT,
        }
