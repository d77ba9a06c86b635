"""The OpenAPI document of the endpoints that a serve process answers, with each model's own inputs and an example.

The example is a request that is answered as it stands: the rows that were saved with the model, or zeros.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

import penstock
from penstock.records.signature import DIMENSIONS_MAX, Column
from penstock.serving.dataplane import DataPlane
from penstock.serving.loaders.fed import example_columns
from penstock.serving.loaders.model import Array
from penstock.serving.repository import LoadedModel

EXAMPLE_ROWS = 2
_KINDS: dict[str, dict[str, Any]] = {
    "BOOL": {"type": "boolean"},
    "BYTES": {"type": ["string", "null"]},
    "FP16": {"type": ["number", "null"]},
    "FP32": {"type": ["number", "null"]},
    "FP64": {"type": ["number", "null"]},
}
_ERRORS = {
    "400": "The request is not right.",
    "401": "The caller is not known.",
    "403": "The caller may not do this.",
    "404": "There is no such endpoint or version.",
    "413": "The body is too large.",
    "415": "The body is of another type or encoding.",
    "429": "Too many requests wait.",
    "500": "The model failed.",
    "503": "The model is not loaded.",
    "504": "The time that the request had is over.",
}


def describe_endpoints(dataplane: DataPlane, names: Iterable[str]) -> dict[str, Any]:
    """Return the document.

    Raises:
        NotFound: no such endpoint.
        Unavailable: its model is not loaded yet.
    """
    paths: dict[str, Any] = {}
    for name in names:
        _, model = dataplane.resolve(name, None)
        base = f"/v2/models/{name}"
        asked = _request(model)
        paths[f"{base}/infer"] = {
            "post": _operation("infer", name, asked, {"$ref": "#/components/schemas/Answer"})
        }
        paths[base] = {"get": _operation("metadata", name, None, {"$ref": "#/components/schemas/Metadata"})}
        paths[f"{base}/ready"] = {
            "get": _operation("ready", name, None, {"$ref": "#/components/schemas/Ready"})
        }
        paths[f"{base}/feedback"] = {
            "post": _operation("feedback", name, _FEEDBACK, {"$ref": "#/components/schemas/Counts"})
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Penstock model server", "version": penstock.__version__},
        "paths": paths,
        "components": {"schemas": _SCHEMAS},
    }


def example_of(model: LoadedModel) -> dict[str, Any]:
    """Return a request that the model answers."""
    columns = example_columns(model.signature, model.example_rows)
    if columns is None:
        columns = {column.name: _blank(column) for column in model.signature.inputs}
    known = {column.name: column for column in model.signature.inputs}
    inputs = []
    for name, values in columns.items():
        column = known[name]
        shown = values[:EXAMPLE_ROWS] if column.shape[0] == -1 else values
        data = [None if isinstance(one, float) and one != one else one for one in shown.ravel().tolist()]  # noqa: PLR0124 - NaN
        inputs.append({"name": name, "shape": list(shown.shape), "datatype": column.datatype, "data": data})
    return {"inputs": inputs}


def _blank(column: Column) -> Array:
    return np.full(
        [max(1, size) for size in column.shape], "" if column.datatype == "BYTES" else 0, dtype=object
    )


def _request(model: LoadedModel) -> dict[str, Any]:
    inputs = [_input(column) for column in model.signature.inputs]
    schema = {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": _PARAMETERS,
            "inputs": {"type": "array", "items": {"anyOf": inputs}, "minItems": 1},
            "outputs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {"enum": [column.name for column in model.signature.outputs]},
                        "parameters": _PARAMETERS,
                    },
                },
            },
        },
    }
    return {"schema": schema, "example": example_of(model)}


def _input(column: Column) -> dict[str, Any]:
    item = _KINDS.get(column.datatype, {"type": "integer"})
    data: dict[str, Any] = {"type": "array", "items": item}
    if column.is_tensor:
        data = {"type": "array", "description": "flat or nested, in row-major order"}
    shape = [{"type": "integer", "minimum": 1} if size == -1 else {"const": size} for size in column.shape]
    return {
        "type": "object",
        "title": column.name,
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"const": column.name},
            "datatype": {"const": column.datatype},
            "shape": {"type": "array", "prefixItems": shape, "maxItems": DIMENSIONS_MAX},
            "data": data,
        },
    }


def _operation(verb: str, name: str, asked: dict[str, Any] | None, answer: dict[str, Any]) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    responses: dict[str, Any] = {
        status: {"description": told, "content": error} for status, told in _ERRORS.items()
    }
    responses["200"] = {"description": "Answered.", "content": {"application/json": {"schema": answer}}}
    if verb == "ready":
        responses["503"] = {**responses["200"], "description": "It does not serve."}
    operation: dict[str, Any] = {"operationId": f"{verb}_{name}", "tags": [name], "responses": responses}
    if asked is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": asked}}
    return operation


_PARAMETERS = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
_TENSORS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"type": "string"},
            "datatype": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": -1}},
        },
    },
}
_FEEDBACK = {
    "schema": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["prediction_id", "label"],
            "properties": {"prediction_id": {"type": "string"}, "label": {}, "by": {"type": "string"}},
        },
    }
}
_SCHEMAS: dict[str, Any] = {
    "Error": {
        "type": "object",
        "required": ["error", "code"],
        "properties": {name: {"type": "string"} for name in ("error", "code", "hint")},
    },
    "Metadata": {
        "type": "object",
        "required": ["name", "versions", "platform", "inputs", "outputs"],
        "properties": {"name": {"type": "string"}, "inputs": _TENSORS, "outputs": _TENSORS},
    },
    "Ready": {
        "type": "object",
        "required": ["name", "ready"],
        "properties": {"name": {"type": "string"}, "ready": {"type": "boolean"}},
    },
    "Counts": {
        "type": "object",
        "required": ["accepted", "rejected"],
        "properties": {"accepted": {"type": "integer"}, "rejected": {"type": "array"}},
    },
    "Answer": {
        "type": "object",
        "required": ["model_name", "model_version", "id", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": _PARAMETERS,
            "outputs": _TENSORS,
        },
    },
}
