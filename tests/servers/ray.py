"""A small Ray cluster of this machine for tests: little memory, no dashboard, ports that the system gives."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from patience import PATIENCE_S

START_TOOK_LONG = "timed out during startup"
"""What Ray says 30 seconds after a start that takes longer; nothing sets that time."""


@contextmanager
def ray_cluster(cpus: int = 4) -> Iterator[str]:
    """Yield the address of a cluster that this process is connected to; it ends with the block.

    Tests that need it are skipped where Ray is not installed, which in CI is a failure.
    """
    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0",
        RAY_DISABLE_MEMORY_MONITOR="1",
        RAY_NUM_REDIS_GET_RETRIES=str(int(PATIENCE_S)),
        RAY_worker_register_timeout_seconds=str(int(PATIENCE_S)),
    )
    if os.environ.get("CI") != "true":
        pytest.importorskip("ray")
    import ray

    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            context = ray.init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                object_store_memory=80 << 20,
                log_to_driver=False,
                logging_level="ERROR",
                configure_logging=False,
            )
            break
        except Exception as error:  # Ray's own, of no kind of its own
            ray.shutdown()
            if START_TOOK_LONG not in str(error) or time.monotonic() > deadline_s:
                raise
    try:
        yield context.address_info["address"]
    finally:
        ray.shutdown()
