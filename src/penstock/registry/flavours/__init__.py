"""Writing model folders: rows into a signature, the model's files by its flavour, the description, and a trial.

What a flavour does is behind the role `FlavourWriter`; which there are is `penstock.records.flavours`. A model is
read back and asked about its rows before its folder appears: what was saved is what will be served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import msgspec

from penstock.base.errors import Conflict, Invalid, PenstockError
from penstock.base.replacing import appearing
from penstock.records.flavours import choose_flavour, flavour_for
from penstock.records.signature import Column, Signature
from penstock.registry.flavours.columns import example_of, input_columns
from penstock.registry.flavours.frames import Held, first_rows, hold_rows
from penstock.registry.package import MODEL_FILE, describe_model, write_description
from penstock.registry.signatures import write_example

EXAMPLE_ROWS = 5


class FlavourWriter(Protocol):
    """What writing asks of a flavour; see `penstock.serving.loaders.flavour.Flavour`."""

    name: str

    def save(self, model: Any, folder: Path, saving: Any) -> dict[str, Any]:
        """Write the model's files; return its options."""
        ...

    def python_function(self, options: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return how MLflow's pyfunc loads the same files."""
        ...

    def try_folder(
        self,
        folder: Path,
        options: dict[str, Any],
        signature: Signature,
        rows: str,
        example: Mapping[str, Any] | None,
    ) -> Signature:
        """Load what was written, ask it about the example; return the signature with its outputs."""
        ...


@dataclass(frozen=True)
class Saving:
    """What a flavour that holds other models asks while it writes."""

    inputs: Any

    def save_part(self, model: Any, folder: Path, inputs: Any) -> dict[str, Any]:
        """Write another model as a folder of its own; return what it says of itself."""
        save_model(model, folder, inputs)
        described = describe_model(folder)
        flavour = choose_flavour(described.flavours)
        return {
            "flavour": flavour,
            "options": described.flavours[flavour],
            "signature": msgspec.to_builtins(described.signature),
            "example": described.example,
            "rows": described.rows,
        }


def save_model(
    model: Any,
    path: str | Path,
    inputs: Any = None,
    *,
    input_example: Any = None,
    optional: Sequence[str] = (),
) -> None:
    """Write a model as a folder: of scikit-learn, XGBoost, LightGBM, CatBoost, ONNX, MLflow, or a class with `predict`.

    The signature is inferred from the rows and from what the model answers: columns or tensors in, `prediction` and,
    of a classifier, `probability` out. The same model gives the same folder where its library writes the same
    bytes. A save that fails or is killed leaves the folder as it was.

    Args:
        model: a fitted model.
        path: the folder to make; an existing model folder is replaced.
        inputs: some rows of what the model takes: a frame of pandas or polars, a mapping of columns or of tensors, a
            list of mappings, or an array (or lists) with a row an entry. A model is served with the kind of rows
            given here. Columns with missing values (null or NaN) become optional.
        input_example: the same under MLflow's name.
        optional: further columns of numbers a caller may leave out, and tensors whose values may be missing.

    Raises:
        Invalid: the model cannot score the rows, a column's type has no counterpart, or no flavour takes the model.
        Conflict: `path` exists and is not a model folder.
        Unavailable: the model's library is not installed.
    """
    folder = Path(path)
    if folder.exists() and (folder.is_file() or any(folder.iterdir())) and not (folder / MODEL_FILE).exists():
        raise Conflict(
            f"{folder} exists and is not a model folder",
            code="registry.not_a_model",
            hint="remove it, or save elsewhere",
        )
    rows = input_example if inputs is None else inputs
    if rows is None:
        raise Invalid(
            "saving a model needs some rows of what it takes",
            code="registry.no_inputs",
            hint="pass inputs=frame.head()",
        )
    flavour: FlavourWriter = flavour_for(model)
    # nulls beyond the first rows count for the signature; what is asked and written is the first rows
    held = hold_rows(rows, _names_of(model))
    if held.frame is not None and held.frame.is_empty():
        raise Invalid(
            "saving a model needs some rows of what it takes, and these are none",
            code="registry.no_inputs",
            hint="pass inputs=frame.head()",
        )
    columns = input_columns(held, set(optional))
    few = first_rows(rows, EXAMPLE_ROWS)
    example = example_of(_first(held), columns)
    with appearing(folder, force=True) as made:
        made.mkdir(parents=True)
        options = flavour.save(model, made, Saving(few))
        signature = Signature(columns, ())
        try:
            signature = flavour.try_folder(made, options, signature, held.kind, example)
        except PenstockError as error:
            raise _cannot_score(error.message, columns, held.kind) from error
        except Exception as error:  # a model's own code may raise anything
            raise _cannot_score(str(error), columns, held.kind) from error
        describe(made, flavour, options, signature, held.kind, example)


def describe(
    folder: Path,
    flavour: FlavourWriter,
    options: Mapping[str, Any],
    signature: Signature,
    rows: str,
    example: Mapping[str, Any] | None,
) -> None:
    """Write what a folder says of its files."""
    if example:
        write_example(folder, signature, example, rows)
    flavours = {flavour.name: options}
    other = flavour.python_function(options)
    if other is not None:
        flavours["python_function"] = other
    write_description(folder, flavours, signature, rows)


def _names_of(model: Any) -> Sequence[str]:
    names = getattr(model, "feature_names_in_", None)  # xgboost raises AttributeError where there are none
    return () if names is None else [str(name) for name in names]


def _first(held: Held) -> Held:
    if held.frame is not None:
        return replace(held, frame=held.frame.head(EXAMPLE_ROWS))
    return replace(held, tensors={name: array[:EXAMPLE_ROWS] for name, array in held.tensors.items()})


def _cannot_score(reason: str, columns: Sequence[Column], kind: str) -> Invalid:
    mixed = [column.name for column in columns if column.meaning == "boolean"]
    if mixed:
        names = ", ".join(map(repr, mixed))
        return Invalid(
            f"the model cannot score its own input rows: the booleans with missing values in {names} reach it as "
            f"{'pandas' if kind == 'pandas' else 'polars'}' type boolean where it is served, which it may not take: {reason}",
            code="registry.model_cannot_score",
            hint=f"fit it on {mixed[0]!r} as numbers (1, 0 and NaN: astype(float)) or as text, and pass such rows",
        )
    return Invalid(
        f"the model cannot score its own input rows: {reason}",
        code="registry.model_cannot_score",
        hint="pass rows like those it was fitted on; a model is called with the same kind of rows where it is served",
    )
