"""Requests that are merged get what each would have got alone."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from patience import PATIENCE_S
from penstock.base.threads import begin
from penstock.serving.cost import EXPLORED_ROWS, Cost
from penstock.serving.engine.options import EngineOptions
from penstock.serving.loaders.model import Array
from serving.engine.staging import Held, Stage, answers, body, settled
from stories.live import wait_until


class Sized(Held):
    """Notes how many rows each prediction has; refuses rows below zero."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def __call__(self, x: Array) -> Array:
        self.sizes.append(len(x))
        self.go.wait(PATIENCE_S)
        if (x < 0).any():
            raise ValueError("below zero")
        return 2 * x


@pytest.fixture
def model() -> Sized:
    return Sized()


@pytest.fixture
def stage(model: Sized) -> Iterator[Stage]:
    made = Stage(EngineOptions(threads=1, batch_delay_s=60))
    made.serve("a", model)
    model.sizes.clear()
    yield made
    model.go.set()
    made.close()


def hold(stage: Stage, model: Sized) -> None:
    """Keep the model's only thread busy, so that what comes now waits."""
    model.go.clear()
    stage.ask_soon("a", 0.0)
    wait_until(lambda: model.sizes == [1])


def test_a_request_that_comes_alone_is_predicted_alone(stage: Stage, model: Sized) -> None:
    for number in range(5):
        assert answers(stage.ask("a", float(number))) == [2.0 * number]
    assert model.sizes == [1] * 5


def test_requests_that_wait_are_merged_and_each_gets_its_own_rows_and_id(stage: Stage, model: Sized) -> None:
    hold(stage, model)
    asked = [stage.ask_soon("a", *map(float, range(number + 1))) for number in range(3)]
    wait_until(lambda: stage.waiting("a") == 3)
    model.go.set()
    replies = settled(asked)
    assert [answers(one) for one in replies] == [[0.0], [0.0, 2.0], [0.0, 2.0, 4.0]]
    assert model.sizes == [1, 6]
    assert len({one.json()["id"] for one in replies}) == 3
    wait_until(lambda: len(stage.seen) == 4)
    assert sorted(one.row_count for one in stage.seen) == [1, 1, 2, 3]


def test_an_error_stays_with_the_request_that_caused_it(stage: Stage, model: Sized) -> None:
    hold(stage, model)
    asked = [stage.ask_soon("a", value) for value in (1.0, -1.0, 3.0)]
    wait_until(lambda: stage.waiting("a") == 3)
    model.go.set()
    good, bad, last = settled(asked)
    assert (answers(good), answers(last)) == ([2.0], [6.0])
    assert (bad.status_code, bad.json()["code"]) == (500, "serving.model_failed")
    assert model.sizes == [1, 3, 1, 1, 1]
    assert stage.errors("a") == [("stable", "model_failed")]


def test_requested_outputs_and_the_callers_ids_survive(stage: Stage, model: Sized) -> None:
    hold(stage, model)
    wanted = {"outputs": [{"name": "y"}], "id": "mine", **body(5.0)}
    url = f"{stage.url}/v2/models/a/infer"
    asked = [
        stage.ask_soon("a", 1.0),
        begin("client", lambda: httpx.post(url, json=wanted, timeout=PATIENCE_S)),
    ]
    wait_until(lambda: stage.waiting("a") == 2)
    model.go.set()
    first, reply = settled(asked)
    assert model.sizes == [1, 2]
    assert (answers(reply), reply.json()["id"], answers(first)) == ([10.0], "mine", [2.0])


def test_a_model_whose_rows_depend_on_each_other_is_never_merged(stage: Stage) -> None:
    held, sizes = Held(), []

    def centred(x: Array) -> Array:
        held(x)
        sizes.append(len(x))
        return x - x.mean()

    stage.serve("b", centred)
    held.go.clear()
    sizes.clear()
    asked = [stage.ask_soon("b", float(number)) for number in range(4)]
    wait_until(lambda: stage.waiting("b") == 3)
    held.go.set()
    assert [answers(one) for one in settled(asked)] == [[0.0]] * 4
    assert sizes == [1] * 4


def test_no_batch_is_larger_than_the_limit(model: Sized) -> None:
    stage = Stage(EngineOptions(threads=1, max_rows=2, batch_delay_s=60))
    stage.serve("a", model)
    model.sizes.clear()
    hold(stage, model)
    asked = [stage.ask_soon("a", 1.0) for _ in range(5)]
    wait_until(lambda: stage.waiting("a") == 5)
    model.go.set()
    settled(asked)
    stage.close()
    assert model.sizes == [1, 2, 2, 1]


def learned(fixed_s: float, row_s: float) -> Cost:
    cost = Cost()
    noise = np.random.default_rng(0)
    for _ in range(60):
        rows = int(noise.integers(1, 16))
        cost.add(rows, (fixed_s + rows * row_s) * float(noise.normal(1, 0.05)))
    return cost


def test_a_fixed_cost_is_shared_by_many_rows_and_none_by_none() -> None:
    shared = learned(110e-6, 0.1e-6).worthwhile_rows(0.02, 1024)
    assert shared > 256
    assert learned(4e-3, 1e-6).worthwhile_rows(0.02, 1024) > 256
    assert learned(0.0, 1e-3).worthwhile_rows(0.02, 1024) <= 4
    assert Cost().worthwhile_rows(0.02, 1024) == EXPLORED_ROWS


def test_a_batch_takes_no_longer_than_the_delay_allows() -> None:
    assert 16 <= learned(10e-3, 1e-3).worthwhile_rows(0.02, 1024) <= 25
    assert learned(0.3, 0.0).worthwhile_rows(0.02, 1024) > 64
    assert learned(50e-3, 40e-3).worthwhile_rows(0.02, 1024) == 1


def test_a_model_that_becomes_slower_is_learned_anew() -> None:
    cost = learned(1e-3, 0.0)
    for _ in range(200):
        cost.add(1, 10e-3)
    assert cost.estimate(1) == pytest.approx(10e-3, rel=0.05)
