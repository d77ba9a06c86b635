"""The model behind Ray Serve: python rays.py MODEL PORT."""

from __future__ import annotations

import pickle
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=1, max_ongoing_requests=100)
class Bench:
    """One estimator."""

    def __init__(self, path: str) -> None:
        with Path(path).open("rb") as file:
            self.model = pickle.load(file)

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Answer one request."""
        rows = np.array((await request.json())["rows"], dtype=np.float64)
        return {"probabilities": self.model.predict_proba(rows).tolist()}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[2])})
    serve.run(Bench.bind(sys.argv[1]), route_prefix="/predict")
    signal.pause()
