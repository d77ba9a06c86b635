"""What a serve process could not write by its end: kept on disk, and written by the next one, once.

Where there is no room for it either, its counts are kept, which always have some; then an event tells what is lost.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import PenstockError, described
from penstock.base.numbers import counted
from penstock.base.store.database import Database
from penstock.base.store.events import record_event
from penstock.flows.production.live.accumulating import LateRow
from penstock.flows.production.live.spool import MAX_BYTES, Spool, Waiting
from penstock.monitoring.refusals import Refusal, add_refusals
from penstock.serving.classes import Classes, Served, add_classes
from penstock.serving.predictions.stored import Answers, add_answers
from penstock.serving.told.observations import add_batch

logger = logging.getLogger(__name__)
KIND = "serve"
RESERVE_BYTES = 256 * 1024
"""Room on disk for the counts, taken at the start."""
Join = Callable[[sa.Connection, list[Answers]], None]


class Late(msgspec.Struct, frozen=True, kw_only=True):
    """What could not be written, and of how many requests; `lost` are those of an endpoint of which only counts are known."""

    rows: list[LateRow]
    answers: list[Answers] = []
    classes: list[tuple[Served, Classes]] = []
    refused: list[tuple[Refusal, int]] = []
    request_count: int = 0
    lost: dict[str, int] = {}


class LateRecords:
    """See the module. One thread at a time.

    Args:
        home: where it is kept; None: nowhere, what cannot be written is lost and told.
        max_bytes: what may be kept there.
    """

    def __init__(self, home: Path | None, max_bytes: int = MAX_BYTES) -> None:
        self._spool = (
            None if home is None else Spool(home, KIND, max_bytes=max_bytes, reserve_bytes=RESERVE_BYTES)
        )
        self.is_delivered = False
        """Whether what was kept before is written."""

    def keep(self, late: Late, counts: Late, why: Exception) -> None:
        """Keep what could not be written, or its counts alone, and tell it."""
        spool, what = self._spool, counted(late.request_count, "request")
        reason = why.message if isinstance(why, PenstockError) else described(why)
        if spool is not None and self._put(spool, late):
            logger.warning(
                "what is known of %s waits in %s and is written by the next start: %s",
                what, spool.folder, reason,
            )  # fmt: skip
            return
        if spool is not None:
            spool.release()
        is_counted = spool is not None and self._put(spool, counts)
        logger.error(
            "the answers to %s are lost, and labels cannot be joined to them: the store could not be written (%s), "
            "nor a file%s",
            what, reason, "; their counts wait for the next start" if is_counted else ", not even of their counts",
        )  # fmt: skip

    def deliver(self, database: Database, join: Join, actor: str) -> None:
        """Write what processes before this one kept.

        Args:
            join: joins labels that waited for answers, in the transaction that writes these.

        Raises:
            Unavailable: the store cannot be reached; everything still waits.
        """
        if self._spool is None or self.is_delivered:
            return
        self._spool.adopt()
        for one in self._spool.list():
            try:
                late = msgspec.msgpack.decode(one.read(), type=Late)
            except (OSError, msgspec.MsgspecError) as error:
                logger.error("what an earlier process kept cannot be read: %s", error)
                self._spool.refuse(one)
                continue
            with database.write() as connection:
                is_new = add_batch(connection, _id_of(one), now_ms())
                if is_new:
                    _write(connection, late, join, actor)
            self._spool.remove(one)
            if is_new:
                logger.info(
                    "what an earlier process could not write of %s is written",
                    counted(late.request_count, "request"),
                )
        self.is_delivered = True

    def close(self) -> None:
        """Leave nothing behind but what waits."""
        if self._spool is not None:
            self._spool.close()

    def _put(self, spool: Spool, late: Late) -> bool:
        return spool.keep(KIND, spool.next_id(), now_ms(), msgspec.msgpack.encode(late))


def counts_of(late: Late, rows: list[LateRow]) -> Late:
    """Return what is kept where there is no room: rows without sketches, and how many answers are lost by endpoint."""
    lost: Counter[str] = Counter()
    for one in late.answers:
        lost[one.endpoint] += len(one.rows)
    return Late(rows=rows, refused=late.refused, request_count=late.request_count, lost=dict(lost))


def _write(connection: sa.Connection, late: Late, join: Join, actor: str) -> None:
    for row in late.rows:
        row.write(connection)
    add_answers(connection, late.answers)
    add_classes(connection, dict(late.classes))
    join(connection, late.answers)
    add_refusals(connection, dict(late.refused))
    for endpoint, count in late.lost.items():
        answers = counted(count, "answer")
        summary = (
            f"{answers} of {endpoint} are lost: a serve process ended while neither store nor disk took them"
        )
        cause = {"answer_count": count}
        record_event(connection, "endpoint.answers_lost", f"endpoint:{endpoint}", actor, summary, cause=cause)


def _id_of(one: Waiting) -> str:
    return one.name.split("~")[2].partition(".")[0]
