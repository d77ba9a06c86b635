"""`DataPlane`: what a request becomes without any transport: who answers, under which identity, and what is told."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from penstock.base.errors import Invalid, NotFound, Unavailable
from penstock.base.store.database import Database
from penstock.serving.codecs import InferRequest, InferResponse
from penstock.serving.dataplane import DataPlane
from penstock.serving.predictions.feedback import LabelItem
from penstock.serving.predictions.ids import parse_prediction_id
from penstock.serving.recorder import Exchange, Label, LabelCounts, RecorderState
from penstock.serving.repository import ModelRepository
from penstock.serving.tensors import Tensor
from serving.models import FolderSource, deploy


class Notes:
    """Keeps what the data plane tells, in memory: its two roles beside the one over a store."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.labels: list[Label] = []
        self.state = RecorderState(used_bytes=0, max_bytes=1, dropped={})

    def record(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)

    def add_labels(self, endpoint: str, labels: Sequence[Label]) -> LabelCounts:
        assert endpoint == "delay"
        self.labels += labels
        return LabelCounts(accepted=len(labels))


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def plane(database: Database, source: FolderSource, notes: Notes) -> Iterator[DataPlane]:
    """Serves `delay` at version 1; a test may apply other revisions."""
    repository = ModelRepository(source.fetch)
    repository.expect(frozenset({"delay", "waiting"}))
    repository.apply(deploy(database, "delay", 1))
    made = DataPlane(repository, notes, notes, worker=7, clock_ms=lambda: 1_700_000_000_000)
    yield made
    made.close()


def ask(rows: int = 1, **values: Any) -> InferRequest:
    """Return a request for some flights."""
    tensors = (
        Tensor("hour", "INT64", np.full(rows, 18)),
        Tensor("distance", "FP64", np.full(rows, 1000.0)),
        Tensor("carrier", "BYTES", np.array(["AA"] * rows, dtype=object)),
    )
    return InferRequest(**{"tensors": tensors, "received_s": time.perf_counter(), **values})


Infer = Callable[..., list[InferResponse]]


@pytest.fixture
def infer(plane: DataPlane) -> Iterator[Infer]:
    """Lets requests be answered, one after the other, on one event loop."""

    async def work(requests: Sequence[InferRequest], version: int | None) -> list[InferResponse]:
        return [await plane.infer("delay", version, request) for request in requests]

    with asyncio.Runner() as runner:
        yield lambda *requests, version=None: runner.run(work(requests, version))


def test_an_answer_has_an_identity_that_says_who_gave_it_and_is_told_with_it(
    infer: Infer, notes: Notes
) -> None:
    first, second = infer(ask(2, id="mine"), ask(1, outputs=("probability",)))
    assert (first.id, first.model_version) == ("mine", "1")
    assert [tensor.name for tensor in first.tensors] == ["prediction", "probability"]
    assert [tensor.name for tensor in second.tensors] == ["probability"]
    assert second.id == second.parameters["penstock-prediction-id"]
    identity = parse_prediction_id(second.id)
    assert (identity.time_ms, identity.worker, identity.route) == (1_700_000_000_000, 7, "stable")
    assert [one.id for one in notes.exchanges] == [first.parameters["penstock-prediction-id"], second.id]
    assert [(one.row_count, one.error, one.version) for one in notes.exchanges] == [
        (2, None, 1),
        (1, None, 1),
    ]


def test_a_request_that_fits_no_model_is_told_as_no_failure_of_it(infer: Infer, notes: Notes) -> None:
    wrong = Tensor("hour", "BYTES", np.array(["late"], dtype=object))
    cases: list[tuple[InferRequest, int | None, type[Exception], str]] = [
        (ask(outputs=("nothing",)), None, Invalid, "serving.unknown_output"),
        (ask(tensors=(wrong,)), None, Invalid, "serving."),
        (ask(parameters={"timeout": "soon"}), None, Invalid, "serving.bad_request"),
        (ask(), 9, NotFound, "serving.version_unknown"),
    ]
    for request, version, error, code in cases:
        with pytest.raises(error) as caught:
            infer(request, version=version)
        assert caught.value.code.startswith(code)  # type: ignore[attr-defined]
    assert [one for one in notes.exchanges if one.error is not None] == []


def test_the_canary_gets_its_share_and_a_named_version_the_route_that_it_has(
    plane: DataPlane, infer: Infer, notes: Notes, database: Database
) -> None:
    plane.repository.apply(deploy(database, "delay", 1, canary=(2, 25.0)))
    answers = infer(*(ask() for _ in range(80)))
    shares = Counter(one.parameters["penstock-route"] for one in answers)
    assert shares == {"stable": 60, "canary": 20}
    assert {one.model_version for one in answers if one.parameters["penstock-route"] == "canary"} == {"2"}
    (named,) = infer(ask(), version=2)
    assert named.parameters["penstock-route"] == "canary"
    assert Counter(one.route for one in notes.exchanges) == {"stable": 60, "canary": 21}


def test_what_is_ready_listed_and_described_follows_the_repository(plane: DataPlane, infer: Infer) -> None:
    assert plane.is_live() and not plane.is_ready()
    assert plane.is_model_ready("delay") and not plane.is_model_ready("waiting")
    states = {one["name"]: (one["state"], one["reason"]) for one in plane.repository_index()}
    assert states == {"delay": ("READY", ""), "waiting": ("UNAVAILABLE", "not loaded")}
    described = plane.model_metadata("delay")
    assert (described["versions"], described["platform"]) == (["1"], "penstock_sklearn")
    optional = [one["name"] for one in described["inputs"] if "parameters" in one]
    assert optional == ["wind"]
    plane.unload("delay")
    assert not plane.is_model_ready("delay")
    with pytest.raises(Unavailable):
        infer(ask())
    plane.load("delay")
    assert "delay" not in plane.repository.withheld
    for change in (plane.load, plane.unload):
        with pytest.raises(NotFound):
            change("nothing")


def test_labels_reach_the_prediction_that_they_name(plane: DataPlane, infer: Infer, notes: Notes) -> None:
    (answer,) = infer(ask())
    result = plane.feedback("delay", [LabelItem(prediction_id=answer.id, label=1)], sender="ada")
    assert result.accepted == 1
    (label,) = notes.labels
    assert (label.text, label.values, label.by) == (answer.id, [1], "ada")


def test_labels_are_taken_while_the_model_is_not_loaded_or_was_unloaded(
    plane: DataPlane, infer: Infer, notes: Notes
) -> None:
    (answer,) = infer(ask())
    deployed = plane.repository.revision_of("delay")
    plane.repository.expect(frozenset({"delay"}), {"delay": deployed})
    plane.unload("delay")
    assert plane.feedback("delay", [LabelItem(prediction_id=answer.id, label=1)]).accepted == 1
    fresh = DataPlane(ModelRepository(FolderSource().fetch), notes, notes, worker=8)
    try:
        fresh.repository.expect(frozenset({"delay"}), {"delay": deployed})
        assert not fresh.is_ready()
        assert fresh.feedback("delay", [LabelItem(prediction_id=answer.id, label=0)]).accepted == 1
        with pytest.raises(NotFound):
            fresh.feedback("nobody", [LabelItem(prediction_id=answer.id, label=0)])
    finally:
        fresh.close()
    assert [one.values for one in notes.labels] == [[1], [0]]
