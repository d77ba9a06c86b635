"""The ONNX flavour, predicted by ONNX Runtime; reading a graph runs no code of its own.

A model in memory is an `onnx.ModelProto`, or the bytes of one. The files are those of MLflow's onnx flavour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnxruntime

from penstock.base.errors import Invalid
from penstock.records.signature import Column, Datatype
from penstock.serving.loaders.fed import Answer
from penstock.serving.loaders.flavour import Flavour, Saving, inside, probabilities_of

MODEL_DATA = "model.onnx"
_DATATYPES: dict[str, str] = {
    "tensor(bool)": "BOOL",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
    **{
        f"tensor({kind}int{bits})": f"{kind.upper()}INT{bits}"
        for kind in ("", "u")
        for bits in (8, 16, 32, 64)
    },
}
# what converters of classifiers call their outputs
_MEANT = {
    "output_label": "prediction",
    "label": "prediction",
    "output_probability": "probability",
    "probabilities": "probability",
}


class OnnxFlavour(Flavour):
    """A graph's inputs are the model's, by name and shape; so are its outputs, but for a classifier's pair."""

    name = "onnx"
    suffixes = (".onnx",)

    def takes(self, model: Any) -> bool:
        """Whether it is a graph."""
        return hasattr(model, "SerializeToString") or isinstance(model, bytes)

    def save(self, model: Any, folder: Path, saving: Saving) -> dict[str, Any]:
        """Write the graph."""
        data = model if isinstance(model, bytes) else model.SerializeToString()
        (folder / MODEL_DATA).write_bytes(data)
        return {"data": MODEL_DATA, "onnx_version": onnxruntime.__version__, "code": None}

    def python_function(self, options: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return how MLflow loads it."""
        return {"loader_module": "mlflow.onnx", "data": MODEL_DATA}

    def read(self, folder: Path, options: Mapping[str, Any], trusted: Sequence[str] | None = None) -> Any:
        """Open a session on the graph, on one core: a request is too small to share."""
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = settings.inter_op_num_threads = 1
        settings.log_severity_level = 3
        path = inside(folder, options.get("data", MODEL_DATA))
        return onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])

    def inputs_of(self, model: Any) -> tuple[Column, ...]:
        """Return the graph's inputs."""
        return tuple(
            Column(one.name, _datatype(one), shape=tuple(_size(size) for size in one.shape) or (1,))
            for one in model.get_inputs()
        )

    def takes_matrix(self, model: Any) -> bool:
        """Whether all columns go into one input of the graph."""
        return len(model.get_inputs()) == 1

    def is_bounded(self, model: Any) -> bool:
        """A prediction runs ONNX Runtime's own code alone."""
        return True

    def answer(self, model: Any, rows: Any, wanted: frozenset[str] | None) -> Answer:
        """Run the graph."""
        outputs = model.run(None, _fed(model.get_inputs(), rows))
        names = [one.name for one in model.get_outputs()]
        found: dict[str, Any] = {}
        for name, value in zip(names, outputs, strict=True):
            meant = _MEANT.get(name, name if len(names) > 1 else "prediction")
            found[meant] = _plain(value) if meant == "probability" else value
        return found


def _fed(inputs: Sequence[Any], rows: Any) -> dict[str, Any]:
    """Return what the graph takes, in its own types."""
    if isinstance(rows, np.ndarray):
        return {inputs[0].name: _cast(rows, inputs[0])}
    if isinstance(rows, Mapping):
        by_name = {one.name: one for one in inputs}
        return {
            name: _cast(np.asarray(values), by_name[name]) for name, values in rows.items() if name in by_name
        }
    # converters of pipelines give every column an input [n, 1]
    return {
        one.name: _cast(rows[one.name].to_numpy().reshape(-1, *[1] * (len(one.shape) - 1)), one)
        for one in inputs
    }


def _cast(values: Any, one: Any) -> Any:
    kind = {"FP32": "float32", "FP64": "float64", "FP16": "float16", "BYTES": "object", "BOOL": "bool"}
    datatype = _datatype(one)
    return np.asarray(values).astype(kind.get(datatype, datatype.lower()), copy=False)


def _plain(value: Any) -> Any:
    """Return probabilities as an array; converters may give a list of mappings, one a row."""
    if isinstance(value, list):
        value = np.array([list(row.values()) for row in value])
    return next(iter(probabilities_of(value, None).values()))


def _size(size: Any) -> int:
    return size if isinstance(size, int) and size > 0 else -1


def _datatype(one: Any) -> Datatype:
    found = _DATATYPES.get(one.type)
    for datatype in get_args(Datatype):
        if datatype == found:
            return datatype  # type: ignore[no-any-return]
    raise Invalid(
        f"the graph's input {one.name!r} is a {one.type}, which has no counterpart on the wire",
        code="registry.bad_signature",
    )


FLAVOUR = OnnxFlavour()
