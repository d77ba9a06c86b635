"""Limits of the engine, and of one endpoint in it."""

from __future__ import annotations

import os

import msgspec

MEBIBYTE = 1 << 20


def core_count() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How predictions are made.

    `threads` of a version predict at the same time; when a prediction outlives every caller's deadline, or all
    have left, up to `spare_threads` more take over. `inline_s` is the cost below which a thread would only add to it.
    `slots` predictions have a turn on the processor at once, for at most `turn_s` while others wait. Merged
    requests stay within `max_rows` and `max_bytes`, and delay each other by at most `batch_delay_s`; `max_rows` 1
    merges none.
    """

    threads: int = 2
    spare_threads: int = 4
    inline_s: float = 0.001
    slots: int = msgspec.field(default_factory=core_count)
    turn_s: float = 0.02
    max_rows: int = 1024
    max_bytes: int = 8 * MEBIBYTE
    batch_delay_s: float = 0.02


class EndpointLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one endpoint may take: `weight` is its share of the processor against the other endpoints'.

    `backlog` requests may wait for each of its versions; `timeout_s` is the longest that one is worked on, and
    `timeout_setting` what sets it, in words.
    """

    timeout_s: float = 30.0
    timeout_setting: str = "serve --timeout"
    backlog: int = 512
    weight: float = 1.0
