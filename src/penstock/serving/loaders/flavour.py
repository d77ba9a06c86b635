"""The role of a flavour: one library's models written, read, described and asked.

A flavour is an object, one for a library, named in the catalogue `penstock.records.flavours`. What is the same for
all (rows made of columns, outputs in the signature's shapes) is in `fed`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from penstock.base.errors import Invalid, Unavailable, described
from penstock.records.classes import CLASSES_MAX, PROBABILITY, probability_output
from penstock.records.flavours import IMPORTS
from penstock.records.signature import Column, Signature
from penstock.serving.loaders.fed import Answer, FedPredictor, does_not_load, example_columns, row_count_of
from penstock.serving.loaders.model import (
    Array,
    ModelFiles,
    Predictor,
    Rows,
)
from penstock.serving.loaders.own_code import CODE, is_imported, keep_sources, own_code

CODE_MODULES = "code_modules"
"""The option that names the modules in `code` to import before a model is read."""


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

    def answer_with(
        self, model: Any, rows: Any, wanted: frozenset[str] | None, params: Mapping[str, Any]
    ) -> Answer:
        """Ask a model as `answer`, with checked values for some of what `parameters_of` names."""
        return self.answer(model, rows, wanted)

    def parameters_of(self, model: Any) -> Mapping[str, Callable[[Any], Any]]:
        """Return the parameters of its own that a request may give it values for, most have none.

        Each with what returns a value as the model takes it, or raises ValueError.
        """
        return {}

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

    def classes_of(self, model: Any) -> tuple[Any, ...] | None:
        """Return a classifier's classes in its order; None of what has none, or several lists of them."""
        classes = getattr(model, "classes_", None)
        if isinstance(classes, list | tuple) and not any(isinstance(one, np.ndarray) for one in classes):
            return tuple(classes)
        if not isinstance(classes, np.ndarray) or classes.ndim != 1:
            return None
        return tuple(classes.tolist())

    def is_bounded(self, model: Any) -> bool:
        """Whether a prediction always comes to an end, as where it runs the library's own code alone."""
        return False

    def keeps_rows(self, model: Any) -> bool:
        """Whether a prediction leaves the rows that it is given as they are; code of one's own may work in place."""
        return self.is_bounded(model)

    def takes_matrix(self, model: Any) -> bool:
        """Whether numeric columns are given as one array: the model knows no names, or does not ask for them."""
        return True

    def feature_names(self, model: Any) -> Sequence[str] | None:
        """Return the names of its features in its order; None where it knows none."""
        return None

    def rows_for(self, rows: Rows, inputs: Sequence[Column]) -> Rows:
        """Return what kind of rows it is called with, given what it was saved with."""
        return rows

    def read_with_code(
        self, folder: Path, options: Mapping[str, Any], trusted: Sequence[str] | None = None
    ) -> Any:
        """Return the library's own model as `read`, with the modules that its folder brings."""
        if not options.get("code"):
            with IMPORTS.held():
                return self.read(folder, options, trusted)
        with own_code(inside(folder, options["code"]), options.get(CODE_MODULES, ())):
            return self.read(folder, options, trusted)

    def brings_code(self, folder: Path, options: Mapping[str, Any]) -> bool:
        """Whether reading it runs code that this process has not run before: a pickle, or modules of its own."""
        if self.runs_code(options):
            return True
        return bool(options.get("code")) and not is_imported(inside(folder, options["code"]))

    def mend(self, error: Exception, options: Mapping[str, Any]) -> str | None:
        """Return what helps where reading it raised an error, as far as the flavour knows better than that."""
        return None

    def load(self, files: ModelFiles) -> Predictor:
        """Load a version's files.

        Raises:
            Invalid: they do not load, or cannot give the signature's outputs.
            Unavailable: another model's import that hangs holds modules of the same name.
        """
        try:
            model = self.read_with_code(files.path, files.options)
        except Unavailable:
            raise
        except Exception as error:
            raise does_not_load(files, described(error), self.mend(error, files.options)) from error
        with IMPORTS.held():
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
            Invalid: it takes a fixed number of rows.
            Exception: whatever the library says to a model or to rows that do not fit.
        """
        model = self.read_with_code(folder, options)
        _require_any_row_count(self.inputs_of(model), signature)
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


def _require_any_row_count(own: Iterable[Column], signature: Signature) -> None:
    """Raise Invalid where a model was exported for one number of rows, and its signature says any."""
    if not signature.inputs or any(column.shape[0] != -1 for column in signature.inputs):
        return
    for column in own:
        if column.shape[0] != -1:
            raise Invalid(
                f"its input {column.name!r} is {list(column.shape)}, so it answers no other number of rows than "
                f"{column.shape[0]}; export it with a dynamic first axis (dynamic_shapes of torch.export, dynamic_axes of "
                "torch.onnx.export)",
                code="registry.model_cannot_score",
            )


def code_options(modules: Iterable[str], folder: Path) -> dict[str, Any]:
    """Keep the sources of the user's own modules in a model's folder; return the options that say so."""
    kept = keep_sources(modules, folder / CODE)
    return {"code": CODE, CODE_MODULES: kept} if kept else {"code": None}


def inside(folder: Path, name: object) -> Path:
    """Return a file of a model's folder; raises Invalid where the name leads out of it."""
    path = folder / str(name)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise Invalid(f"{path} lies outside of its model", code="serving.bad_path")
    return path


def probabilities_of(values: Array, classes: Sequence[Any] | None) -> dict[str, Array]:
    """Return a classifier's probabilities by output.

    Of two classes it is `probability`, of the second; of more `probability_CLASS` of each. Classes that are not known
    or too many for that are left in one output `probability`, `(n, classes)`.
    """
    if values.ndim != 2:
        return {PROBABILITY: values}
    if values.shape[1] == 2:
        return {PROBABILITY: np.ascontiguousarray(values[:, 1])}
    if classes is None or len(classes) != values.shape[1] or len(classes) > CLASSES_MAX:
        return {PROBABILITY: values}
    return {probability_output(one): values[:, index] for index, one in enumerate(classes)}


def wants_probabilities(wanted: frozenset[str] | None) -> bool:
    """Whether any of the wanted outputs is a probability."""
    return wanted is None or any(name.startswith(PROBABILITY) for name in wanted)
