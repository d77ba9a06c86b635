"""What a model answers for rows; where it fails, which rows it fails for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from penstock.base.errors import Invalid
from penstock.base.numbers import counted
from penstock.serving.loaders import Predictor
from penstock.serving.loaders.model import Array

ALONE_MAX = 200
"""Rows that are asked about alone and all fail, before the model is taken for broken."""


class Answerer(Protocol):
    """Who asks the model. `submit` may begin at once or wait for the call of what it returns; answers do not differ."""

    ahead: int
    """How many parts may be submitted before the first is waited for."""

    def submit(self, columns: dict[str, Array], count: int) -> Callable[[], Answered]:
        """Ask about `count` rows; calling what is returned gives the answers, or raises as `answer`."""

    def close(self) -> None:
        """End what was begun."""


class Here:
    """Asks in this process, one part after the other."""

    ahead = 0

    def __init__(self, model: Predictor, called: str) -> None:
        self._model, self._called = model, called

    def submit(self, columns: dict[str, Array], count: int) -> Callable[[], Answered]:
        """Ask when the answers are waited for."""

        def ask() -> Answered:
            started = time.perf_counter()
            answered = answer(self._model, columns, count, self._called)
            answered.seconds = time.perf_counter() - started
            return answered

        return ask

    def close(self) -> None:
        """Nothing was begun."""


@dataclass
class Answered:
    """Answers by output; `rows` are the places of those that were asked, `failed` says of the others why."""

    outputs: dict[str, Array]
    rows: npt.NDArray[np.int64]
    failed: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0


def answer(model: Predictor, columns: dict[str, Array], count: int, called: str) -> Answered:
    """Ask a model about `count` rows; those that it fails for are found by halves and left out.

    Raises:
        Invalid: it answers not as many rows as it was asked, or none of many.
    """
    if not count:
        return Answered({}, np.arange(0))
    try:
        outputs = _ask(model, columns, count, called)
    except Invalid:
        raise
    except Exception:  # noqa: BLE001 - the model's own; which rows it is about is found below
        return _by_halves(model, columns, count, called)
    return Answered(outputs, np.arange(count))


def _ask(model: Predictor, columns: dict[str, Array], count: int, called: str) -> dict[str, Array]:
    outputs = {name: np.asarray(values) for name, values in model.predict(columns, count).items()}
    for name, values in outputs.items():
        if values.ndim < 1 or len(values) != count:
            raise Invalid(
                f"{called} answered {counted(len(values) if values.ndim else 1, 'value')} of {name!r} for {counted(count, 'row')}",
                code="batch.other_count",
                hint="it has to answer every row for itself",
            )
    return outputs


def _by_halves(model: Predictor, columns: dict[str, Array], count: int, called: str) -> Answered:
    found: list[tuple[int, dict[str, Array]]] = []
    failed: dict[int, str] = {}
    waiting = [(0, count)]
    while waiting:
        begin, end = waiting.pop()
        part = {name: values[begin:end] for name, values in columns.items()}
        try:
            found.append((begin, _ask(model, part, end - begin, called)))
        except Invalid:
            raise
        except Exception as error:  # noqa: BLE001 - the model's own; it is told with the row
            if end - begin > 1:
                middle = (begin + end) // 2
                waiting += [(middle, end), (begin, middle)]
                continue
            failed[begin] = f"the model failed: {type(error).__name__}: {str(error)[:120]}"
            if len(failed) >= ALONE_MAX and not found:
                raise Invalid(
                    f"{called} fails for each of the first {ALONE_MAX} rows: {failed[begin]}",
                    code="batch.model_fails",
                    hint="penstock model verify, or try it on one row with penstock serve",
                ) from None
    names = list(found[0][1]) if found else []
    outputs = {name: np.concatenate([one[name] for _, one in found]) for name in names}
    rows = np.array(sorted(set(range(count)) - set(failed)), dtype=np.int64)
    return Answered(outputs, rows, failed)
