"""Payloads on their way to segments: buffered by a serve process, or written with a batch that was told."""

from __future__ import annotations

import functools
import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from penstock.base.background import Trouble
from penstock.base.errors import PenstockError
from penstock.flows.production.live.room import size_of
from penstock.flows.production.payloads.sampling import Hour, is_chosen
from penstock.monitoring.settings import MonitorSettings, PayloadSettings
from penstock.serving.recorder import Exchange
from penstock.storage.backend import Backend
from penstock.storage.resolve import open_backend

if TYPE_CHECKING:
    import polars as pl

logger = logging.getLogger(__name__)
SEGMENT_S, SEGMENT_BYTES = 10.0, 8 * 1024 * 1024
"""So long, and so many bytes about, calls are held before they are a segment; a kill costs what is held."""
MAX_BYTES = 64 * 1024 * 1024
"""What is held while the place is away; later calls are not kept then, and that is told."""


def put_batch(backend: Backend, batch: str, exchanges: Sequence[Exchange], settings: PayloadSettings) -> None:
    """Write the sample of a batch that the store has taken; where it cannot be written, that is told.

    It never raises: the batch counts already, and its sender must not be told that it failed.
    """
    from penstock.flows.production.payloads.segments import frame_of  # and with it polars

    found: dict[Hour, list[Exchange]] = {}
    for one in exchanges:
        if is_chosen(one, settings):
            found.setdefault(Hour.of(one.endpoint, one.time_ms), []).append(one)
    for hour, chosen in found.items():
        try:
            frame = frame_of(chosen, settings)
        except Exception:
            logger.exception("%d calls of %s cannot be kept", len(chosen), hour.endpoint)
        else:
            put_frames(backend, batch, {hour: frame})


def put_frames(backend: Backend, batch: str, frames: Mapping[Hour, pl.DataFrame]) -> None:
    """Write rows of a batch by their hour; where they cannot be written, that is told."""
    from penstock.flows.production.payloads.segments import encode

    for hour, frame in frames.items():
        try:
            backend.put(hour.key(f"batch-{batch}"), encode(frame))
        except PenstockError as error:
            logger.warning("payloads of batch %s are not kept: %s", batch, error.message)
        except Exception:
            logger.exception("payloads of batch %s are not kept", batch)


class PayloadLog:
    """The sample of one serve process. Not thread-safe: the recorder's thread alone calls it.

    Args:
        place: opens where segments lie, when the first one is written.
        worker: the process's number, which makes the names of segments its own.
    """

    def __init__(self, place: Callable[[], Backend], worker: int) -> None:
        self._place, self._worker = place, worker
        self._backend: Backend | None = None
        self._held: dict[Hour, list[Exchange]] = {}
        self._settings: dict[str, PayloadSettings] = {}
        self._held_bytes, self._since_s = 0, 0.0
        self._names = itertools.count(1)
        self._is_full = False
        self._trouble = Trouble("payloads wait")

    @staticmethod
    def at(url: str | None, worker: int) -> PayloadLog | None:
        """Return a log of a process at a place, or None where there is none."""
        return None if url is None else PayloadLog(functools.partial(open_backend, url), worker)

    def take(self, exchanges: Sequence[Exchange], monitors: Mapping[str, MonitorSettings]) -> None:
        """Hold what is in the sample of calls that came."""
        for one in exchanges:
            monitor = monitors.get(one.endpoint)
            settings = None if monitor is None else monitor.payloads
            if settings is None or not is_chosen(one, settings):
                continue
            size_bytes = size_of(one)
            if self._held_bytes + size_bytes > MAX_BYTES:
                if not self._is_full:
                    logger.warning("payloads are not kept until those that wait are written")
                self._is_full = True
                continue
            if not self._held:
                self._since_s = time.monotonic()
            self._settings[one.endpoint] = settings
            self._held.setdefault(Hour.of(one.endpoint, one.time_ms), []).append(one)
            self._held_bytes += size_bytes

    def flush(self, *, all_of_it: bool = False) -> None:
        """Write segments when it is time, or in any case; what cannot be written is held.

        Raises:
            Unavailable: the place cannot be reached.
        """
        is_due = time.monotonic() - self._since_s >= SEGMENT_S or self._held_bytes >= SEGMENT_BYTES
        if not self._held or not (is_due or all_of_it):
            return
        from penstock.flows.production.payloads.segments import encode, frame_of

        if self._backend is None:
            self._backend = self._place()
        for hour in list(self._held):
            try:
                data = encode(frame_of(self._held[hour], self._settings[hour.endpoint]))
            except Exception:
                logger.exception("%d calls of %s cannot be kept", len(self._held[hour]), hour.endpoint)
            else:
                self._backend.put(hour.key(f"{self._worker}-{next(self._names)}"), data)
            self._held_bytes -= sum(map(size_of, self._held.pop(hour)))
        self._is_full = False

    def try_flush(self, *, all_of_it: bool = False) -> None:
        """Write segments when it is time; a place that is away is told and tried again."""
        try:
            self.flush(all_of_it=all_of_it)
        except PenstockError as error:
            self._since_s = time.monotonic()
            self._trouble.tell(error)
        else:
            self._trouble.end()

    def close(self) -> None:
        """Write what is held, as far as that can be done."""
        self.try_flush(all_of_it=True)
        if self._backend is not None:
            self._backend.close()
