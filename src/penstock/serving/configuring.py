"""What the protocol's extensions tell of models: their configuration and statistics.

Source:
    Triton, protocol/extension_model_configuration.md, extension_statistics.md.
"""

from __future__ import annotations

from typing import Any

from penstock.serving.dataplane import DataPlane

DATA_TYPES: tuple[str, ...] = (
    "INVALID", "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32",
    "FP64", "STRING",
)  # fmt: skip
"""In the order of the protocol's numbers."""


def model_config(dataplane: DataPlane, endpoint: str, version: int | None) -> dict[str, Any]:
    """Return an endpoint's model as the configuration extension describes it; datatypes are numbers.

    Raises:
        NotFound: no such endpoint or version.
        Unavailable: its model is not loaded yet.
    """
    found = dataplane.model_metadata(endpoint, version)
    return {
        "name": endpoint,
        "platform": found["platform"],
        "backend": "penstock",
        "max_batch_size": 0,
        "input": [_described(one) for one in found["inputs"]],
        "output": [_described(one) for one in found["outputs"]],
    }


def _described(tensor: dict[str, Any]) -> dict[str, Any]:
    datatype = "STRING" if tensor["datatype"] == "BYTES" else tensor["datatype"]
    described = {
        "name": tensor["name"],
        "data_type": DATA_TYPES.index(datatype),
        "dims": list(tensor["shape"]),
    }
    if tensor.get("parameters", {}).get("optional"):
        described["optional"] = True
    return described


def config_document(dataplane: DataPlane, endpoint: str, version: int | None) -> dict[str, Any]:
    """Return the same as JSON has it: datatypes by name.

    Raises:
        NotFound: no such endpoint or version.
        Unavailable: its model is not loaded yet.
    """
    config = model_config(dataplane, endpoint, version)
    for tensor in (*config["input"], *config["output"]):
        tensor["data_type"] = f"TYPE_{DATA_TYPES[tensor['data_type']]}"
    return config


def model_statistics(
    dataplane: DataPlane, endpoint: str | None, version: int | None, hidden: frozenset[str] = frozenset()
) -> list[dict[str, Any]]:
    """Return the counts of a version, of every version of an endpoint, or of all but the hidden ones.

    Raises:
        NotFound: no such endpoint or version.
        Unavailable: its model is not loaded yet.
    """
    if endpoint is None:
        chosen = [
            (name, number)
            for name, served in sorted(dataplane.repository.served.items())
            if name not in hidden
            for number in dataplane.versions_of(served)
        ]
    else:
        served, model = dataplane.resolve(endpoint, version)
        chosen = [
            (endpoint, number)
            for number in ((model.version,) if version is not None else dataplane.versions_of(served))
        ]
    return [dataplane.statistics.describe(name, number) for name, number in chosen]
