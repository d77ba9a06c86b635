"""The room of a recorder: what waits to be written is bounded in bytes, and what it does not hold is counted."""

from __future__ import annotations

import cmath
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from penstock.monitoring.windows import WindowKey
from penstock.serving.loaders.model import Columns, Matrix
from penstock.serving.predictions.stored import AnswerRow
from penstock.serving.recorder import Exchange, RecorderState

MAX_BYTES = 256 * 1024 * 1024
OF_AN_EXCHANGE, OF_A_COLUMN, OF_A_TEXT, OF_A_PREDICTION = 700, 200, 60, 500
"""What Python takes beside the values, about, in bytes."""
CONDENSED_BYTES, PORTION_BYTES = 32 * 1024 * 1024, 16 * 1024 * 1024
"""What came is summarised once it takes this much, and so much of it at a time: the rows of a portion are copied."""
LOOKED_AT = 100
"""Texts of a column whose length is looked at; the others count as the same."""


@dataclass
class Missed:
    """Requests of one window that there was no room for.

    `request_count` and `error_count` are of those that nothing else counts; `dropped_count` is of all.
    """

    request_count: int = 0
    error_count: int = 0
    dropped_count: int = 0


class Room:
    """Counts bytes up to a bound. Thread-safe."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._used_bytes, self._fresh_bytes = max_bytes, 0, 0
        self._missed: dict[WindowKey, Missed] = {}
        self._dropped: Counter[str] = Counter()
        self._written_count = 0
        self._lock = threading.Lock()

    @property
    def state(self) -> RecorderState:
        """How much is taken, and how much there was no room for since the process began."""
        with self._lock:
            return RecorderState(
                used_bytes=self._used_bytes,
                max_bytes=self._max_bytes,
                dropped=dict(self._dropped),
                written_count=self._written_count,
            )

    def take(self, size_bytes: int) -> bool:
        """Take room for something; whether there was any."""
        with self._lock:
            used_bytes = self._used_bytes + size_bytes
            if used_bytes > self._max_bytes:
                return False
            self._used_bytes = used_bytes
            self._fresh_bytes += size_bytes
            return True

    @property
    def is_crowded(self) -> bool:
        """Whether much was taken since the last `note_condensed`."""
        return self._fresh_bytes > CONDENSED_BYTES

    def note_condensed(self) -> None:
        """Note that what took room so far has been summarised, or is about to be."""
        with self._lock:
            self._fresh_bytes = 0

    def give_back(self, size_bytes: int) -> None:
        """Give room back."""
        with self._lock:
            self._used_bytes -= size_bytes

    def note_written(self, count: int) -> None:
        """Note that so many requests more are in the store."""
        with self._lock:
            self._written_count += count

    def miss(self, key: WindowKey, *, has_failed: bool = False, is_counted: bool = False) -> None:
        """Count a request without room; `is_counted` where its window knows already that it came."""
        with self._lock:
            found = self._missed.setdefault(key, Missed())
            found.request_count += not is_counted
            found.error_count += has_failed
            found.dropped_count += 1
            self._dropped[key.endpoint] += 1

    def missed(self) -> dict[WindowKey, Missed]:
        """Return what was counted since the last call."""
        with self._lock:
            found, self._missed = self._missed, {}
            return found


def size_of(one: Exchange) -> int:
    """Return about how many bytes an exchange takes; 0.1 us a column of numbers."""
    return weigh(one)[0]


def weigh(one: Exchange) -> tuple[int, bool]:
    """Return about how many bytes an exchange takes, and whether it is bad: it failed, or answered what is no finite number.

    Every request is looked at while its client waits, so both are found in one pass over the outputs.
    """
    size_bytes = OF_AN_EXCHANGE + _size_of_columns(one.inputs)
    is_bad = one.error is not None
    for values in one.outputs.values():
        kind = values.dtype.kind
        size_bytes += OF_A_COLUMN + (_size_of_texts(values) if kind == "O" else values.nbytes)
        if kind in "fc" and not _is_finite(values):
            is_bad = True
    return size_bytes, is_bad


def _is_finite(values: npt.NDArray[np.generic]) -> bool:
    """Whether all numbers are finite; a single one is looked at without numpy, which takes 5 us."""
    return cmath.isfinite(values.item()) if values.size == 1 else bool(np.isfinite(values).all())


def portions_of(exchanges: list[Exchange], size_bytes: int) -> Iterator[tuple[list[Exchange], int]]:
    """Take exchanges out of a list, in their order, about `PORTION_BYTES` at a time; each comes with what it takes.

    Args:
        size_bytes: what all of them take.
    """
    if size_bytes <= PORTION_BYTES:
        yield exchanges, size_bytes
        return
    waiting = deque((one, size_of(one)) for one in exchanges)
    exchanges.clear()
    while waiting:
        portion: list[Exchange] = []
        taken_bytes = 0
        while waiting and (not portion or taken_bytes + waiting[0][1] <= PORTION_BYTES):
            one, its_bytes = waiting.popleft()
            portion.append(one)
            taken_bytes += its_bytes
        yield portion, taken_bytes


def size_of_answers(rows: Sequence[AnswerRow]) -> int:
    """Return about how many bytes answers take that are to be written."""
    return len(rows) * OF_A_PREDICTION + sum([len(row[1]) + len(row[3] or b"") for row in rows])


def _size_of_columns(columns: Columns) -> int:
    if type(columns) is Matrix:
        return OF_A_COLUMN + columns.values_by_row.nbytes
    size_bytes = 0
    for values in columns.values():
        size_bytes += OF_A_COLUMN + (_size_of_texts(values) if values.dtype.kind == "O" else values.nbytes)
    return size_bytes


def _size_of_texts(values: npt.NDArray[np.generic]) -> int:
    few = values[:LOOKED_AT]
    texts = sum(len(one) for one in few if isinstance(one, str))
    return len(values) * OF_A_TEXT + texts * len(values) // max(1, len(few))
