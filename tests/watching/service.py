"""A service as its own process: says how often it was called, until it is killed."""

from __future__ import annotations

import logging
import sys
import time

import penstock


def run() -> None:
    """Call the function again and again."""

    @penstock.watch(endpoint="delay", model="m/1")
    def infer(features: dict[str, float]) -> float:
        return features["wind"] / 10

    number = 0
    while True:
        number += 1
        infer({"hour": 7.0, "wind": float(number)})
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        time.sleep(0.002)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    run()
