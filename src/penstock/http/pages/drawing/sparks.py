"""Traffic at a glance: a bar a window, what failed at its foot. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from penstock.base.numbers import counted

WIDTH, HEIGHT = 300.0, 30.0


@dataclass(frozen=True)
class Spark:
    """Bars as (x, y, width, height), those of all requests and those of failures, and what they say."""

    bars: tuple[tuple[float, float, float, float], ...]
    failed: tuple[tuple[float, float, float, float], ...]
    summary: str


def spark_of(counts: Sequence[tuple[int, int, int]]) -> Spark | None:
    """Return the bars of (start in s, requests, failures), oldest first; None without requests.

    Example:
        >>> spark_of([(0, 10, 0), (10, 20, 5)]).summary
        '30 requests in 2 windows, 5 failed'
    """
    most = max((requests for _, requests, _ in counts), default=0)
    if most == 0:
        return None
    begin, end = counts[0][0], counts[-1][0]
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(counts)]
    length = min(gaps, default=1)
    scale = WIDTH / (end - begin + length)
    width = round(max(1.0, 0.9 * length * scale), 1)

    def bar(start_s: int, count: int) -> tuple[float, float, float, float]:
        height = round(HEIGHT * count / most, 1)
        return round((start_s - begin) * scale, 1), round(HEIGHT - height, 1), width, height

    total, errors = sum(one[1] for one in counts), sum(one[2] for one in counts)
    return Spark(
        tuple(bar(start_s, requests) for start_s, requests, _ in counts if requests),
        tuple(bar(start_s, failed) for start_s, _, failed in counts if failed),
        f"{counted(total, 'request')} in {counted(len(counts), 'window')}, {errors:,} failed",
    )
