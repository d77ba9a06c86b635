"""Batches from disk to their place, the oldest first. One that cannot be taken yet keeps no other waiting.

What a batch waits for is a matter of its endpoint and of the version it names: so long those two are not taken, no batch
of them is tried, and all others are.
"""

from __future__ import annotations

import logging
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec

from penstock.base.errors import Corrupt, Invalid, NotFound, PenstockError, Unavailable
from penstock.base.numbers import counted
from penstock.flows.production.live.spool import Spool, Waiting, is_past
from penstock.flows.production.live.undelivered import Reason, write_reasons
from penstock.serving.told.observations import BatchHead, read_head
from penstock.watching.counting import Counts
from penstock.watching.places import Place

logger = logging.getLogger(__name__)
RETRY_S = 5.0
"""After this long what was not taken is tried again."""
KEPT_DAYS = 28.0
Key = tuple[str, str]
"""The endpoint, and the version that a service named; empty for none."""
STAY = "the next watched process of this project on this machine sends them"


class Sending:
    """Sends what one process has on disk. One thread sends; any may ask.

    Args:
        place: returns where batches go.
    """

    def __init__(self, place: Callable[[], Place], counts: Counts) -> None:
        self._place, self._counts = place, counts
        self._heads: dict[str, BatchHead] = {}
        self._again_s: dict[Key, float] = {}
        self._why: dict[Key, str] = {}
        self._problem = ""
        self._telling = threading.Lock()

    def send(self, spool: Spool, is_stopping: Callable[[], bool]) -> None:
        """Deliver what waits.

        Raises:
            PenstockError: the place cannot be reached now; everything else still waits.
        """
        waiting = spool.list()
        self._heads = {one.name: self._heads[one.name] for one in waiting if one.name in self._heads}
        try:
            self._send_all(spool, waiting, is_stopping)
        except Exception as error:
            self._problem = _words(error)
            raise
        else:
            self._problem = ""
        finally:
            write_reasons(spool, self._reasons())

    def _send_all(self, spool: Spool, waiting: Sequence[Waiting], is_stopping: Callable[[], bool]) -> None:
        unexpected: Exception | None = None
        for one in waiting:
            if is_stopping():
                break
            if is_past(one, KEPT_DAYS):
                self.lose(one.endpoint, self._count(one), f"nothing took them for {KEPT_DAYS:g} days")
                spool.remove(one)
                continue
            if self._again_s and time.monotonic() < self._again_s.get(self._key(one), 0.0):
                continue
            place = self._place()
            try:
                place.send(one.read())
            except FileNotFoundError:
                continue
            except Unavailable:
                raise
            except (Invalid, Corrupt) as error:
                self._counts.refused[one.endpoint] += 1
                self.lose(one.endpoint, self._count(one), f"they were refused: {failure_of(error)}")
                spool.refuse(one)
            except PenstockError as error:
                self._wait(one, self._why_waiting(place, self._key(one), error))
            except Exception as error:  # noqa: BLE001 - raised when the others were tried
                self._wait(one, _words(error))
                unexpected = error
            else:
                if self._why:
                    self._again_s.pop(self._key(one), None)
                    self._why.pop(self._key(one), None)
                spool.remove(one)
        if unexpected is not None:
            raise unexpected

    def explain(self, place: Place, endpoint: str, model: str | None, error: PenstockError) -> None:
        """Tell once why calls of a version wait, or will not be taken."""
        key = (endpoint, model or "")
        what = "are refused" if isinstance(error, Invalid) else "wait on disk"
        self._tell(key, self._why_waiting(place, key, error), what=what)

    def tell_left(self, spool: Spool) -> None:
        """Say what stays on disk when the process ends."""
        for key, (calls, batches) in self._left(spool).items():
            why = self._why.get(key) or self._problem or "they were not sent in time"
            logger.warning(
                "%s of %s %s on disk in %s (%s): %s; %s",
                counted(calls, "call"), key[0], "stays" if calls == 1 else "stay",
                spool.folder, counted(batches, "batch", "batches"), why, STAY,
            )  # fmt: skip

    def lose(self, endpoint: str, count: int, why: str) -> None:
        """Tell that calls are lost, and count them."""
        self._counts.drop(endpoint, count)
        logger.error("%d calls of %s are lost: %s", count, endpoint, why)

    def _left(self, spool: Spool) -> dict[Key, tuple[int, int]]:
        found: dict[Key, tuple[int, int]] = {}
        for one in spool.list():
            key = self._key(one)
            calls, batches = found.get(key, (0, 0))
            found[key] = (calls + self._count(one), batches + 1)
        return found

    def _wait(self, one: Waiting, why: str) -> None:
        key = self._key(one)
        self._again_s[key] = time.monotonic() + RETRY_S
        self._tell(key, why)

    def _tell(self, key: Key, why: str, *, what: str = "wait on disk") -> None:
        with self._telling:
            is_new = self._why.get(key) != why
            self._why[key] = why
        if is_new:
            logger.warning("calls of %s %s: %s", key[0], what, why)

    def _why_waiting(self, place: Place, key: Key, error: PenstockError) -> str:
        endpoint, model = key
        if not isinstance(error, NotFound):
            return failure_of(error)
        try:
            place.look(endpoint)
        except NotFound:
            mend = f"penstock deploy {shlex.quote(endpoint)} --model {shlex.quote(model or 'NAME@champion')}"
            return f"{error.message}; they are recorded after: {mend}"
        except PenstockError:
            return error.message
        return f"{error.message}; they are recorded once there is one"

    def _reasons(self) -> Iterator[Reason]:
        if self._problem:
            yield Reason(endpoint="", model="", why=self._problem)
        for (endpoint, model), why in sorted(self._why.items()):
            yield Reason(endpoint=endpoint, model=model, why=why)

    def _key(self, one: Waiting) -> Key:
        head = self._head(one)
        return (one.endpoint, "") if head is None else _key_of(head)

    def _count(self, one: Waiting) -> int:
        head = self._head(one)
        return 0 if head is None else head.call_count

    def _head(self, one: Waiting) -> BatchHead | None:
        """Return what a batch is about; None of a file that another version wrote, or that is gone."""
        if one.name not in self._heads:
            try:
                self._heads[one.name] = read_head(one.read())
            except (OSError, msgspec.DecodeError):
                return None
        return self._heads[one.name]


def failure_of(error: PenstockError) -> str:
    """Return an error with its next step, for the log."""
    return f"{error.message} ({error.hint})" if error.hint else error.message


def _words(error: Exception) -> str:
    return error.message if isinstance(error, PenstockError) else f"{type(error).__name__}: {error}"


def _key_of(head: BatchHead) -> Key:
    return head.endpoint, head.model or ""
