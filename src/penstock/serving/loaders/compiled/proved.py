"""Predictors that answer by array functions which were proved equal to a library's model; `shortcut` and `apart` make them.

Nothing here imports the library: it is asked for with the first rows that are its to answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.records.signature import Column, Signature
from penstock.serving.loaders.answers import as_datatype
from penstock.serving.loaders.compiled.estimator import CompiledEstimator
from penstock.serving.loaders.compiled.portable import Portable
from penstock.serving.loaders.compiled.table import NotCompiled, Table
from penstock.serving.loaders.fed import FedPredictor
from penstock.serving.loaders.flavour import probabilities_of, wants_probabilities
from penstock.serving.loaders.model import Array, Columns, Matrix


class Facts(Portable, frozen=True, kw_only=True):
    """What a predictor says of its model. `names` are its inputs in the estimator's order, `outputs` pairs each with the
    estimator's own name of it."""

    signature: Signature
    classes: tuple[Any, ...] | None
    is_bounded: bool
    names: tuple[str, ...]
    outputs: tuple[tuple[Column, str], ...]

    @classmethod
    def of(cls, library: FedPredictor, names: tuple[str, ...]) -> Facts:
        """Return what the library's predictor says."""
        return cls(
            signature=library.signature,
            classes=library.classes,
            is_bounded=library.is_bounded,
            names=names,
            outputs=library.outputs,
        )


class ShortcutPredictor:
    """A library's predictor behind functions that were proved equal to it.

    Args:
        library: returns the library's own predictor, which answers what the functions do not.
    """

    def __init__(
        self, facts: Facts, compiled: CompiledEstimator, library: Callable[[], FedPredictor]
    ) -> None:
        self.facts, self.compiled = facts, compiled
        self.signature = facts.signature
        self.classes = facts.classes
        self.is_bounded = facts.is_bounded
        self._library = library
        self._names = facts.names
        self._is_tensor = self.signature.inputs[0].is_tensor
        self._results = tuple((column.name, own, column) for column, own in facts.outputs)
        self._has_probabilities = wants_probabilities(frozenset(own for _, own, _ in self._results))

    @property
    def model(self) -> Any:
        """The library's own model."""
        return self._library().model

    def predict(self, columns: Columns, row_count: int) -> dict[str, Array]:
        """Return every output of the signature."""
        try:
            table = table_of(columns, self._names, row_count, is_tensor=self._is_tensor)
            answers = self._answers(table)
        except NotCompiled:
            return self._library().predict(columns, row_count)
        return {name: as_datatype(answers[own], column) for name, own, column in self._results}

    def _answers(self, table: Table) -> dict[str, Array]:
        """Return predictions and probabilities by output."""
        classes = self.compiled.classes
        if not self._has_probabilities or classes is None:
            return {"prediction": self.compiled.predict(table)}
        probabilities = self.compiled.predict_proba(table)
        found = probabilities_of(probabilities, self.classes)
        found["prediction"] = classes[probabilities.argmax(axis=1)]
        return found


def table_of(columns: Columns, names: tuple[str, ...], row_count: int, *, is_tensor: bool) -> Table:
    """Return a request's columns as the functions take them.

    Raises:
        NotCompiled: a column is absent.
    """
    if is_tensor:
        return Table.of_matrix(columns[names[0]])
    if type(columns) is Matrix and columns.names == names:
        return Table.of_matrix(columns.values_by_row)
    try:
        return Table.of_columns([columns[name] for name in names], row_count)
    except KeyError:
        raise NotCompiled("a column that is absent") from None
