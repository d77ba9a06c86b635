"""A plain loop around `infer()` with a Summary of its own, as many have it; one line of it is Penstock's.

Prints each prediction's id with the truth about it, and every version that it changes to.
"""

from __future__ import annotations

import json
import random
import sys
import time
from typing import Any

import prometheus_client

import penstock

SUMMARY = prometheus_client.Summary("infer_seconds", "How long an inference takes.")
LOADED = {"version": 1}


def load(current: Any) -> None:
    """Take the version that is wanted; the second one was trained the wrong way round."""
    LOADED["version"] = current.version
    print(json.dumps({"version": current.version, "kind": current.kind}), flush=True)


@penstock.watch(endpoint="delay", model="m/1", on_revision=load)
@SUMMARY.time()
def infer(features: dict[str, float]) -> dict[str, float]:
    """Return how probable a delay is."""
    late = min(1.0, max(0.0, (features["hour"] + features["wind"]) / 50))
    return {"probability": late if LOADED["version"] == 1 else 1 - late}


def run(port: int) -> None:
    """Infer until somebody ends it."""
    prometheus_client.start_http_server(port, "127.0.0.1")
    while True:
        features = {"hour": random.uniform(0, 24), "wind": random.uniform(0, 20)}
        infer(features)
        late = int(features["hour"] + features["wind"] + random.gauss(0, 4) > 22)
        print(json.dumps({"id": penstock.last_prediction_id(), "label": late}), flush=True)
        time.sleep(0.005)


if __name__ == "__main__":
    run(int(sys.argv[1]))
