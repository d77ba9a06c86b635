"""Answers that are none: counted answer by answer, whatever else comes in the same batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from penstock.base.clock import now_ms
from penstock.flows.production.live.ingesting import Ingest
from penstock.flows.production.live.summarising import summarise
from penstock.monitoring.guardrails.outputs import judge_outputs
from penstock.monitoring.profile import NumberColumn
from penstock.monitoring.quality.labels import score
from penstock.monitoring.quality.useless import useless_rows
from penstock.monitoring.settings import MonitorSettings
from penstock.monitoring.windows import Window, WindowKey, list_windows, merge_windows
from penstock.serving.recorder import Exchange
from penstock.serving.told.observations import parse_batch
from penstock.serving.told.values import answers_of
from projects import Sample
from serving.fixtures import released_root

__all__ = ["released_root"]
NAN = float("nan")


@pytest.fixture
def deployed(released_root: Path, tmp_path: Path) -> Any:
    """The sample project, whose endpoint `delay` serves `late/1`, of the classes 0 and 1."""
    sample = Sample.copy(released_root, tmp_path / "project")
    yield sample
    sample.close()


def exchange(index: int, answer: np.ndarray, name: str = "prediction") -> Exchange:
    return Exchange(
        endpoint="cost", revision=1, version=1, route="stable", time_ms=now_ms(), id=str(index), counter=index,
        inputs={}, outputs={name: answer}, row_count=len(answer), latency_s=0.001, error=None,
    )  # fmt: skip


def summarised(*answers: np.ndarray, name: str = "prediction") -> Window:
    told = [exchange(index, one, name) for index, one in enumerate(answers)]
    return summarise(WindowKey("cost", 0, 1, 1, "stable"), told, MonitorSettings(), None)


def test_a_text_among_answers_hides_no_answer_that_is_no_number() -> None:
    for text in (np.array(["n/a"], dtype=object), np.array(["n/a"])):
        found = summarised(*[np.array([NAN])] * 199, text)
        assert (found.nonfinite_row_count, found.nonfinite_count) == (199, 199), text.dtype
        assert next(judge_outputs(0.01, found)).breached


def test_what_is_no_probability_is_no_answer() -> None:
    answers = [np.array([one]) for one in (1.7, -0.2, NAN, 0.0, 1.0, 1 + 1e-9, 0.3)]
    assert summarised(*answers, name="probability").nonfinite_count == 3
    assert summarised(*answers, name="probability_gold").nonfinite_count == 3
    assert summarised(*answers, name="prediction").nonfinite_count == 1
    texts = [np.array(["often"], dtype=object), np.array([None], dtype=object)]
    assert summarised(*texts, name="probability").nonfinite_count == 2
    assert summarised(*texts, name="reason").nonfinite_count == 0


def test_a_number_beyond_any_size_is_no_answer() -> None:
    answers = [np.array([one]) for one in (1e76, -1e200, 1e70, 3.0)]
    assert summarised(*answers).nonfinite_count == 2
    assert summarised(*answers, name="reason").nonfinite_count == 0
    assert not useless_rows({"prediction": np.array([1e30], dtype="f4")}).any()


def test_a_probability_may_be_rounded_as_its_numbers_are() -> None:
    for dtype, values in (("f2", (1.001, -1e-3, 1.1, -0.1)), ("f4", (1 + 2e-7, -2e-7, 1.001, -0.001))):
        found = useless_rows({"probability": np.array(values, dtype=dtype)})
        assert found.tolist() == [False, False, True, True], dtype


def test_a_regression_may_call_a_number_a_probability_of_its_own() -> None:
    answers = {"prediction": np.array([3.2]), "probability_mm": np.array([12.0])}
    assert not useless_rows(answers).any()
    assert score(answers, [3.0]).metric("mae")[0] == pytest.approx(0.2), "its label counts"
    assert useless_rows(answers, ["mm", 3.2]).all(), "a class of that name has a probability"
    assert useless_rows({**answers, "prediction": np.array([3])}).all()
    assert useless_rows({**answers, "probability": np.array([1.7])}).all()
    assert useless_rows({**answers, "probability_mm": np.array([NAN])}).all()


def told(sample: Sample, *outputs: Any) -> Window:
    seen = [
        {"time_ms": now_ms(), "latency_s": 0.001, "inputs": {"hour": 7, "wind": 1.5, "carrier": "AA"}, "outputs": one}
        for one in outputs
    ]  # fmt: skip
    body = msgspec.msgpack.encode({"batch": "one", "endpoint": "delay", "observations": seen})
    Ingest(sample.project).take(parse_batch(body, is_packed=True))
    with sample.project.database.read() as connection:
        return merge_windows(list_windows(connection, "delay"))


def test_answers_of_a_service_that_its_model_could_not_give_are_counted(deployed: Sample) -> None:
    good = [{"prediction": 1, "probability": 0.7}, {"prediction": "0"}, 0.4, 1.0, None]
    odd = [
        {"prediction": "platinum"},
        {"prediction": 3},
        {"prediction": None, "probability": 0.2},
        {"probability": None},
        {"probability": "often"},
        {"probability": 1.7},
        "often",
        NAN,
    ]
    found = told(deployed, *good, *odd)
    assert (found.request_count, found.nonfinite_count) == (len(good) + len(odd), len(odd))
    column = found.outputs.column("probability")
    assert isinstance(column, NumberColumn), "one text makes no text of the other probabilities"


def test_a_probability_that_is_none_beside_an_answer_is_not_told() -> None:
    assert list(answers_of({"prediction": 1, "probability": None})[0]) == ["prediction"]
    assert list(answers_of({"probability": None})[0]) == ["probability"]
    assert list(answers_of({"prediction": None, "probability": None})[0]) == ["prediction", "probability"]
