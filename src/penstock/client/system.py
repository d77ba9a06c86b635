"""Metrics of the machine while a run goes on, under the names MLflow gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import psutil

from penstock.base.background import Background

PREFIX = "system/"
INTERVAL_S = 10.0
MEGABYTE = 1e6


def sample(before: tuple[float, float] | None = None) -> tuple[dict[str, float], tuple[float, float]]:
    """Return the machine's metrics and the network's counters, which the next call wants as `before`."""
    memory, disk, network = psutil.virtual_memory(), psutil.disk_usage("/"), psutil.net_io_counters()
    counters = (float(network.bytes_recv), float(network.bytes_sent)) if network else (0.0, 0.0)
    found = {
        "cpu_utilization_percentage": psutil.cpu_percent(),
        "system_memory_usage_megabytes": memory.used / MEGABYTE,
        "system_memory_usage_percentage": memory.percent,
        "disk_usage_percentage": disk.percent,
        "disk_usage_megabytes": disk.used / MEGABYTE,
        "disk_available_megabytes": disk.free / MEGABYTE,
        "process_memory_usage_megabytes": psutil.Process().memory_info().rss / MEGABYTE,
    }
    if before is not None:
        found["network_receive_megabytes"] = (counters[0] - before[0]) / MEGABYTE
        found["network_transmit_megabytes"] = (counters[1] - before[1]) / MEGABYTE
    return {f"{PREFIX}{name}": value for name, value in {**found, **_gpus()}.items()}, counters


class SystemMetrics:
    """Samples the machine every `interval_s` seconds until it is stopped."""

    def __init__(
        self,
        log: Callable[[Mapping[str, float], int], None],
        interval_s: float = INTERVAL_S,
        first_step: int = 0,
    ) -> None:
        self._log = log
        self._before: tuple[float, float] | None = None
        self._step = first_step
        self._background = Background(
            "penstock-system", self._turn, interval_s, failing="the machine was not measured", at_once=True
        )
        self._background.start()

    def stop(self) -> None:
        """Take one last sample and end."""
        self._background.stop()
        self._turn()

    def _turn(self) -> None:
        if self._before is None:  # rates are told from the second look on
            psutil.cpu_percent()
            _, self._before = sample()
            return
        values, self._before = sample(self._before)
        self._log(values, self._step)
        self._step += 1


def _gpus() -> dict[str, float]:
    """Return memory and load of every NVIDIA card; nothing where there is none."""
    try:
        import pynvml
    except ImportError:
        return {}
    try:
        pynvml.nvmlInit()
        found: dict[str, float] = {}
        for number in range(pynvml.nvmlDeviceGetCount()):
            card = pynvml.nvmlDeviceGetHandleByIndex(number)
            memory = pynvml.nvmlDeviceGetMemoryInfo(card)
            found[f"gpu_{number}_utilization_percentage"] = float(
                pynvml.nvmlDeviceGetUtilizationRates(card).gpu
            )
            found[f"gpu_{number}_memory_usage_megabytes"] = memory.used / MEGABYTE
            found[f"gpu_{number}_memory_usage_percentage"] = 100 * memory.used / memory.total
        return found
    except pynvml.NVMLError:
        return {}
