"""The bodies of MLflow's scoring protocol, which `mlflow models serve` answers, as requests of the data plane.

A model's columns come as `dataframe_split`, `dataframe_records`, `instances`, `inputs` or CSV; columns that the
model does not have are left out, as MLflow does. Rows without names have the columns of the stable version, in its order.
Others are read as whichever version answers, or watches, takes them. `params` are for the model itself: where MLflow
leaves out those that it does not take, they are refused here, since their caller would not know.

Source:
    mlflow/mlflow, mlflow/pyfunc/scoring_server/__init__.py (formats only).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from penstock.base.errors import Invalid
from penstock.base.numbers import counted
from penstock.records.signature import Column, Signature
from penstock.serving.codecs import InferRequest, InferResponse, check_shape
from penstock.serving.tensors import Tensor, from_json, why_not_json, without_mark

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
JSON, CSV = "application/json", "text/csv"
PREDICTION = "prediction"


class _Split(msgspec.Struct):
    columns: list[str]
    data: list[list[Any]]


def decode_scoring(
    body: bytes,
    content_type: str,
    signature: Signature,
    received_s: float,
    others: Mapping[int, Signature] = MappingProxyType({}),
) -> InferRequest:
    """Read a scoring request.

    Args:
        signature: of the stable version.
        others: of versions that may be asked too and take other inputs, by number.

    Raises:
        Invalid: it is none, or of another content type (`scoring.content_type`).
    """
    kind, _, options = content_type.partition(";")
    charset = options.strip().lower().removeprefix("charset=").strip('"')
    kind = kind.strip().lower()
    if kind not in {JSON, CSV, ""} or charset not in {"", "utf-8", "utf8"}:
        raise Invalid(
            f"content type {content_type[:64]!r} is not supported",
            code="scoring.content_type",
            hint=f"send {JSON} or {CSV} in UTF-8",
        )
    params = None
    if kind == CSV:
        columns, tensor = _from_csv(body), _tensor_of_text
    else:
        document, form = _document(body)
        columns, params = _columns(document, form, signature), _params(document)
        tensor = _tensor
    known = {column.name: column for column in signature.inputs}
    read = {known[name]: tensor(known[name], values) for name, values in columns.items() if name in known}
    variants: dict[int, tuple[Tensor, ...] | Invalid] = {}
    for version, other in others.items():
        try:
            variants[version] = tuple(
                read.get(column) or tensor(column, columns[column.name])
                for column in other.inputs
                if column.name in columns
            )
        except Invalid as error:
            variants[version] = error
    return InferRequest(tensors=tuple(read.values()), params=params, received_s=received_s, variants=variants)


def encode_scoring(response: InferResponse) -> bytes:
    """Return the answer: the model's prediction for each row, or records where it has outputs of other names."""
    named = {tensor.name: tensor.values.tolist() for tensor in response.tensors}
    if PREDICTION in named or len(named) == 1:
        predictions: list[Any] = named.get(PREDICTION) or next(iter(named.values()))
    else:
        predictions = [dict(zip(named, row, strict=True)) for row in zip(*named.values(), strict=True)]
    return msgspec.json.encode({"predictions": predictions})


def _document(body: bytes) -> tuple[dict[str, Any], str]:
    """Return the object of a body, and which of the formats it has."""
    try:
        document = msgspec.json.decode(without_mark(memoryview(body)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad(f"the request is not JSON: {why_not_json(error, body)}") from None
    given = [name for name in FORMATS if isinstance(document, dict) and name in document]
    if len(given) != 1:
        raise _bad(f"the request is no JSON object with exactly one of {', '.join(FORMATS)}")
    return document, given[0]


def _params(document: Mapping[str, Any]) -> dict[str, Any] | None:
    params = document.get("params")
    if params is not None and not isinstance(params, dict):
        raise Invalid(
            "params is no JSON object of names and values",
            code="scoring.bad_params",
            hint='send {"inputs": […], "params": {"name": value}}',
        )
    return params


def _columns(document: Mapping[str, Any], form: str, signature: Signature) -> Mapping[str, list[Any]]:
    value = document[form]
    if form == "dataframe_split":
        return _split(value)
    if form == "dataframe_records" or _are_records(value):
        return _records(value)
    if form == "inputs" and isinstance(value, dict):
        return {name: one if isinstance(one, list) else [one] for name, one in value.items()}
    return _rows(value, signature)


def _split(value: Any) -> Mapping[str, list[Any]]:
    try:
        found = msgspec.convert(value, _Split)
    except msgspec.ValidationError as error:
        raise _bad(f"dataframe_split has columns and data: {error}") from None
    _require_once(found.columns, "dataframe_split")
    if any(len(row) != len(found.columns) for row in found.data):
        raise _bad(
            f"dataframe_split: a row has not as many values as there are columns ({len(found.columns)})"
        )
    return {name: [row[index] for row in found.data] for index, name in enumerate(found.columns)}


def _are_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _records(value: Any) -> Mapping[str, list[Any]]:
    if not _are_records(value):
        raise _bad("dataframe_records is a list with an object for each row")
    names = dict.fromkeys(name for row in value for name in row)
    return {name: [row.get(name) for row in value] for name in names}


def _rows(value: Any, signature: Signature) -> Mapping[str, list[Any]]:
    """Return the columns of rows without names: one input as it is, several in the order of the signature."""
    names = [column.name for column in signature.inputs]
    if not isinstance(value, list):
        raise _bad("instances and inputs hold rows: a list, or an object of lists")
    if len(names) == 1:
        is_wrapped = not signature.inputs[0].is_tensor and all(
            isinstance(row, list) and len(row) == 1 for row in value
        )
        return {names[0]: [row[0] for row in value] if is_wrapped else value}
    if not all(isinstance(row, list) and len(row) == len(names) for row in value):
        raise _bad(f"a row has {counted(len(names), 'value')}, in the order {', '.join(names)}")
    return {name: [row[index] for row in value] for index, name in enumerate(names)}


def _from_csv(body: bytes) -> Mapping[str, list[Any]]:
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig")), strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise _bad(f"the request is no CSV: {error}") from None
    lines = [line for line in lines if line]
    if len(lines) < 2 or any(len(line) != len(lines[0]) for line in lines):
        raise _bad("CSV has a line of column names, and as many values in each line that follows")
    _require_once(lines[0], "CSV")
    return {name: [line[index] for line in lines[1:]] for index, name in enumerate(lines[0])}


def _require_once(names: Sequence[str], called: str) -> None:
    """Refuse a column that is named twice: which of the two is meant cannot be told."""
    seen: set[str] = set()
    for name in names:
        if name and name in seen:
            raise _bad(f"{called} has the column {name[:64]!r} twice")
        seen.add(name)


def _cell(column: Column, text: str) -> Any:
    if column.datatype == "BYTES":
        return text
    if text == "" or text.lower() in {"nan", "null", "na"}:
        return None
    if (column.datatype == "BOOL" or column.meaning == "boolean") and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    try:
        return float(text) if column.datatype.startswith("FP") else int(text)
    except ValueError:
        raise _bad(f"column {column.name!r} takes {column.datatype}, not {text[:32]!r}") from None


def _tensor_of_text(column: Column, values: list[Any]) -> Tensor:
    return _tensor(column, [_cell(column, value) for value in values])


def _tensor(column: Column, values: list[Any]) -> Tensor:
    shape = _shape(values)
    check_shape(column.name, shape)
    if column.meaning == "boolean":  # FP64 on the wire, to have NaN too
        values = [float(value) if isinstance(value, bool) else value for value in values]
    try:
        data = msgspec.Raw(msgspec.json.encode(values))
        array = from_json(column.name, column.datatype, shape, data)
    except RecursionError:
        raise _bad(f"column {column.name!r} is nested too deeply") from None
    return Tensor(column.name, column.datatype, array)


def _shape(values: Any) -> Sequence[int]:
    shape = []
    while isinstance(values, list):
        shape.append(len(values))
        values = values[0] if values else None
    return shape


def _bad(message: str) -> Invalid:
    return Invalid(
        message,
        code="scoring.bad_request",
        hint='send {"dataframe_split": {"columns": […], "data": [[…]]}}',
    )
