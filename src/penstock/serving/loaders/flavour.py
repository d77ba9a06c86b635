"""The role of a flavour: one library's models written, read, described and asked.

A flavour is an object, one for a library, named in the catalogue `penstock.records.flavours`. What is the same for
all (rows made of columns, outputs in the signature's shapes) is here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from penstock.base.errors import Invalid, PenstockError
from penstock.records.signature import Column, Signature
from penstock.serving.loaders.feeding import Feed, fit_output, make_feed
from penstock.serving.loaders.model import (
    Array,
    Columns,
    ModelFiles,
    Predictor,
    Rows,
    datatype_of,
    numpy_dtype,
)

Answer = Mapping[str, Array]


class Saving(Protocol):
    """What a flavour that holds other models may ask while it writes."""

    @property
    def inputs(self) -> Any:
        """Some rows of what the model takes, as the user gave them."""
        ...

    def save_part(self, model: Any, folder: Path, inputs: Any) -> dict[str, Any]:
        """Write another model as a folder of its own; return its flavour, options, signature, example and rows."""
        ...


class Flavour(ABC):
    """See the module. `name` is the key in the `MLmodel` file's `flavors`."""

    name: str
    suffixes: tuple[str, ...] = ()
    """Of files that hold a model of it alone, without a folder around."""

    @abstractmethod
    def takes(self, model: Any) -> bool:
        """Whether `save` can write this model."""

    @abstractmethod
    def save(self, model: Any, folder: Path, saving: Saving) -> dict[str, Any]:
        """Write the model's files into an existing folder; return its options. Equal models give equal bytes where
        the library allows it."""

    @abstractmethod
    def read(self, folder: Path, options: Mapping[str, Any], trusted: Sequence[str] | None = None) -> Any:
        """Return the library's own model.

        Args:
            trusted: types that a file which names its types may hold beside the library's; None trusts the folder.

        Raises:
            Refused: it holds others.
            Exception: whatever reading a damaged file raises.
        """

    @abstractmethod
    def answer(self, model: Any, rows: Any, wanted: frozenset[str] | None) -> Answer:
        """Ask a model about rows; return what it gives by output, one entry a row.

        Args:
            wanted: the outputs that are needed; None for all that the model can give.
        """

    def runs_code(self, options: Mapping[str, Any]) -> bool:
        """Whether reading it runs code of its own, as a pickle does."""
        return False

    def python_function(self, options: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return how MLflow's pyfunc loads the same files, or None where it cannot."""
        return None

    def file_options(self, path: Path) -> dict[str, Any]:
        """Return the options of a folder that holds just this file."""
        return {"data": path.name}

    def inputs_of(self, model: Any) -> tuple[Column, ...]:
        """Return what the model itself says it takes; nothing where it does not know."""
        return ()

    def outputs_of(self, model: Any) -> tuple[Column, ...]:
        """Return what the model itself says it gives; nothing where it has to be tried."""
        return ()

    def takes_matrix(self, model: Any) -> bool:
        """Whether numeric columns are given as one array: the model knows no names, or does not ask for them."""
        return True

    def feature_names(self, model: Any) -> Sequence[str] | None:
        """Return the names of its features in its order; None where it knows none."""
        return None

    def rows_for(self, rows: Rows, inputs: Sequence[Column]) -> Rows:
        """Return what kind of rows it is called with, given what it was saved with."""
        return rows

    def load(self, files: ModelFiles) -> Predictor:
        """Load a version's files.

        Raises:
            Invalid: they do not load, or cannot give the signature's outputs.
        """
        try:
            model = self.read(files.path, files.options)
        except Exception as error:
            raise does_not_load(files, f"{type(error).__name__}: {error}") from error
        return self.open(model, files)

    def open(self, model: Any, files: ModelFiles) -> Predictor:
        """Return the predictor of a model in memory; raises Invalid as `load`."""
        return FedPredictor(self, model, files)

    def try_folder(
        self,
        folder: Path,
        options: dict[str, Any],
        signature: Signature,
        rows: Rows,
        example: dict[str, list[Any]] | None,
    ) -> Signature:
        """Load what was just written and ask it about its rows; return the signature with its outputs.

        Raises:
            Exception: whatever the library says to a model or to rows that do not fit.
        """
        model = self.read(folder, options)
        files = ModelFiles(
            path=folder,
            name="the model",
            version=0,
            digest="",
            flavour=self.name,
            options=options,
            signature=signature,
            example=example,
            rows=rows,
        )
        predictor = self.open(model, files)
        columns = example_columns(predictor.signature, example)
        if columns is not None:
            predictor.predict(columns, row_count_of(predictor.signature, columns))
        return predictor.signature


def does_not_load(files: ModelFiles, reason: str) -> Invalid:
    """Return the error for a version that cannot be served."""
    return Invalid(
        f"{files.name} version {files.version} does not load: {reason}",
        code="serving.model_does_not_load",
        hint="load it where it was trained, with the same package versions, and register it again",
        model=files.name,
        version=files.version,
    )


def inside(folder: Path, name: object) -> Path:
    """Return a file of a model's folder; raises Invalid where the name leads out of it."""
    path = folder / str(name)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise Invalid(f"{path} lies outside of its model", code="serving.bad_path")
    return path


def scores(probabilities: Array) -> Array:
    """Return `probability` of what a classifier gives: of the second of two classes, else `(n, classes)`."""
    if probabilities.ndim == 2 and probabilities.shape[1] == 2:
        return np.ascontiguousarray(probabilities[:, 1])
    return probabilities


class FedPredictor:
    """A library's model behind the predictor's role: columns are made into its rows, its answer into outputs."""

    def __init__(self, flavour: Flavour, model: Any, files: ModelFiles) -> None:
        self.model = model
        self._flavour = flavour
        inputs = files.signature.inputs or flavour.inputs_of(model)
        if not inputs:
            raise does_not_load(files, "nothing says what it takes: save it with some rows (input_example=…)")
        given = Signature(inputs, files.signature.outputs)
        self._feed: Feed = make_feed(
            given,
            flavour.rows_for(files.rows, inputs),
            as_matrix=flavour.takes_matrix(model),
            order=flavour.feature_names(model),
        )
        self.signature, self._names = self._complete(given, files)
        self._wanted = frozenset(self._names.values())
        self._outputs = tuple((column, self._names[column.name]) for column in self.signature.outputs)

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
        usual = ("prediction", "probability")
        order = sorted(found, key=lambda name: usual.index(name) if name in usual else len(usual))
        found = {name: found[name] for name in order}
        added = [column for name, column in found.items() if name not in {*declared, *own.values()}]
        outputs = (*given.outputs, *added)
        return Signature(given.inputs, outputs), {**own, **{column.name: column.name for column in added}}

    def _tried(self, given: Signature, files: ModelFiles) -> tuple[Column, ...]:
        """Return the outputs that the model gives for its example, or for a row of zeros; none without numbers."""
        columns = example_columns(given, files.example)
        if columns is None:
            return ()
        row_count = row_count_of(given, columns)
        try:
            answer = self._flavour.answer(self.model, self._feed(columns, row_count), None)
        except PenstockError:
            raise
        except Exception as error:  # a model's own code may raise anything
            if files.example is None:
                return ()
            raise Invalid(
                f"{files.name} version {files.version} failed its self-test: {type(error).__name__}: {error}",
                code="serving.self_test_failed",
                hint="predict the same rows where the model was trained",
                model=files.name,
                version=files.version,
            ) from error
        return tuple(_output(name, np.asarray(values), row_count) for name, values in answer.items())

    def predict(self, columns: Columns, row_count: int) -> dict[str, Array]:
        """Return every output of the signature."""
        answer = self._flavour.answer(self.model, self._feed(columns, row_count), self._wanted)
        return {column.name: fit_output(answer[own], column, row_count) for column, own in self._outputs}


def _output(name: str, values: Array, row_count: int) -> Column:
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
