"""A model may work on the rows that it is given: what was asked stays as it was, for the record and for shadows."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import penstock
from patience import PATIENCE_S
from penstock.flows.models.folders import files_of_folder
from penstock.serving.codecs import decode_request
from penstock.serving.dataplane import DataPlane
from penstock.serving.deployments import Revision
from penstock.serving.loaders import ModelFiles, load_model
from penstock.serving.loaders.model import Array, Columns, Matrix
from penstock.serving.recorder import Exchange, Label, LabelCounts, RecorderState
from penstock.serving.repository import ModelRepository
from serving.own_models import InPlace

ROWS = np.array([[110.0, 100.0], [100.0, 130.0], [150.0, 105.0]])
FRAME = pd.DataFrame(ROWS, columns=["a", "b"])
PICTURES = ROWS.reshape(3, 2, 1)
SUMS = [10.0, 30.0, 55.0]


def scaled() -> Any:
    """Return a pipeline that scales in place, which no array functions answer for."""
    steps = make_pipeline(StandardScaler(copy=False), KNeighborsRegressor(n_neighbors=1))
    return steps.fit(ROWS.copy(), SUMS)


CASES: dict[str, tuple[Any, Any, Columns, Sequence[float]]] = {
    "array": (InPlace(), ROWS, {"input-0": ROWS}, SUMS),
    "frame": (InPlace(), FRAME, {"a": ROWS[:, 0], "b": ROWS[:, 1]}, SUMS),
    "frame of a matrix": (InPlace(), FRAME, Matrix(("a", "b"), ROWS), SUMS),
    "arrays": (
        InPlace(),
        {"picture": PICTURES, "age": ROWS[:, 0]},
        {"picture": PICTURES, "age": ROWS[:, 0]},
        [20.0, 30.0, 105.0],
    ),
    "scikit-learn": (scaled(), ROWS, {"input-0": ROWS}, SUMS),
}


def copied(columns: Columns, *, is_writeable: bool) -> Columns:
    """Return columns of their own, which a request's bytes are a view of where they cannot be written."""

    def copy(values: Array) -> Array:
        found = values.copy()
        found.flags.writeable = is_writeable
        return found

    if isinstance(columns, Matrix):
        return Matrix(columns.names, copy(columns.values_by_row))
    return {name: copy(values) for name, values in columns.items()}


def plain(columns: Mapping[str, Array]) -> dict[str, Any]:
    return {name: values.tolist() for name, values in columns.items()}


@pytest.mark.parametrize("is_writeable", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_what_was_asked_stays_as_it_was(case: str, tmp_path: Path, *, is_writeable: bool) -> None:
    model, inputs, columns, wanted = CASES[case]
    penstock.save_model(model, tmp_path / "model", inputs=inputs)
    predictor = load_model(files_of_folder(tmp_path / "model", "model", 1, "d"))
    asked = copied(columns, is_writeable=is_writeable)
    for _ in range(2):
        answer = predictor.predict(asked, len(ROWS))
        assert answer["prediction"].tolist() == pytest.approx(wanted)
        assert plain(asked) == plain(columns)


def test_a_classifier_that_is_asked_twice_answers_twice_about_the_same_rows(tmp_path: Path) -> None:
    """Its prediction was of rows that had been scaled for its probabilities, and were scaled again."""
    model = make_pipeline(StandardScaler(copy=False), KNeighborsClassifier(n_neighbors=1))
    penstock.save_model(model.fit(ROWS.copy(), [4, 5, 6]), tmp_path / "model", inputs=ROWS)
    predictor = load_model(files_of_folder(tmp_path / "model", "model", 1, "d"))
    answer = predictor.predict({"input-0": ROWS.copy()}, len(ROWS))
    assert answer["prediction"].tolist() == [4, 5, 6]
    assert [answer[f"probability_{one}"].tolist() for one in (4, 5, 6)] == np.eye(3).tolist()


def test_each_model_of_a_vote_is_asked_about_the_same_rows(tmp_path: Path) -> None:
    penstock.save_model(penstock.Vote(InPlace(), InPlace()), tmp_path / "vote", inputs=ROWS)
    predictor = load_model(files_of_folder(tmp_path / "vote", "vote", 1, "d"))
    assert predictor.predict({"input-0": ROWS.copy()}, len(ROWS))["prediction"].tolist() == SUMS


class Seen:
    """A recorder that keeps what it is told."""

    state = RecorderState(used_bytes=0, max_bytes=0, dropped={})

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    def record(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)

    def add_labels(self, endpoint: str, labels: Sequence[Label]) -> LabelCounts:
        return LabelCounts(unknown=len(labels))


@pytest.mark.parametrize("is_binary", [False, True])
def test_the_record_and_a_shadow_see_what_the_client_sent(tmp_path: Path, *, is_binary: bool) -> None:
    penstock.save_model(InPlace(), tmp_path / "model", inputs=ROWS)

    def fetch(_model: str, version: int) -> ModelFiles:
        return files_of_folder(tmp_path / "model", "model", version, f"{version}")

    repository, seen = ModelRepository(fetch), Seen()
    plane = DataPlane(repository, seen, seen, worker=1)
    revision = Revision(
        endpoint="e", endpoint_id=1, number=1, model="m", stable=1, canary=None, shadows=(2,), steps=(),
        created_ms=0, actor="a", reason="r", previous=None, cause={},
    )  # fmt: skip
    repository.expect(frozenset({"e"}))
    served = repository.apply(revision)
    tensor: dict[str, Any] = {"name": "input-0", "shape": list(ROWS.shape), "datatype": "FP64"}
    data = ROWS.tobytes() if is_binary else b""
    tensor |= (
        {"parameters": {"binary_data_size": len(data)}} if is_binary else {"data": ROWS.ravel().tolist()}
    )
    head = json.dumps({"inputs": [tensor]}).encode()

    async def ask() -> list[float]:
        length = len(head) if is_binary else None
        request, _ = decode_request(head + data, length, served.stable.signature, time.perf_counter())
        found = (await plane.infer("e", None, request)).tensors[0].values.tolist()
        async with asyncio.timeout(PATIENCE_S):
            while len(seen.exchanges) < 2:
                await asyncio.sleep(0.005)
        return [*found]

    try:
        assert asyncio.run(ask()) == SUMS
    finally:
        plane.close()
    assert {one.route for one in seen.exchanges} == {"stable", "shadow"}
    for one in seen.exchanges:
        assert (one.error, plain(one.inputs), one.outputs["prediction"].tolist()) == (
            None, {"input-0": ROWS.tolist()}, SUMS,
        )  # fmt: skip
