"""What a model takes and gives: named, typed columns.

Datatypes are the Open Inference Protocol's names; `penstock.registry.package` translates them from and
to MLflow's. A column that is not required may be absent from a request: the model then sees NaN (FP64).
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


class Column(msgspec.Struct, frozen=True):
    """One named column; `BYTES` holds UTF-8 text."""

    name: str
    datatype: Datatype
    required: bool = True


class Signature(msgspec.Struct, frozen=True):
    """The columns a model takes and the columns it gives."""

    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
