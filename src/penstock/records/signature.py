"""What a model takes and gives: named, typed columns and tensors.

Datatypes are the Open Inference Protocol's names; `penstock.registry.package` translates them from and
to MLflow's. A column that is not required may be absent from a request: the model then sees what its library
calls missing.
"""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

Datatype = Literal[
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
]
DATATYPES: frozenset[str] = frozenset(get_args(Datatype))
Meaning = Literal["", "date", "datetime", "categorical", "boolean"]
"""What the values are to the model where the wire has no type for it: dates travel as ISO 8601 text, text of a
closed set as text, booleans that may be missing as FP64 (0, 1, NaN)."""
VECTOR = (-1,)
DIMENSIONS_MAX = 32
"""Of a tensor, its rows among them."""


class Column(msgspec.Struct, frozen=True):
    """One named column, or a tensor where `shape` has more than one dimension; `BYTES` holds UTF-8 text.

    The first dimension of `shape` counts rows; -1 is any size. A column that is not `required` may be absent, and its
    values missing; a tensor is always sent, and only its values may be missing. `zone` is the time zone of a column of
    times, empty where they have none.
    """

    name: str
    datatype: Datatype
    required: bool = True
    shape: tuple[int, ...] = VECTOR
    meaning: Meaning = ""
    zone: str = ""

    @property
    def is_tensor(self) -> bool:
        """Whether a row of it is more than one value."""
        return len(self.shape) > 1

    @property
    def must_be_sent(self) -> bool:
        """Whether no request can do without it."""
        return self.required or self.is_tensor

    @property
    def necessity(self) -> str:
        """Whether a request needs it, as people read it.

        Example:
            >>> Column("pixels", "FP32", required=False, shape=(-1, 8)).necessity
            'yes, values may be missing'
        """
        if not self.must_be_sent:
            return "no"
        return "yes" if self.required else "yes, values may be missing"


class Signature(msgspec.Struct, frozen=True, cache_hash=True):
    """What a model takes and what it gives. Without inputs nobody wrote it down: the model itself tells."""

    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]

    @property
    def is_by_row(self) -> bool:
        """Whether every row is answered for itself, so that requests can be put together and taken apart."""
        return all(column.shape[:1] == VECTOR for column in (*self.inputs, *self.outputs))
