"""A chain or a vote for a program's own use: asked with the rows that `save_model` takes."""

from __future__ import annotations

from typing import Any

import msgspec
import polars as pl

from penstock.base.errors import Invalid
from penstock.flows.models.tables import table_inputs
from penstock.records.signature import Column, Signature
from penstock.registry.flavours.columns import example_of
from penstock.registry.flavours.frames import Held, hold_rows
from penstock.serving.loaders.chain import ChainPredictor, VotePredictor
from penstock.serving.loaders.fed import example_columns
from penstock.serving.loaders.model import Array, Columns, Predictor
from penstock.serving.matching import to_columns
from penstock.serving.tensors import Tensor


class Joined:
    """A loaded `penstock.Chain` or `penstock.Vote`; `predictor` is the serving part's own, asked with columns."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return self.predictor.signature

    def predict(self, rows: Any) -> dict[str, Array]:
        """Return every output by name, an entry a row.

        Args:
            rows: a frame of pandas or polars, a mapping of columns or of tensors, a list of mappings, or an array (or
                lists) with a row an entry, in the order of the inputs.

        Raises:
            Invalid: these are no rows of what it takes.
        """
        inputs = self.signature.inputs
        is_table = not any(column.is_tensor for column in inputs)
        held = hold_rows(rows, [column.name for column in inputs] if is_table else ())
        try:
            given = _columns(self.signature, held)
        except (TypeError, ValueError, AttributeError, pl.exceptions.PolarsError) as error:
            raise Invalid(
                f"these are not rows of a model's inputs: {type(error).__name__}: {error}",
                code="registry.bad_inputs",
                hint="pass rows like those it was saved with",
            ) from None
        kinds = {column.name: column.datatype for column in inputs}
        tensors = [Tensor(name, kinds[name], values) for name, values in given.items()]
        return self.predictor.predict(*to_columns(self.signature, tensors))


def asked_with_rows(model: Any) -> Any:
    """Return a loaded model as it is, a chain's or a vote's predictor as what is asked with rows."""
    return Joined(model) if isinstance(model, ChainPredictor | VotePredictor) else model


def _columns(signature: Signature, held: Held) -> Columns:
    """Return rows as inputs in the datatypes of a signature; inputs that they lack are left out."""
    inputs = signature.inputs
    if held.frame is None:
        tensors = held.tensors
        if len(inputs) == len(tensors) == 1:
            tensors = {inputs[0].name: next(iter(tensors.values()))}
        return example_columns(signature, {name: one.tolist() for name, one in tensors.items()}) or {}
    if len(inputs) == 1 and inputs[0].is_tensor:
        return table_inputs(signature, held.frame)
    frame = held.frame
    present = tuple(_as_given(one, frame[one.name]) for one in inputs if one.name in frame.columns)
    return example_columns(signature, example_of(held, present)) or {}


def _as_given(column: Column, series: pl.Series) -> Column:
    """Return a column of times as what its values are: text stays as it is, times without a zone get none."""
    if not series.dtype.is_temporal():
        return msgspec.structs.replace(column, meaning="", zone="")
    has_zone = isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone is not None
    return column if has_zone else msgspec.structs.replace(column, zone="")
