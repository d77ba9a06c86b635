"""The role of a loader: model files in, a predictor of named columns out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from penstock.records.signature import Signature

Array = npt.NDArray[Any]
Columns = Mapping[str, Array]


class ModelFiles(msgspec.Struct, frozen=True, kw_only=True):
    """A model version on the local disk.

    `options` is the flavour's mapping in the MLmodel file. `example` holds columns of a few real rows;
    with it a model proves itself on them before it takes traffic.
    """

    path: Path
    name: str
    version: int
    digest: str
    flavour: str
    options: dict[str, Any]
    signature: Signature
    example: dict[str, list[Any]] | None = None


class Predictor(Protocol):
    """A loaded model. Thread-safe; a call changes nothing.

    A classifier may have `classes`: all it knows, in its order, the last being what `probability` is of.
    """

    def predict(self, columns: Columns, row_count: int) -> dict[str, Array]:
        """Return one `(row_count,)` array for every output of the signature.

        Args:
            columns: `(row_count,)` arrays in the signature's datatypes; text is `object` arrays of `str`
                or None. Columns that are not required may be absent.

        Raises:
            Exception: whatever the model's own code raises.
        """
        ...


def numpy_dtype(datatype: str) -> np.dtype[Any]:
    """Return the numpy type of an Open Inference datatype; text is `object`.

    Example:
        >>> numpy_dtype("FP32")
        dtype('float32')
    """
    return _DTYPES[datatype]


_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
} | {
    f"{kind}INT{bits}": np.dtype(f"{kind.lower()}int{bits}") for kind in ("", "U") for bits in (8, 16, 32, 64)
}
