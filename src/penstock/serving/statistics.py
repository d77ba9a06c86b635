"""Counts of what each version answered since the process began, as the protocol's statistics extension tells them.

Prometheus metrics are in `http/prometheus`; windows for monitoring are the recorder's.
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.serving.recorder import Exchange, Recorder, RecorderState


class VersionStatistics(msgspec.Struct, kw_only=True):
    """What one version of an endpoint answered."""

    success_count: int = 0
    success_ns: int = 0
    fail_count: int = 0
    fail_ns: int = 0
    row_count: int = 0
    last_ms: int = 0


class Statistics:
    """See the module. A recorder that counts what it passes on; told by one thread."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._counted: dict[tuple[str, int], VersionStatistics] = {}

    @property
    def state(self) -> RecorderState:
        """How full the recorder is."""
        return self._recorder.state

    def record(self, exchange: Exchange) -> None:
        """Pass an exchange on, and count it when a client asked for it."""
        self._recorder.record(exchange)
        if exchange.route == "shadow":
            return
        key = (exchange.endpoint, exchange.version)
        found = self._counted.get(key)
        if found is None:
            found = self._counted[key] = VersionStatistics()
        spent_ns = int(exchange.latency_s * 1e9)
        if exchange.error is None:
            found.success_count += 1
            found.success_ns += spent_ns
            found.row_count += exchange.row_count
            found.last_ms = exchange.time_ms
        else:
            found.fail_count += 1
            found.fail_ns += spent_ns

    def describe(self, endpoint: str, version: int) -> dict[str, Any]:
        """Return one version's counts in the protocol's words.

        Source:
            Triton, protocol/extension_statistics.md.
        """
        found = self._counted.get((endpoint, version)) or VersionStatistics()
        return {
            "name": endpoint,
            "version": str(version),
            "last_inference": found.last_ms,
            "inference_count": found.row_count,
            "execution_count": found.success_count,
            "inference_stats": {
                "success": {"count": found.success_count, "ns": found.success_ns},
                "fail": {"count": found.fail_count, "ns": found.fail_ns},
            },
        }
