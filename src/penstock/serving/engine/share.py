"""Which endpoint's requests are predicted next: by weights, so that no flood of one starves another.

Source:
    Waldspurger and Weihl, "Stride Scheduling", MIT/LCS/TM-528, 1995; charged by measured time, as in CFS.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from penstock.serving.engine.options import EngineOptions

if TYPE_CHECKING:
    from penstock.serving.engine.job import Batch
    from penstock.serving.engine.lane import Lane


class Share:
    """An endpoint's part of the processor. `used_s` is its time so far, divided by its weight."""

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight
        self.used_s = 0.0


class Turns:
    """Gives lanes that have work their turns on the processor, the one that used least first.

    A turn is for one batch. While others wait it lasts at most `turn_s`: a prediction that waits for
    something, or hangs, then goes on without it, and the next begins. Only the loop's thread calls it.
    """

    def __init__(self, options: EngineOptions, start: Callable[[Lane], Batch | None]) -> None:
        self._options = options
        self._start = start
        self._waiting: dict[Lane, None] = {}
        self._holding: set[Batch] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._clock_s = 0.0

    def ask(self, lane: Lane) -> None:
        """Note that a lane has work."""
        if lane not in self._waiting:
            lane.share.used_s = max(lane.share.used_s, self._clock_s)
            self._waiting[lane] = None
        self.give()

    def give(self) -> None:
        """Start what can be started."""
        while len(self._holding) < self._options.slots:
            for lane in [one for one in self._waiting if not one.waiting]:
                del self._waiting[lane]
            ready = [lane for lane in self._waiting if lane.can_start]
            if not ready:
                return
            lane = min(ready, key=_used)
            self._clock_s = lane.share.used_s
            batch = self._start(lane)
            if batch is not None:
                batch.has_turn = True
                self._holding.add(batch)
        if self._waiting and self._sweep is None:
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(self._options.turn_s, self._end_long_turns)

    def give_back(self, batch: Batch) -> None:
        """Note that a batch is done or hangs, and how long it had its turn."""
        if not batch.has_turn:
            return
        batch.has_turn = False
        self._holding.discard(batch)
        share = batch.lane.share
        share.used_s += min(time.perf_counter() - batch.started_s, self._options.turn_s) / share.weight

    def _end_long_turns(self) -> None:
        self._sweep = None
        before_s = time.perf_counter() - self._options.turn_s
        for batch in [one for one in self._holding if one.started_s <= before_s]:
            self.give_back(batch)
        self.give()


def _used(lane: Lane) -> float:
    return lane.share.used_s
