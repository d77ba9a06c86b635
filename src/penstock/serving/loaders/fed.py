"""A library's model behind the predictor's role: columns are made into its rows, its answer into outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np

from penstock.base.errors import Invalid, PenstockError, described
from penstock.records.classes import PROBABILITY
from penstock.records.signature import Column, Signature
from penstock.serving.loaders.answers import as_array, check_wire, fit_output, fits
from penstock.serving.loaders.feeding import Feed, find_unknown_category, make_feed
from penstock.serving.loaders.model import (
    Array,
    Columns,
    ModelFiles,
    Parametrised,
    Rows,
    datatype_of,
    numpy_dtype,
)

Answer = Mapping[str, Array]
USUAL = ("prediction", PROBABILITY)


class Asked(Protocol):
    """What asking a model needs of its flavour; see `Flavour`."""

    def answer(self, model: Any, rows: Any, wanted: frozenset[str] | None) -> Answer:
        """Ask a model about rows."""
        ...

    def answer_with(
        self, model: Any, rows: Any, wanted: frozenset[str] | None, params: Mapping[str, Any]
    ) -> Answer:
        """Ask a model about rows, with values for its own parameters."""
        ...

    def parameters_of(self, model: Any) -> Mapping[str, Callable[[Any], Any]]:
        """Return the model's own parameters, with what checks a value."""
        ...

    def inputs_of(self, model: Any) -> tuple[Column, ...]:
        """Return what the model itself says it takes."""
        ...

    def outputs_of(self, model: Any) -> tuple[Column, ...]:
        """Return what the model itself says it gives."""
        ...

    def classes_of(self, model: Any) -> tuple[Any, ...] | None:
        """Return a classifier's classes in its order."""
        ...

    def is_bounded(self, model: Any) -> bool:
        """Whether a prediction always comes to an end."""
        ...

    def keeps_rows(self, model: Any) -> bool:
        """Whether a prediction leaves the rows that it is given as they are."""
        ...

    def takes_matrix(self, model: Any) -> bool:
        """Whether numeric columns are given as one array."""
        ...

    def feature_names(self, model: Any) -> Sequence[str] | None:
        """Return the names of its features in its order."""
        ...

    def rows_for(self, rows: Rows, inputs: Sequence[Column]) -> Rows:
        """Return what kind of rows it is called with."""
        ...


def does_not_load(files: ModelFiles, reason: str, hint: str | None = None) -> Invalid:
    """Return the error for a version that cannot be served; `hint` is what helps, where that is known."""
    return Invalid(
        f"{files.name} version {files.version} does not load: {reason}",
        code="serving.model_does_not_load",
        hint=hint or "load it where it was trained, with the same package versions, and register it again",
        model=files.name,
        version=files.version,
    )


class FedPredictor:
    """See the module. `feed` makes the model's rows, `outputs` pairs outputs with the model's own names of them."""

    def __init__(self, flavour: Asked, model: Any, files: ModelFiles) -> None:
        self.model = model
        self.classes = flavour.classes_of(model)
        self.is_bounded = flavour.is_bounded(model)
        self.parameters = flavour.parameters_of(model)
        self._flavour = flavour
        inputs = files.signature.inputs or flavour.inputs_of(model)
        if not inputs:
            raise does_not_load(files, "nothing says what it takes: save it with some rows (input_example=…)")
        given = Signature(inputs, files.signature.outputs)
        self.feed: Feed = make_feed(
            given,
            flavour.rows_for(files.rows, inputs),
            as_matrix=flavour.takes_matrix(model),
            order=flavour.feature_names(model),
            copies=not flavour.keeps_rows(model),
        )
        self._found_datatypes: dict[str, Any] = {}
        self.signature, self._names = self._complete(given, files)
        self._wanted = frozenset(self._names.values())
        self.outputs = tuple((column, self._names[column.name]) for column in self.signature.outputs)

    def _complete(self, given: Signature, files: ModelFiles) -> tuple[Signature, dict[str, str]]:
        """Return the signature with all that the model gives, and the model's own name of each output."""
        declared = {column.name: column for column in given.outputs}
        found = {
            column.name: column
            for column in self._flavour.outputs_of(self.model) or self._tried(given, files)
        }
        own = {name: name for name in declared}
        strange = [name for name in declared if name not in found]
        if found and strange:
            if len(declared) > 1 or "prediction" not in found:
                raise does_not_load(files, f"it cannot give the output {strange[0]!r}")
            own[strange[0]] = "prediction"
        order = sorted(found, key=lambda name: USUAL.index(name) if name in USUAL else len(USUAL))
        found = {name: found[name] for name in order}
        added = [column for name, column in found.items() if name not in {*declared, *own.values()}]
        told = (
            msgspec.structs.replace(one, datatype=self._found_datatypes.get(one.name, one.datatype))
            for one in given.outputs
        )
        outputs = (*told, *added)
        return Signature(given.inputs, outputs), {**own, **{column.name: column.name for column in added}}

    def _tried(self, given: Signature, files: ModelFiles) -> tuple[Column, ...]:
        """Return the outputs that the model gives for its example, or for a row of zeros; none without numbers."""
        columns = example_columns(given, files.example)
        if columns is None:
            return ()
        row_count = row_count_of(given, columns)
        try:
            answer = self._flavour.answer(self.model, self.feed(columns, row_count), None)
            arrays = {name: as_array(values) for name, values in answer.items()}
            found = tuple(_output(name, values, row_count) for name, values in arrays.items())
        except PenstockError:
            raise
        except Exception as error:  # a model's own code may raise anything
            if files.example is None:
                return ()
            raise Invalid(
                f"{files.name} version {files.version} failed its self-test: {described(error)}",
                code="serving.self_test_failed",
                hint="predict the same rows where the model was trained",
                model=files.name,
                version=files.version,
            ) from error
        self._note_misfits(given.outputs, arrays)
        return found

    def _note_misfits(self, declared: Sequence[Column], arrays: Answer) -> None:
        """Note the outputs that are declared of a type which does not hold what the model gives for them."""
        for column in declared:
            values = arrays.get(column.name, arrays.get("prediction") if len(declared) == 1 else None)
            if values is not None and values.ndim and not fits(values, column):
                self._found_datatypes[column.name] = datatype_of(values.dtype)

    def predict(self, columns: Columns, row_count: int) -> dict[str, Array]:
        """Return every output of the signature; raises Invalid for a category that the model does not know."""
        try:
            rows = self.feed(columns, row_count)
            if type(columns) is Parametrised:
                answer = self._flavour.answer_with(self.model, rows, self._wanted, columns.params)
            else:
                answer = self._flavour.answer(self.model, rows, self._wanted)
        except Exception as error:
            unknown = find_unknown_category(error, columns)
            if unknown is None:
                raise
            raise unknown from error
        return {column.name: fit_output(answer[own], column, row_count) for column, own in self.outputs}


def _output(name: str, values: Array, row_count: int) -> Column:
    check_wire(name, values)
    shape = values.shape
    if len(shape) == 2 and shape[1] == 1:
        shape = shape[:1]
    first = -1 if shape[:1] == (row_count,) else (shape or (1,))[0]
    return Column(name, datatype_of(values.dtype), shape=(first, *shape[1:]))


def row_count_of(signature: Signature, columns: Columns) -> int:
    """Return how many rows inputs stand for."""
    for column in signature.inputs:
        if column.name in columns and column.shape[0] == -1:
            return len(columns[column.name])
    return 1


def example_columns(signature: Signature, example: Mapping[str, Sequence[Any]] | None) -> Columns | None:
    """Return an example's rows as inputs, or one row of zeros; None for text without an example."""
    if example:
        known = {column.name: column for column in signature.inputs}
        return {
            name: _array(values, known[name]) for name, values in example.items() if name in known
        } or None
    if any(column.datatype == "BYTES" for column in signature.inputs):
        return None
    return {
        column.name: np.zeros([max(1, size) for size in column.shape], numpy_dtype(column.datatype))
        for column in signature.inputs
    }


def _array(values: Sequence[Any], column: Column) -> Array:
    dtype = numpy_dtype(column.datatype)
    if dtype.kind == "O" and not column.is_tensor:
        texts = np.empty(len(values), dtype=object)
        texts[:] = values
        return texts
    if dtype.kind == "f" and not column.is_tensor:
        values = [np.nan if value is None else value for value in values]
    return np.array(values, dtype=dtype)
