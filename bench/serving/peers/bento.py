"""The model behind BentoML. BENCH_MODEL names its file, BENCH_BATCHING=1 asks for merged requests."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import bentoml
import numpy as np

BATCHING = os.environ.get("BENCH_BATCHING") == "1"


@bentoml.service(workers=1, metrics={"enabled": True}, logging={"access": {"enabled": False}})
class Bench:
    """One estimator."""

    def __init__(self) -> None:
        with Path(os.environ["BENCH_MODEL"]).open("rb") as file:
            self.model = pickle.load(file)

    @bentoml.api(batchable=BATCHING, max_batch_size=64, max_latency_ms=20_000)
    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Return probabilities."""
        return self.model.predict_proba(rows)
