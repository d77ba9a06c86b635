"""A small Ray cluster of this machine for tests: little memory, no dashboard, ports that the system gives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def ray_cluster(cpus: int = 4) -> Iterator[str]:
    """Yield the address of a cluster that this process is connected to; it ends with the block.

    Tests that need it are skipped where Ray is not installed, which in CI is a failure.
    """
    if os.environ.get("CI") != "true":
        pytest.importorskip("ray")
    import ray

    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_DISABLE_MEMORY_MONITOR="1")
    context = ray.init(
        address="local",
        num_cpus=cpus,
        include_dashboard=False,
        object_store_memory=80 << 20,
        log_to_driver=False,
        logging_level="ERROR",
        configure_logging=False,
    )
    try:
        yield context.address_info["address"]
    finally:
        ray.shutdown()
