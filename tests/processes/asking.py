"""Ask a serve process that may end instead of answering."""

from __future__ import annotations

import contextlib

import httpx

from patience import PATIENCE_S


def ask(url: str, endpoint: str, value: float = 1.0) -> int:
    """Ask a sum of two numbers once; return the status, 0 where the process ended instead."""
    tensor = {"name": "input-0", "shape": [1, 2], "datatype": "FP64", "data": [value, value]}
    with contextlib.suppress(httpx.TransportError):
        path = f"{url}/v2/models/{endpoint}/infer"
        return httpx.post(path, json={"inputs": [tensor]}, timeout=PATIENCE_S).status_code
    return 0
