"""Parts of a batch job in the making: answered rows come in, and go out as a part that is recorded once and kept.

Rows are answered in bunches that fit into memory with all their inputs; of a bunch only what is written and what is
recorded of it is kept. A part is many bunches, since to finish one costs a transaction and the writing of a window.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from penstock.flows.production.live.summarising import ScoredRows
from penstock.flows.production.scoring.answering import Answered
from penstock.flows.production.scoring.job import REASONS_KEPT, BadRow, Finished, Job, Parts
from penstock.flows.production.scoring.recording import Part as RecordedPart
from penstock.flows.production.scoring.recording import Recording
from penstock.flows.production.scoring.rows import Asked
from penstock.flows.production.scoring.wanted import Part
from penstock.flows.production.scoring.writing import frame_of, ids_of, join_frames, render_part
from penstock.serving.predictions.runs import COUNTER_MAX

PART_S = 10.0
"""A part ends after so long, so that a kill costs no more however slow the model is."""
Show = Callable[[int, float], None]


@dataclass(frozen=True)
class Bunch:
    """Rows of a table that were answered: the table's number and name, and the number of its first row in it."""

    table: int
    name: str
    first_row: int
    read: Part
    asked: Asked
    answered: Answered


class _Making:
    """A part that is not finished."""

    def __init__(self, first: Bunch, recorded: RecordedPart | None, counter: int) -> None:
        self.table, self.next_row, self.names = first.table, first.first_row, first.asked.names
        self.recorded, self.next_counter = recorded, counter
        self.frames: list[pl.DataFrame] = []
        self.rows = self.answered = self.bad = self.failed = 0
        self.reasons: list[BadRow] = []
        self.began_s = time.monotonic()


class Maker:
    """Makes a job's parts, in their order. Used by one thread.

    After a failure it takes nothing more: what comes later would stand in the wrong place.

    Args:
        done: the parts that are finished; those it makes are added.
        kinds: the columns that the model's outputs become, where none of a bunch's rows has an answer.
        share_of: tells which share of the input's bytes lies before a table.
    """

    def __init__(
        self,
        job: Job,
        parts: Parts,
        done: list[Finished],
        recording: Recording | None,
        kinds: Mapping[str, pl.DataType],
        share_of: Callable[[int], float],
        show: Show | None,
    ) -> None:
        self._job, self._parts, self._done = job, parts, done
        self._recording, self._kinds = recording, kinds
        self._share_of, self._show = share_of, show
        self._making: _Making | None = None
        self._is_broken = False
        self._rows_must_be = None if recording is None else recording.recorded_rows(job.id, len(done))
        self.is_unfinished = self._rows_must_be is not None
        """Whether a part may have been recorded that is not finished."""

    def take(self, bunch: Bunch) -> None:
        """Take answered rows, and finish the part where they fill it.

        Raises:
            Unavailable: the store or the place cannot be reached.
            Invalid: two columns would have one name.
        """
        if self._is_broken:
            return
        self._is_broken = True
        if self._making is not None and self._making.table != bunch.table:
            self._finish(self._making)
        making = self._making or self._begin(bunch)
        self._making = making
        self._add(making, bunch)
        if self._is_full(making):
            self._finish(making)
        self._is_broken = False
        if self._show is not None:
            under_way = 0 if self._making is None else self._making.rows
            self._show(sum(one.rows for one in self._done) + under_way, self._share_of(bunch.table))

    def finish(self) -> None:
        """Finish the last part."""
        if self._is_broken or self._making is None:
            return
        self._is_broken = True
        self._finish(self._making)
        self._is_broken = False

    def _begin(self, first: Bunch) -> _Making:
        where, recorded = self._job.watching, None
        if where is not None and self._recording is not None:
            recorded = self._recording.begin(where)
        return _Making(first, recorded, self._done[-1].next_counter if self._done else 0)

    def _is_full(self, making: _Making) -> bool:
        if self._rows_must_be is not None:
            return making.rows >= self._rows_must_be
        return making.rows >= self._job.asked.part_rows or time.monotonic() - making.began_s > PART_S

    def _add(self, making: _Making, bunch: Bunch) -> None:
        asked, answered, height = bunch.asked, bunch.answered, bunch.read.frame.height
        count, where, ids, counter = len(answered.rows), self._job.watching, None, making.next_counter
        if where is not None:
            if counter % COUNTER_MAX + count > COUNTER_MAX:
                counter = (counter // COUNTER_MAX + 1) * COUNTER_MAX
            ids = ids_of(where.id_of(counter), count)
        reasons = asked.reasons | {int(asked.rows[row]): why for row, why in answered.failed.items()}
        frame = frame_of(
            bunch.read.frame.select(self._job.asked.columns),
            height,
            answered.outputs,
            asked.rows[answered.rows],
            ids,
            reasons,
            self._kinds,
        )
        self._kinds = {name: frame.schema[name] for name in answered.outputs} or self._kinds
        making.frames.append(frame)
        if making.recorded is not None:
            scored = ScoredRows(
                asked.columns, answered.outputs, answered.rows, len(asked.rows), answered.seconds
            )
            making.recorded.add(scored, counter, height)
        making.next_counter = counter + count
        making.next_row = bunch.first_row + height
        making.rows += height
        making.answered += count
        making.bad += len(asked.reasons)
        making.failed += len(answered.failed)
        room = REASONS_KEPT - len(making.reasons)
        making.reasons += [
            BadRow(table=bunch.name, row=_number(bunch, row), reason=reasons[row])
            for row in sorted(reasons)[:room]
        ]

    def _finish(self, making: _Making) -> None:
        number, suffix = len(self._done), self._job.asked.suffix
        data = render_part(join_frames(making.frames), suffix)
        self.is_unfinished = making.recorded is not None
        if making.recorded is not None and self._recording is not None:
            self._recording.record(self._job.id, number, making.recorded)
        finished = Finished(
            number=number,
            table=making.table,
            next_row=making.next_row,
            rows=making.rows,
            answered=making.answered,
            bad=making.bad,
            failed=making.failed,
            next_counter=making.next_counter,
            reasons=tuple(making.reasons),
            names=making.names,
        )
        self._parts.finish(finished, data, suffix)
        self._done.append(finished)
        self._making, self._rows_must_be, self.is_unfinished = None, None, False


def _number(bunch: Bunch, place: int) -> int:
    """Return the number of a row in its table: the place from 1, or the line where empty ones lie between."""
    numbers = bunch.read.numbers
    return bunch.first_row + place + 1 if numbers is None else numbers[place]
