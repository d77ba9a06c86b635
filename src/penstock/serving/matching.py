"""A request's tensors matched with what a model takes, by name and in any order.

Columns are `[n]` or `[n, 1]`; one tensor `[n, k]` is taken for k columns, in the signature's order, when it is the
only one and bears no column's name. A tensor has the shape that the signature names, -1 being any size.
Nothing is coerced that could lose information. What is said often is looked up, not computed: 64 columns are
checked for missing and infinite values in one step, and only what fails is looked at one by one.
"""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from penstock.base.errors import Invalid
from penstock.base.numbers import counted
from penstock.records.signature import Column, Signature
from penstock.serving.loaders.model import Array, Columns, Matrix, numpy_dtype
from penstock.serving.loaders.times import as_times, names_offset
from penstock.serving.tensors import Tensor, bad_request

SQUARED_MAX = 4096
EXACT_INTEGER_MAX = 2**53
"""Up to here FP64 holds every integer."""


class _Plan:
    """What matching needs to know of a signature, computed once for it."""

    def __init__(self, signature: Signature) -> None:
        self.inputs = signature.inputs
        self.names = tuple(column.name for column in signature.inputs)
        self.known = {column.name: column for column in signature.inputs}
        self.required = tuple(column for column in signature.inputs if column.must_be_sent)
        datatypes = {column.datatype for column in signature.inputs}
        self.is_table = not any(column.is_tensor for column in signature.inputs)
        self.datatype = datatypes.pop() if len(datatypes) == 1 else None
        self.is_matrix = self.is_table and not any(column.meaning for column in signature.inputs)
        self.is_plain = self.is_matrix and self.datatype in {"FP64", "FP32"}


_plan_of = functools.lru_cache(maxsize=256)(_Plan)


def to_columns(signature: Signature, tensors: Iterable[Tensor]) -> tuple[Columns, int]:
    """Match a request's tensors with a signature's inputs; return them by name, and the row count.

    A datatype may be wider in the signature than in the request, never narrower.

    Raises:
        Invalid: an input is unknown, twice, missing, or of the wrong shape or datatype.

    Cost: 64 columns of FP64 and one row 25 us, one tensor `[1, 64]` for them 4 us.
    """
    plan = _plan_of(signature)
    given = tensors if isinstance(tensors, Sequence) else tuple(tensors)
    if len(given) == 1:
        only = _only(plan, given[0])
        if only is not None:
            return only
    elif plan.is_plain and len(given) == len(plan.names):
        table = _plain_table(plan, given)
        if table is not None:
            return table
    return _one_by_one(plan, given)


def _only(plan: _Plan, tensor: Tensor) -> tuple[Columns, int] | None:
    """Return what a request's only tensor gives where it stands for all inputs."""
    if tensor.name in plan.known:
        return None
    if len(plan.inputs) == 1 and plan.inputs[0].is_tensor:
        column = plan.inputs[0]
        values = _fitting(column, tensor)
        return {column.name: values}, _row_count(column, values)
    shape = tensor.values.shape
    if not plan.is_table or len(shape) != 2 or not plan.inputs:
        return None
    if shape[1] != len(plan.inputs) or not shape[0]:
        raise bad_request(
            f"input {tensor.name!r} has the shape {list(shape)}; for the model's {counted(len(plan.inputs), 'column')} it is "
            f"[n, {len(plan.inputs)}], with n at least 1",
            "bad_shape",
            f"its inputs: {', '.join(plan.names)}",
        )
    if plan.is_matrix and plan.datatype == tensor.datatype and tensor.values.dtype.kind == "f":
        if not is_finite(tensor.values):
            _check_columns(plan, tensor.values)
        return Matrix(plan.names, tensor.values), shape[0]
    split = [Tensor(name, tensor.datatype, tensor.values[:, i]) for i, name in enumerate(plan.names)]
    return _one_by_one(plan, split)


def _check_columns(plan: _Plan, matrix: Array) -> None:
    for index, column in enumerate(plan.inputs):
        _checked(column, matrix[:, index])


def _plain_table(plan: _Plan, tensors: Sequence[Tensor]) -> tuple[Columns, int] | None:
    """Return one matrix for columns of one floating-point type, or None when anything is unusual."""
    datatype = plan.datatype
    found = {tensor.name: tensor.values for tensor in tensors if tensor.datatype == datatype}
    if len(found) != len(plan.names):
        return None
    try:
        values = [found[name] for name in plan.names]
    except KeyError:
        return None
    shape = values[0].shape
    if not shape or not shape[0] or len(shape) > 2 or shape[1:] not in ((), (1,)):
        return None
    if any(one.shape != shape for one in values):
        return None
    matrix = np.concatenate(values, axis=None).reshape(len(values), shape[0])
    if not is_finite(matrix):
        return None
    return Matrix(plan.names, matrix.T), shape[0]


def _one_by_one(plan: _Plan, tensors: Sequence[Tensor]) -> tuple[Columns, int]:
    columns: dict[str, Array] = {}
    row_count = -1
    for tensor in tensors:
        column = plan.known.get(tensor.name)
        if column is None:
            raise _unknown(plan, tensor.name)
        if tensor.name in columns:
            raise bad_request(f"input {tensor.name!r} stands twice", "repeated_input")
        values = _fitting(column, tensor)
        rows = _row_count(column, values)
        if row_count not in (-1, rows):
            raise bad_request(
                f"input {tensor.name!r} has {counted(rows, 'row')}, the inputs before it {row_count}",
                "bad_shape",
            )
        row_count = rows
        columns[tensor.name] = values
    missing = [column.name for column in plan.required if column.name not in columns]
    if missing:
        names = ", ".join(repr(name) for name in missing)
        raise bad_request(f"the request lacks the input{'s' * (len(missing) > 1)} {names}", "missing_input")
    if row_count < 0:
        raise bad_request("the request has no inputs", "missing_input")
    return columns, row_count


def _row_count(column: Column, values: Array) -> int:
    """Return how many rows an input stands for; a fixed first dimension is one row whatever its size."""
    return len(values) if column.shape[0] == -1 else 1


def _unknown(plan: _Plan, name: str) -> Invalid:
    near = difflib.get_close_matches(name, plan.known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"its inputs: {', '.join(plan.known)}"
    return bad_request(f"the model has no input {name!r}", "unknown_input", hint)


def _fitting(column: Column, tensor: Tensor) -> Array:
    """Return a tensor's values in the shape and datatype of an input.

    Raises:
        Invalid: they do not fit, or cannot be asked about.
    """
    shape = tensor.values.shape
    if column.is_tensor:
        if len(shape) != len(column.shape) or not all(
            size == wanted or (wanted == -1 and size > 0)
            for size, wanted in zip(shape, column.shape, strict=True)
        ):
            raise bad_request(
                f"input {tensor.name!r}: shape {list(shape)} is not {list(column.shape)}, with -1 at least 1",
                "bad_shape",
            )
        return _checked(column, _widen(column, tensor.datatype, tensor.values))
    if not shape or shape[0] < 1 or shape[1:] not in ((), (1,)):
        raise bad_request(
            f"input {tensor.name!r}: shape {list(shape)} is not [n] or [n, 1] with n at least 1", "bad_shape"
        )
    return _checked(column, _widen(column, tensor.datatype, tensor.values.reshape(shape[0])))


def _checked(column: Column, values: Array) -> Array:
    """Return an input's values when a model can be asked about them: nothing missing where it is required."""
    if column.meaning == "boolean":
        _check_booleans(column, values)
    if values.dtype.kind == "f":
        if is_finite(values):
            return values
        if np.isinf(values).any():
            raise bad_request(f"input {column.name!r} is not finite", "bad_data", "send finite numbers")
        is_missing = column.required
    else:
        is_missing = (
            column.required and values.dtype.kind == "O" and any(value is None for value in values.flat)
        )
    if is_missing:
        raise _missing(column)
    if column.meaning in {"date", "datetime"}:
        _check_times(column, values)
    return values


def _missing(column: Column) -> Invalid:
    return bad_request(
        f"input {column.name!r} is required, and a value of it is missing",
        "missing_value",
        f"send every value, or save the model with an example in which one is missing, or with optional=[{column.name!r}]",
    )


def is_finite(values: Array) -> bool:
    """Whether no number is NaN or infinite; of few, the sum of their squares tells it in a third of the time."""
    if values.size <= SQUARED_MAX and values.dtype == np.float64 and math.isfinite(np.vdot(values, values)):
        return True
    return bool(np.isfinite(values).all())


def _check_booleans(column: Column, values: Array) -> None:
    """Refuse a number that is neither true nor false, in a column of booleans that is sent as numbers to have NaN too."""
    other = values[~np.isin(values, (0, 1)) & ~np.isnan(values)] if values.dtype.kind == "f" else values[:0]
    if other.size:
        raise bad_request(
            f"input {column.name!r} holds {other[0]:g}, and takes 1 for true, 0 for false and NaN for what is missing",
            "bad_data",
            "send 1, 0 or NaN",
        )


def _check_times(column: Column, values: Array) -> None:
    try:
        times = as_times(values.flat, column.zone)
    except ValueError as error:
        raise bad_request(
            f"input {column.name!r} holds what is no {column.meaning}: {error}",
            "bad_data",
            "send ISO 8601 text, such as 2026-11-28 or 2026-11-28T08:30:00",
        ) from None
    is_missing = np.isnat(times)
    if column.required and is_missing.any():
        raise _missing(column)
    if column.zone and not all(names_offset(value) for value in values.ravel()[~is_missing]):
        raise bad_request(
            f"input {column.name!r} takes times of the zone {column.zone}, and one names no offset",
            "bad_data",
            "send the offset too, such as 2026-11-28T08:30:00+01:00, or Z for UTC",
        )


def _widen(column: Column, datatype: str, values: Array) -> Array:
    if datatype == column.datatype:
        return values
    target = numpy_dtype(column.datatype)
    is_text = "BYTES" in (datatype, column.datatype)
    if is_text or not np.can_cast(values.dtype, target, "safe"):
        raise bad_request(
            f"input {column.name!r} takes {column.datatype}; {datatype} could lose information",
            "wrong_datatype",
            f"send {column.name!r} as {column.datatype}",
        )
    is_long = values.dtype.kind in "iu" and values.dtype.itemsize == 8
    if is_long and target.kind == "f" and not _is_exact(values):
        raise bad_request(
            f"input {column.name!r}: an integer beyond 2**53 does not fit into {column.datatype}",
            "wrong_datatype",
        )
    return values.astype(target)


def _is_exact(values: Array) -> bool:
    return int(values.max()) <= EXACT_INTEGER_MAX and int(values.min()) >= -EXACT_INTEGER_MAX


def iterate_columns(columns: Columns) -> Iterator[tuple[str, Array]]:
    """Yield columns of one value a row: as they are, and a tensor's `[n, k]` as `name[0]`, …, `name[k-1]`.

    What has more dimensions, or more than `FLAT_MAX` columns, is left out: images and embeddings are not
    told by their single values.
    """
    for name, values in columns.items():
        if values.ndim == 1:
            yield name, values
        elif values.ndim == 2 and values.shape[1] <= FLAT_MAX:
            for index in range(values.shape[1]):
                yield f"{name}[{index}]", values[:, index]


FLAT_MAX = 128
"""Columns of a tensor that are watched one by one."""


def check_inputs(name: str, candidate: Signature, stable: Signature, **fields: object) -> None:
    """Check that requests made for one model carry what another requires.

    Raises:
        Invalid: `candidate` requires a column that `stable` does not have.
    """
    known = {column.name: column for column in stable.inputs}
    lacking = [
        column.name for column in candidate.inputs if column.must_be_sent and not _is_sent(column, known)
    ]
    if lacking:
        raise Invalid(
            f"{name} requires {', '.join(lacking)}, which requests for the stable version do not carry",
            code="serving.signature_mismatch",
            hint="make the column optional, or deploy the version to its own endpoint",
            **fields,
        )


def _is_sent(column: Column, known: Mapping[str, Column]) -> bool:
    found = known.get(column.name)
    return found is not None and len(found.shape) == len(column.shape)
