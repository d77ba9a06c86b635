"""Models of models: a chain (what one gives is what the next takes), and a vote of several on the same rows.

Each part is a model folder of its own inside, of whatever flavour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from penstock.base.errors import Invalid
from penstock.records.classes import PROBABILITY
from penstock.records.flavours import import_flavour
from penstock.records.signature import VECTOR, Signature
from penstock.serving.loaders.answers import as_datatype
from penstock.serving.loaders.fed import Answer, does_not_load, example_columns, row_count_of
from penstock.serving.loaders.flavour import Flavour, Saving, inside
from penstock.serving.loaders.model import Array, Columns, Matrix, ModelFiles, Predictor


class Chain:
    """Steps one after the other: pre-processing, model, post-processing. Pass it to `save_model` or `log_model`."""

    def __init__(self, *steps: Any) -> None:
        self.parts = steps


class Vote:
    """Several models asked about the same rows: the most frequent class, or the mean of numbers.

    `probability` is the mean where all give it; the prediction stays the majority's.
    """

    def __init__(self, *models: Any) -> None:
        self.parts = models


class ChainFlavour(Flavour):
    """Chains and votes."""

    name = "penstock_chain"

    def takes(self, model: Any) -> bool:
        """Whether it is one of the two, with parts."""
        return isinstance(model, Chain | Vote) and len(model.parts) > 0

    def save(self, model: Any, folder: Path, saving: Saving) -> dict[str, Any]:
        """Write every part as a folder, each with rows as it will see them."""
        rows, parts = saving.inputs, []
        for index, part in enumerate(model.parts):
            path = f"parts/{index}"
            described = saving.save_part(part, folder / path, rows)
            parts.append({"path": path, **described})
            if isinstance(model, Chain) and index < len(model.parts) - 1:
                predictor = _load_part(folder, parts[-1])
                columns = example_columns(predictor.signature, described["example"])
                if columns is None:
                    raise Invalid(f"step {index} has no example rows", code="registry.bad_inputs")
                rows = _as_rows(predictor.predict(columns, row_count_of(predictor.signature, columns)))
        return {"kind": type(model).__name__.lower(), "parts": parts}

    def brings_code(self, folder: Path, options: Mapping[str, Any]) -> bool:
        """Whether a part does."""
        return any(
            import_flavour(part["flavour"]).brings_code(inside(folder, part["path"]), part["options"])
            for part in options["parts"]
        )

    def read_with_code(
        self, folder: Path, options: Mapping[str, Any], trusted: Sequence[str] | None = None
    ) -> Any:
        """Read it: each part takes its own turn to import."""
        return self.read(folder, options, trusted)

    def read(self, folder: Path, options: Mapping[str, Any], trusted: Sequence[str] | None = None) -> Any:
        """Load every part; what is returned is asked with columns, as a predictor."""
        if trusted is not None:
            for part in options["parts"]:
                flavour = import_flavour(part["flavour"])
                flavour.read_with_code(inside(folder, part["path"]), part["options"], trusted)
        predictors = [_load_part(folder, part) for part in options["parts"]]
        return VotePredictor(predictors) if options["kind"] == "vote" else ChainPredictor(predictors)

    def answer(self, model: Any, rows: Any, wanted: frozenset[str] | None) -> Answer:
        """Ask it with columns."""
        answered: dict[str, Array] = model.predict(rows, len(next(iter(rows.values()))))
        return answered

    def open(self, model: Any, files: ModelFiles) -> Predictor:
        """Return the parts' own predictor."""
        lacking = [
            column.name
            for column in files.signature.outputs
            if column.name not in {one.name for one in model.signature.outputs}
        ]
        if lacking:
            raise does_not_load(files, f"it cannot give the output {lacking[0]!r}")
        predictor: Predictor = model
        return predictor


def _load_part(folder: Path, part: Mapping[str, Any]) -> Predictor:
    path = inside(folder, part["path"])
    files = ModelFiles(
        path=path,
        name=f"part {part['path']}",
        version=0,
        digest="",
        flavour=part["flavour"],
        options=part["options"],
        signature=msgspec.convert(part["signature"], Signature),
        example=part["example"],
        rows=part["rows"],
    )
    loaded: Predictor = import_flavour(files.flavour).load(files)
    return loaded


def _as_rows(outputs: Mapping[str, Array]) -> Any:
    """Return what a step gave as rows that the next one is saved with."""
    if len(outputs) == 1:
        return next(iter(outputs.values()))
    if all(values.ndim == 1 for values in outputs.values()):
        return pl.DataFrame(dict(outputs))
    return dict(outputs)


class ChainPredictor:
    """Steps one after the other."""

    def __init__(self, steps: Sequence[Predictor]) -> None:
        self._steps = steps
        self.classes: tuple[Any, ...] | None = getattr(steps[-1], "classes", None)
        self.is_bounded = all(getattr(step, "is_bounded", False) for step in steps)
        self.signature = Signature(steps[0].signature.inputs, steps[-1].signature.outputs)

    def predict(self, columns: Columns, row_count: int) -> dict[str, Array]:
        """Return what the last step gives."""
        outputs = self._steps[0].predict(columns, row_count)
        for step in self._steps[1:]:
            passed = _passed(outputs, step.signature)
            outputs = step.predict(passed, row_count_of(step.signature, passed))
        return outputs


def _passed(outputs: Mapping[str, Array], taking: Signature) -> Columns:
    """Return a step's outputs as the next one's inputs: by name, or the only one for the only one."""
    inputs = taking.inputs
    if all(column.name in outputs for column in inputs if column.must_be_sent):
        return {
            column.name: as_datatype(outputs[column.name], column)
            for column in inputs
            if column.name in outputs
        }
    if len(outputs) == 1:
        values = next(iter(outputs.values()))
        if len(inputs) == 1:
            return {inputs[0].name: as_datatype(values, inputs[0])}
        if values.ndim == 2 and values.shape[1] == len(inputs):
            return Matrix(tuple(column.name for column in inputs), values)
    raise Invalid(
        f"a step gives {', '.join(outputs)}, and the next one takes {', '.join(one.name for one in inputs)}",
        code="registry.bad_chain",
        hint="name the outputs of a step as the inputs of the next",
    )


class VotePredictor:
    """Several models on the same rows."""

    def __init__(self, models: Sequence[Predictor]) -> None:
        self._models = models
        self.classes: tuple[Any, ...] | None = getattr(models[0], "classes", None)
        self.is_bounded = all(getattr(one, "is_bounded", False) for one in models)
        first = models[0].signature
        given = [{column.name: column for column in one.signature.outputs} for one in models]
        if not all("prediction" in one for one in given):
            raise Invalid("a vote is of models that give `prediction`", code="registry.bad_chain")
        outputs = [given[0]["prediction"]]
        outputs += [
            column
            for name, column in given[0].items()
            if name.startswith(PROBABILITY) and all(name in one for one in given)
        ]
        self.signature = Signature(first.inputs, tuple(outputs))
        self._is_mean = outputs[0].datatype in {"FP64", "FP32", "FP16"} or outputs[0].shape != VECTOR

    def predict(self, columns: Columns, row_count: int) -> dict[str, Array]:
        """Return what they agree on."""
        answers = [one.predict(columns, row_count) for one in self._models]
        predictions = np.stack([answer["prediction"] for answer in answers])
        found = {"prediction": predictions.mean(axis=0) if self._is_mean else _most_frequent(predictions)}
        for column in self.signature.outputs[1:]:
            found[column.name] = np.mean([answer[column.name] for answer in answers], axis=0)
        return {column.name: as_datatype(found[column.name], column) for column in self.signature.outputs}


def _most_frequent(votes: Array) -> Array:
    """Return each column's most frequent value; of equally frequent ones the smallest."""
    classes, index = np.unique(votes, return_inverse=True)
    counts = np.apply_along_axis(np.bincount, 0, index.reshape(votes.shape), minlength=len(classes))
    chosen: Array = classes[counts.argmax(axis=0)]
    return chosen


FLAVOUR = ChainFlavour()
