"""Blocks: a route's traffic since a comparison began, in spans of time, as the tests need it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from penstock.monitoring.latency import LatencyHistogram
from penstock.monitoring.windows import Counts, Window, counts_of

Floats = npt.NDArray[np.float64]
LARGEST_BURST = 25
"""A stretch of more failures in a row, whatever came before it, is no burst but a fault."""
SMALLEST_BREAKDOWN = 3
"""So many failures and no success since the beginning are judged."""
RUNS_OF_A_BREAKDOWN = 3.0
NEARLY_ALL = 0.75


class Block(Counts, frozen=True, kw_only=True):
    """What one route answered in one span of time; the newest may still go on.

    Blocks of a route come in order and do not overlap; the finer the newest are (a flush, a second), the
    sooner a breakdown is seen, and older ones may be merged. `error_run_count` is how many runs of failures
    there were: failures whose request before, of the same worker and route, did not fail. None where nobody
    counted; then the test assumes that failures come in bursts.
    """

    start_s: int
    error_run_count: int | None = None
    latency: LatencyHistogram = msgspec.field(default_factory=LatencyHistogram)

    @staticmethod
    def of(window: Window, error_run_count: int | None = None) -> Block:
        """Return a window as one block."""
        return Block(
            start_s=window.key.start_s,
            error_run_count=error_run_count,
            latency=window.latency,
            **counts_of(window),
        )


def count_runs(failed: Sequence[bool]) -> int:
    """Return how many runs of failures there are in requests in their order.

    Example:
        >>> count_runs([False, True, True, False, True])
        2
    """
    return sum(now and not before for before, now in zip((False, *failed), failed, strict=False))


def table(blocks: Sequence[Block], starts: Sequence[int], value: Callable[[Block], float]) -> Floats:
    """Return the sum of a value over the blocks from each start to the next; earlier ones go to the first."""
    sums = np.zeros(len(starts))
    if blocks:
        times = np.array([block.start_s for block in blocks])
        places = np.maximum(np.searchsorted(np.array(starts), times, side="right") - 1, 0)
        np.add.at(sums, places, [value(block) for block in blocks])
    return sums


def knows_runs(blocks: Sequence[Block]) -> bool:
    """Whether the runs of failures were counted in every block that had failures."""
    return all(block.error_run_count is not None or not block.error_count for block in blocks)


class Stretch(msgspec.Struct, frozen=True):
    """The last requests of a route, from a block's start on, nearly all of which are bad."""

    request_count: int
    bad_count: int
    start_s: int


def breakdown(
    blocks: Sequence[Block], bad: Callable[[Block], int], *, usual_run: float = 1.0
) -> Stretch | None:
    """Return the stretch of blocks up to now that are nearly all bad, where it is long enough to be no burst.

    Where every request was bad since the beginning `SMALLEST_BREAKDOWN` are enough; otherwise it is longer
    than `LARGEST_BURST`. It must be several times as long as bad requests usually follow each other.

    Args:
        usual_run: mean length of a run of bad requests where nothing is wrong.
    """
    usual = RUNS_OF_A_BREAKDOWN * usual_run if usual_run > 1 else 0.0
    found, is_all = Stretch(0, 0, 0), True
    for block in reversed(blocks):
        if bad(block) < NEARLY_ALL * block.request_count:
            is_all = False
            break
        if block.request_count:
            found = Stretch(
                found.request_count + block.request_count, found.bad_count + bad(block), block.start_s
            )
    is_all = is_all and found.bad_count == found.request_count
    least = SMALLEST_BREAKDOWN if is_all else LARGEST_BURST + 1
    return found if found.request_count >= max(least, usual) else None
