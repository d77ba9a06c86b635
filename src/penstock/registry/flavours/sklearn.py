"""Write scikit-learn models as model folders, serialised by skops: loading one runs no code of its own.

Reading them back is `penstock.serving.loaders.sklearn`. The files are those of MLflow's sklearn flavour.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import sklearn
import skops.io

from penstock.base.errors import Conflict, Invalid
from penstock.base.replacing import appearing
from penstock.records.classes import CLASSES_MAX, PROBABILITY, probability_output
from penstock.records.signature import Column, Datatype, Signature
from penstock.registry.flavours.frames import as_frame
from penstock.registry.package import MODEL_FILE, write_description, write_example

EXAMPLE_ROWS = 5
MODEL_DATA = "model.skops"
SCHEMA_FILE = "schema.json"
ADDRESS = re.compile(r'(?<="__id__": )\d+|(?<="file": ")\d+(?=\.npy")|^\d+(?=\.npy$)')


def save_model(
    model: Any,
    path: str | Path,
    inputs: Any,
    *,
    optional: Sequence[str] = (),
) -> None:
    """Write a fitted scikit-learn model as a model folder.

    The signature is inferred: the inputs are the frame's columns (text, whole numbers, numbers,
    booleans), the outputs `prediction` and, for a binary classifier, `probability` of the second class;
    for one of up to 100 classes `probability_CLASS` of each.
    The same model gives the same folder, byte for byte.

    A save that fails or is killed leaves the folder as it was.

    Args:
        model: a fitted estimator that takes a frame with these columns.
        path: the folder to make; an existing model folder is replaced.
        inputs: some rows of what the model takes: a frame of pandas or polars, a mapping of columns, a list of
            mappings or an array `(n_rows, n_features)`; a numeric column with nulls becomes optional.
        optional: further numeric columns a caller may leave out; the model then sees NaN.

    Raises:
        Invalid: the model cannot score the rows, or a column's type has no counterpart.
        Conflict: `path` exists and is not a model folder.
    """
    folder = Path(path)
    if folder.exists() and any(folder.iterdir()) and not (folder / MODEL_FILE).exists():
        raise Conflict(
            f"{folder} exists and is not a model folder",
            code="registry.not_a_model",
            hint="remove it, or save elsewhere",
        )
    frame = as_frame(inputs, getattr(model, "feature_names_in_", ()))
    try:
        predicted = np.asarray(model.predict(frame.head(EXAMPLE_ROWS)))
    except Exception as error:
        raise Invalid(
            f"the model cannot score its own input rows: {error}",
            code="registry.model_cannot_score",
            hint="pass rows like those it was fitted on; a model is called with a polars frame, also where it is served",
        ) from error
    signature = Signature(_input_columns(frame, set(optional)), _output_columns(model, predicted))
    with appearing(folder, force=True) as made:
        made.mkdir()
        _write(made, model, frame, signature)


def _write(folder: Path, model: Any, frame: pl.DataFrame, signature: Signature) -> None:
    skops.io.dump(model, folder / MODEL_DATA)
    _make_reproducible(folder / MODEL_DATA)
    untrusted = skops.io.get_untrusted_types(file=folder / MODEL_DATA)
    flavour = {
        "pickled_model": MODEL_DATA,
        "serialization_format": "skops",
        "sklearn_version": sklearn.__version__,
        "skops_trusted_types": sorted(untrusted),
        "code": None,
    }
    pyfunc = {
        "loader_module": "mlflow.sklearn",
        "model_path": MODEL_DATA,
        "predict_fn": "predict",
    }
    write_example(folder, frame.head(EXAMPLE_ROWS).to_dict(as_series=False))
    write_description(folder, {"sklearn": flavour, "python_function": pyfunc}, signature)


def _make_reproducible(path: Path) -> None:
    """Rewrite a skops archive so that equal models are equal bytes.

    skops names arrays and references by memory addresses; they become numbers in order of appearance.
    Times and the order of members are fixed. Source: skops 0.16 `io/_utils.py`, `SaveContext.memoize`.
    """
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = members.pop(SCHEMA_FILE).decode()
    numbers: dict[str, str] = {}
    for address in ADDRESS.findall(schema):
        numbers.setdefault(address, str(len(numbers)))
    schema = ADDRESS.sub(lambda found: numbers[found[0]], schema)
    renamed = {
        ADDRESS.sub(lambda found: numbers.get(found[0], found[0]), name): data
        for name, data in members.items()
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in sorted([*renamed.items(), (SCHEMA_FILE, schema.encode())]):
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)


def _input_columns(inputs: pl.DataFrame, optional: set[str]) -> tuple[Column, ...]:
    unknown = optional - set(inputs.columns)
    if unknown:
        raise Invalid(
            f"no column is called {sorted(unknown)[0]!r}",
            code="registry.bad_signature",
            hint=f"columns: {', '.join(inputs.columns)}",
        )
    columns = []
    for name, dtype in inputs.schema.items():
        datatype = _datatype(name, dtype)
        is_optional = name in optional or inputs[name].null_count() > 0
        if is_optional:
            datatype = "FP64" if datatype in {"INT64", "FP64", "FP32"} else datatype
        if is_optional and datatype != "FP64":
            raise Invalid(
                f"column {name!r} has missing values and is not a number: only numbers may be left out",
                code="registry.bad_signature",
                hint="fill them before training",
            )
        columns.append(Column(name, datatype, not is_optional))
    return tuple(columns)


def _datatype(name: str, dtype: pl.DataType) -> Datatype:
    if dtype.is_integer():
        return "INT64"
    if dtype == pl.Float32:
        return "FP32"
    if dtype.is_float():
        return "FP64"
    if dtype == pl.Boolean:
        return "BOOL"
    if dtype in {pl.String, pl.Categorical, pl.Enum}:
        return "BYTES"
    raise Invalid(
        f"column {name!r} of type {dtype} has no counterpart on the wire",
        code="registry.bad_signature",
        hint="cast it to text or a number",
    )


def _output_columns(model: Any, predicted: Any) -> tuple[Column, ...]:
    kind = predicted.dtype.kind
    datatype: Datatype = (
        "INT64" if kind in "iu" else "FP64" if kind == "f" else "BOOL" if kind == "b" else "BYTES"
    )
    columns = [Column("prediction", datatype)]
    classes = list(getattr(model, "classes_", ())) if hasattr(model, "predict_proba") else []
    if len(classes) == 2:
        columns.append(Column(PROBABILITY, "FP64"))
    elif len(classes) <= CLASSES_MAX and all(np.ndim(one) == 0 for one in classes):
        columns += [Column(probability_output(one), "FP64") for one in classes]
    return tuple(columns)
