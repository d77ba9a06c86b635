"""What one worker saw of its windows, each a single row of the store that grows while the window is open.

A window is a row a worker instead of a row a flush, so that a look costs the same however often is written. A
row that was merged away meanwhile is not written again: what came since becomes a row of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from penstock.monitoring.windows import (
    Partial,
    Window,
    WindowKey,
    pack,
    put_partial,
    replace_partial,
)

KEPT_S = 30
"""So long after its end a window is remembered; what comes later becomes a row of its own."""


@dataclass
class _Row:
    sequence: int
    kept: Window | None = None
    """What the store has of it."""
    new: Window | None = None
    """What came since."""
    whole: Window | None = None
    """Both; what was written last, in a transaction that may not have been committed."""
    packed: dict[str, Any] | None = None
    """The whole as its row."""


class LateRow(msgspec.Struct, frozen=True, array_like=True):
    """A packed row that could not be written, and where the store has a part of it, what came since as a row of its own."""

    whole: dict[str, Any]
    rest: dict[str, Any] | None = None

    def write(self, connection: sa.Connection) -> None:
        """Write it; where the part that the store had was merged away meanwhile, what came since."""
        if self.rest is None:
            put_partial(connection, self.whole)
        elif not replace_partial(connection, self.whole):
            put_partial(connection, self.rest)


class Accumulating:
    """The windows of one worker. Not thread-safe.

    Args:
        sequence: running numbers of the worker, which tell its rows of one window apart.
        max_unwritten: windows kept whole while the store is away; of older ones only the counts are.
    """

    def __init__(self, worker: int, sequence: Iterator[int], max_unwritten: int) -> None:
        self._worker, self._sequence, self._max_unwritten = worker, sequence, max_unwritten
        self._rows: dict[WindowKey, _Row] = {}

    @property
    def has_news(self) -> bool:
        """Whether anything waits to be written."""
        return any(row.new is not None for row in self._rows.values())

    def add(self, window: Window) -> None:
        """Add what was seen of a window."""
        row = self._rows.setdefault(window.key, _Row(0))
        row.sequence = row.sequence or next(self._sequence)
        row.new = window if row.new is None else row.new.grown(window)
        row.whole = row.packed = None
        self._bound()

    def prepare(self) -> None:
        """Do what writing needs no transaction for; `write` does it otherwise."""
        for row in self._rows.values():
            if row.new is not None and row.packed is None:
                row.whole = row.new if row.kept is None else row.kept.grown(row.new)
                row.packed = self._pack(row, row.whole)

    def write(self, connection: sa.Connection) -> None:
        """Write what is new, in the caller's transaction; `settle` follows when that was committed."""
        self.prepare()
        for row in self._rows.values():
            if row.new is None or row.packed is None:
                continue
            if row.kept is not None and replace_partial(connection, row.packed):
                continue
            if row.kept is not None:  # it was merged into another row, or deleted
                row.kept, row.whole, row.sequence = None, row.new, next(self._sequence)
                row.packed = self._pack(row, row.new)
            put_partial(connection, row.packed)

    def unwritten(self, *, counts_only: bool = False) -> list[LateRow]:
        """Return what waits to be written, for who writes it when this process is gone.

        Args:
            counts_only: leave the sketches out, which nothing can be told without room for them.
        """
        self.prepare()
        found = []
        for row in self._rows.values():
            if row.new is None or row.whole is None:
                continue
            if counts_only:
                counts = Partial(
                    window=row.new.counts_only(), worker=self._worker, sequence=next(self._sequence)
                )
                found.append(LateRow(pack(counts)))
            elif row.kept is None:
                found.append(LateRow(self._pack(row, row.whole)))
            else:
                rest = pack(Partial(window=row.new, worker=self._worker, sequence=next(self._sequence)))
                found.append(LateRow(self._pack(row, row.whole), rest))
        return found

    def _pack(self, row: _Row, window: Window) -> dict[str, Any]:
        return pack(Partial(window=window, worker=self._worker, sequence=row.sequence))

    def discard(self) -> None:
        """Forget rows with something new, for who writes at once and does not know whether it was committed.

        What comes after that becomes a row of its own, so nothing that was committed is written over.
        """
        self._rows = {key: row for key, row in self._rows.items() if row.new is None}

    def settle(self, now_s: float) -> None:
        """Take what was written for kept, and forget windows that are over."""
        for row in self._rows.values():
            if row.new is not None:
                row.kept, row.new, row.whole, row.packed = row.whole, None, None, None
        over = [key for key, row in self._rows.items() if row.kept and row.kept.end_s + KEPT_S < now_s]
        for key in over:
            del self._rows[key]

    def _bound(self) -> None:
        """Keep only the counts of the oldest of too many windows that wait."""
        if len(self._rows) <= self._max_unwritten:
            return
        waiting = sorted(key for key, row in self._rows.items() if row.kept is None and row.new is not None)
        for key in waiting[: -self._max_unwritten]:
            new = self._rows[key].new
            if new is not None and new.dropped_count < new.request_count:
                self._rows[key].new = new.counts_only()
                self._rows[key].whole = self._rows[key].packed = None
