"""Signatures and example rows as MLflow's model folders hold them.

A signature is a list of columns, or, as soon as one of them is a tensor, a list of tensors. What has no name
is called `input-0`, `input-1`, …, and an only output `prediction`.
Source: MLflow 3 `mlflow/types/schema.py`, `mlflow/models/utils.py` (formats only).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from penstock.base.files import write_atomic
from penstock.records.signature import VECTOR, Column, Datatype, Signature

EXAMPLE_FILE = "input_example.json"
MEANINGS_KEY = "penstock_meanings"
"""In `metadata`: what values of columns are where the wire has no type for it."""
ZONES_KEY = "penstock_zones"
"""In `metadata`: the time zones of columns of times, of which MLflow's schema knows nothing."""
MISSING_KEY = "penstock_missing"
"""In `metadata`: the tensors whose values may be missing, for which MLflow's schema of a tensor has no word."""
_TYPE_OF_DATATYPE: dict[str, str] = {
    "BOOL": "boolean",
    "INT8": "integer",
    "INT16": "integer",
    "UINT8": "integer",
    "UINT16": "integer",
    "INT32": "integer",
    "UINT32": "long",
    "INT64": "long",
    "UINT64": "long",
    "FP16": "float",
    "FP32": "float",
    "FP64": "double",
    "BYTES": "string",
}
_DATATYPE_OF_TYPE: dict[str, Datatype] = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
    "datetime": "BYTES",
}
_DATATYPE_OF_DTYPE: dict[str, Datatype] = {
    "bool": "BOOL",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "object": "BYTES",
    "str": "BYTES",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
}
_DTYPE_OF_DATATYPE = {datatype: name for name, datatype in _DATATYPE_OF_DTYPE.items() if name != "str"}


def parse_signature(document: Mapping[str, Any], metadata: Mapping[str, Any]) -> Signature:
    """Return the signature of an `MLmodel` file.

    Raises:
        LookupError, TypeError, ValueError: it is something else, or has a type that the wire does not know.
    """
    meanings = metadata.get(MEANINGS_KEY) or {}
    zones = metadata.get(ZONES_KEY) or {}
    missing = {str(name) for name in metadata.get(MISSING_KEY) or ()}
    inputs = json.loads(document["inputs"]) if document.get("inputs") else []
    outputs = json.loads(document["outputs"]) if document.get("outputs") else []
    taken = (
        _column(item, f"input-{index}", str(meanings.get(item.get("name"), "")))
        for index, item in enumerate(inputs)
    )
    return Signature(
        tuple(
            msgspec.structs.replace(
                one,
                required=one.required and one.name not in missing,
                zone=str(zones.get(one.name, "")),
            )
            for one in taken
        ),
        tuple(
            _column(item, "prediction" if len(outputs) == 1 else f"output-{index}")
            for index, item in enumerate(outputs)
        ),
    )


def _column(item: Mapping[str, Any], default: str, meaning: str = "") -> Column:
    name = str(item["name"]) if item.get("name") not in (None, "") else default
    kind = item["type"]
    if kind == "tensor":
        spec = item["tensor-spec"]
        dtype = _DATATYPE_OF_DTYPE.get(spec["dtype"])
        if dtype is None:
            raise ValueError(f"{name!r} is a tensor of {spec['dtype']}, which has no counterpart on the wire")
        shape = tuple(int(size) for size in spec["shape"]) or VECTOR
        return Column(name, dtype, bool(item.get("required", True)), shape)
    if kind not in _DATATYPE_OF_TYPE:
        raise ValueError(f"{name!r} is of type {kind}, which has no counterpart on the wire")
    if kind == "datetime" and not meaning:
        meaning = "datetime"
    built = {
        "name": name,
        "datatype": _DATATYPE_OF_TYPE[kind],
        "required": bool(item.get("required", True)),
        "meaning": meaning,
    }
    return msgspec.convert(built, Column)


def signature_document(signature: Signature, rows: str = "polars") -> dict[str, Any]:
    """Return a signature as `MLmodel` holds it; `rows` is what the model is called with."""
    outputs = _schema(signature.outputs, any(column.is_tensor for column in signature.outputs))
    return {"inputs": _inputs(signature, rows), "outputs": outputs, "params": None}


def _inputs(signature: Signature, rows: str) -> str:
    inputs = signature.inputs
    if _are_tensors(signature, rows) and len(inputs) == 1 and inputs[0].name == "input-0":
        spec = _tensor(inputs[0])  # with a name, MLflow would make an array a mapping
        return json.dumps([{key: value for key, value in spec.items() if key != "name"}])
    return _schema(inputs, _are_tensors(signature, rows))


def meanings_document(signature: Signature, rows: str = "polars") -> dict[str, Any]:
    """Return the entries of `metadata` for inputs of which MLflow's schema cannot say what their values are."""
    found = {column.name: column.meaning for column in signature.inputs if column.meaning}
    missing = [
        column.name for column in signature.inputs if not column.required and _are_tensors(signature, rows)
    ]
    zones = {column.name: column.zone for column in signature.inputs if column.zone}
    entries = {MEANINGS_KEY: found, MISSING_KEY: missing, ZONES_KEY: zones}
    return {key: value for key, value in entries.items() if value}


def _schema(columns: Sequence[Column], are_tensors: bool) -> str:
    if are_tensors:
        return json.dumps([_tensor(column) for column in columns])
    return json.dumps(
        [
            {
                "type": "datetime"
                if column.meaning in {"date", "datetime"}
                else _TYPE_OF_DATATYPE[column.datatype],
                "name": column.name,
                "required": column.required,
            }
            for column in columns
        ]
    )


def _are_tensors(signature: Signature, rows: str) -> bool:
    """Whether MLflow is told of tensors as inputs, also where they have one dimension: of a model called with arrays."""
    return rows == "numpy" or any(column.is_tensor for column in signature.inputs)


def _tensor(column: Column) -> dict[str, Any]:
    spec = {"dtype": _DTYPE_OF_DATATYPE[column.datatype], "shape": list(column.shape)}
    return {"type": "tensor", "name": column.name, "tensor-spec": spec}


def example_information(signature: Signature, rows: str = "polars") -> dict[str, Any]:
    """Return what `MLmodel` says of the example file."""
    if not _are_tensors(signature, rows):
        return {"artifact_path": EXAMPLE_FILE, "pandas_orient": "split", "type": "dataframe"}
    return {"artifact_path": EXAMPLE_FILE, "format": "tf-serving", "type": "ndarray"}


def write_example(
    folder: Path, signature: Signature, columns: Mapping[str, Any], rows: str = "polars"
) -> None:
    """Write a few rows beside the model: columns in MLflow's `split` orientation, tensors as `inputs`."""
    lists = {
        name: _plain(values.tolist() if isinstance(values, np.ndarray) else values)
        for name, values in columns.items()
    }
    if not _are_tensors(signature, rows):
        data = [list(row) for row in zip(*lists.values(), strict=True)]
        document: dict[str, Any] = {"columns": list(lists), "data": data}
    else:
        document = {"inputs": next(iter(lists.values())) if len(lists) == 1 else lists}
    write_atomic(folder / EXAMPLE_FILE, json.dumps(document).encode())


def _plain(values: Any) -> Any:
    if isinstance(values, list):
        return [_plain(value) for value in values]
    return None if isinstance(values, float) and not np.isfinite(values) else values


def read_example(folder: Path, signature: Signature) -> dict[str, list[Any]] | None:
    """Return the example's inputs by name, or None where there is none that fits the signature."""
    path = folder / EXAMPLE_FILE
    if not path.is_file():
        return None
    document = json.loads(path.read_text(encoding="utf-8"))
    names = [column.name for column in signature.inputs]
    if isinstance(document, dict) and {"columns", "data"} <= set(document):
        return {
            str(name): [row[index] for row in document["data"]]
            for index, name in enumerate(document["columns"])
        }
    if isinstance(document, dict) and set(document) == {"data"} and names:
        return {name: [row[index] for row in document["data"]] for index, name in enumerate(names)}
    tensors = document.get("inputs") if isinstance(document, dict) else document
    if isinstance(tensors, list) and len(names) == 1:
        return {names[0]: tensors}
    if isinstance(tensors, dict):
        return {str(name): values for name, values in tensors.items() if isinstance(values, list)} or None
    return None
