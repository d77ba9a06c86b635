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
from penstock.base.errors import Corrupt, PenstockError, Unavailable, described
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
        """Whether what was kept before is written, or put aside."""
        self._told: set[str] = set()

    def keep(self, late: Late, counts: Late, why: Exception) -> None:
        """Keep what could not be written, or its counts alone, and tell it."""
        spool, what = self._spool, counted(late.request_count, "request")
        reason = _words(why)
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

        What the store refuses is put aside and told, so that it holds nothing back; what cannot be read now waits.

        Args:
            join: joins labels that waited for answers, in the transaction that writes these.

        Raises:
            Unavailable: the store cannot be reached; what is not written still waits.
            Corrupt: the store itself is damaged; the same.
        """
        spool, is_all = self._spool, True
        if spool is None or self.is_delivered:
            return
        spool.adopt()
        for one in spool.list():
            try:
                self._deliver(spool, one, database, join, actor)
            except OSError as error:
                is_all = False
                if one.name not in self._told:
                    self._told.add(one.name)
                    logger.warning("what an earlier process kept cannot be read now: %s", error)
        self.is_delivered = is_all

    def _deliver(self, spool: Spool, one: Waiting, database: Database, join: Join, actor: str) -> None:
        data = one.read()
        what = "what an earlier process kept"
        try:
            late = msgspec.msgpack.decode(data, type=Late)
            what = f"what is known of {counted(late.request_count, 'request')}"
            with database.write() as connection:
                is_new = add_batch(connection, _id_of(one), now_ms())
                if is_new:
                    _write(connection, late, join, actor)
        except (Unavailable, OSError):
            raise
        except Exception as error:
            if isinstance(error, Corrupt) and error.code == "store.corrupt":
                raise  # the batch is not at fault: it waits until a copy of the store is put back
            _put_aside(spool, one, what, error)
            return
        spool.remove(one)
        if is_new:
            logger.info(
                "what an earlier process could not write of %s is written",
                counted(late.request_count, "request"),
            )

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


def _put_aside(spool: Spool, one: Waiting, what: str, why: Exception) -> None:
    """Keep what nobody can write out of the way; it is never deleted, since nothing else knows of it."""
    aside = spool.put_aside(one)
    place = f"is put aside in {aside}" if aside else f"stays in {one.path} until the next start"
    logger.error("%s %s, since it cannot be written: %s", what, place, _words(why))


def _words(why: Exception) -> str:
    return why.message if isinstance(why, PenstockError) else described(why)


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
