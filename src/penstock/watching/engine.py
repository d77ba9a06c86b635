"""The threads behind the watched functions of a process: calls to disk, from disk to their place, and what is wanted.

Three threads, so that none waits for another: a store that hangs keeps no call from the disk, and a hook that loads
a model for a minute keeps nothing from being sent.
"""

from __future__ import annotations

import atexit
import encodings.idna  # noqa: F401 - a first look-up of a host would import it while a process may fork
import logging
import multiprocessing.util
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from penstock.base.background import Background
from penstock.base.errors import Invalid, NotARepository, NotFound, PenstockError, Unavailable
from penstock.client.connect import HOME, find_place
from penstock.client.rest import Address
from penstock.flows.production.live.spool import Spool
from penstock.flows.production.live.undelivered import KIND
from penstock.project.project import Project
from penstock.serving.told.current import Current
from penstock.watching.apart import ApartPlace, lost_pools
from penstock.watching.calls import last, numbers
from penstock.watching.counting import Counts
from penstock.watching.places import Place, ServerPlace, StorePlace
from penstock.watching.sending import Sending
from penstock.watching.watched import Hook, Watched, counts_only

logger = logging.getLogger(__name__)
FLUSH_S, SEND_S, FOLLOW_S = 0.5, 0.5, 0.5
ADOPT_EVERY_S = 30.0
ENDING_S = 0.2
"""So long each thread has to end at least."""
FORK_WAIT_S = 1.0
"""So long a fork waits for what the threads are at; a server that hangs must not keep a service from forking."""
CLOSE_S = 3.0
"""So long the end of a process waits, for what it recorded to be delivered and for its threads; what is left stays on disk."""


class Engine:
    """What one process watches. Made with the first watched function; its threads begin with it.

    Args:
        directory: where it is found out where observations go.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.counts = Counts()
        self.watched: dict[tuple[str, str | None], Watched] = {}
        self._place: Place | None = None
        self._spool: Spool | None = None
        self._opening, self._placing = threading.Lock(), threading.Lock()
        self._flushing = threading.Lock()
        self._sending = Sending(self.place, self.counts)
        self._adopted_s = float("-inf")
        self._begun = False
        self._paused: list[Background] = []
        self._lost: frozenset[str] = frozenset()
        self._make_threads()

    def _make_threads(self) -> None:
        self._collector = Background(
            "penstock-watch", self.flush, FLUSH_S, failing="calls are not written to disk"
        )
        self._sender = Background("penstock-watch-send", self.send, SEND_S, failing="observations wait")
        self._follower = Background(
            "penstock-watch-follow",
            self.follow,
            FOLLOW_S,
            failing="it is not known which version is wanted",
            at_once=True,
        )
        self._threads = (self._collector, self._sender, self._follower)

    def add(self, endpoint: str, model: str | None, hook: Hook | None = None) -> Watched:
        """Return what watches an endpoint in this process, and begin to; the same again for the same endpoint and model."""
        with _adding:
            key = (endpoint, model)
            found = self.watched.get(key) or Watched(endpoint, model, self.counts)
            if hook is not None and hook not in found.hooks:
                found.hooks.append(hook)
            self.watched = {**self.watched, key: found}
        self.begin()
        return found

    def find_current(self, endpoint: str) -> Current | None:
        """Return which version an endpoint wanted when it was looked for last; None where nobody did."""
        return next((one.current for one in self.watched.values() if one.endpoint == endpoint), None)

    def begin(self) -> None:
        """Start the threads; again in a child process, with its first call."""
        with _adding:
            if not self._begun:
                self._begun = True
                for one in self._threads:
                    one.start()

    @property
    def has_begun(self) -> bool:
        """Whether its threads run."""
        return self._begun

    @property
    def spool(self) -> Spool:
        """The batches that wait."""
        with self._opening:
            if self._spool is None:
                try:
                    place, home = find_place(directory=self.directory)
                    home = home if isinstance(place, Address) else place.home
                except PenstockError:
                    home = Path.home() / HOME
                self._spool = Spool(home, KIND)
            return self._spool

    def place(self) -> Place:
        """Return where observations go.

        Raises:
            PenstockError: nowhere, or it cannot be opened now.
        """
        with self._placing:
            if self._place is None:
                try:
                    found, _ = find_place(directory=self.directory)
                    self._place = self._place_at(found)
                except (
                    NotARepository,
                    Invalid,
                ) as error:  # a mistake of this process: what waits is not at fault
                    raise Unavailable(error.message, code=error.code, hint=error.hint) from None
            return self._place

    def _place_at(self, found: Address | Project) -> Place:
        if isinstance(found, Address):
            return ServerPlace(found)
        return ApartPlace(found, self.directory, self._lost) if self._lost else StorePlace(found)

    @property
    def waiting_bytes(self) -> int:
        """How much waits on disk or in memory."""
        return 0 if self._spool is None else self._spool.used_bytes

    def flush(self) -> None:
        """Write what was called to disk."""
        with self._flushing:
            for watched in list(self.watched.values()):
                for batch_id, time_ms, data, count in watched.batches(self.spool.next_id):
                    if self.spool.put(watched.endpoint, batch_id, time_ms, data):
                        continue
                    if not self.spool.put(watched.endpoint, batch_id, time_ms, counts_only(data)):
                        self._sending.lose(
                            watched.endpoint, count, "there is no room left for them, on disk or in memory"
                        )
                    else:
                        self.counts.drop(watched.endpoint, count)
        self._sender.wake()

    def send(self) -> None:
        """Deliver what waits, the oldest first.

        Raises:
            PenstockError: the place cannot be reached now; everything else still waits.
        """
        if time.monotonic() - self._adopted_s >= ADOPT_EVERY_S:
            self._adopted_s = time.monotonic()
            self.spool.adopt()
        self._sending.send(self.spool, lambda: self._sender.is_stopping)

    def follow(self) -> None:
        """Look which versions are wanted.

        Raises:
            Unavailable: it cannot be known now.
        """
        place = self.place()
        for watched in list(self.watched.values()):
            try:
                watched.follow(place)
            except (NotFound, Invalid) as error:
                self._sending.explain(place, watched.endpoint, watched.named, error)

    def drain(self, timeout_s: float) -> bool:
        """Write and deliver what was called until now; whether everything was delivered in time."""
        self.flush()
        deadline = time.monotonic() + timeout_s
        while self.spool.list() and time.monotonic() < deadline:
            self._sender.wake()
            time.sleep(0.01)
        return not self.spool.list()

    def close(self) -> None:
        """Deliver what can be delivered soon, leave the rest on disk, and end the threads."""
        if not self._begun:
            return
        deadline_s = time.monotonic() + CLOSE_S
        with suppress(Exception):
            self.drain(CLOSE_S if self._sender.problem is None else 0.0)
        for one in self._threads:  # all are told before any is waited for
            one.stop(0.0)
        for one in self._threads:
            one.stop(max(deadline_s - time.monotonic(), ENDING_S))
        with suppress(Exception):
            self._sending.tell_left(self.spool)
            self.spool.close()
        with suppress(Exception):
            if self._place is not None:
                self._place.close()

    def before_fork(self) -> None:
        """Let the threads rest and nothing of the store be open while the process forks."""
        deadline = time.monotonic() + FORK_WAIT_S
        self._paused = [one for one in self._threads if one.pause(deadline - time.monotonic())]
        if self._place is not None:
            self._place.before_fork(deadline)

    def after_fork_in_parent(self) -> None:
        """In the parent: go on."""
        if self._place is not None:
            self._place.after_fork()
        paused, self._paused = self._paused, []
        for one in paused:
            one.resume()

    def after_fork(self) -> None:
        """In a child: begin anew with the first call, with nothing of the parent's but what is watched."""
        self._paused = []
        if self._spool is not None:
            self._spool.after_fork()
        if self._place is not None:
            self._place.leave()
        _left.append((self._place, self._spool))
        self._lost = lost_pools()
        self._place = self._spool = None
        self._opening, self._placing = threading.Lock(), threading.Lock()
        self._flushing = threading.Lock()
        self._begun = False
        self._adopted_s = float("-inf")
        self.counts = Counts()
        self._sending = Sending(self.place, self.counts)
        for one in self.watched.values():
            one.after_fork(self.counts)
        self._make_threads()


_adding = threading.Lock()
_left: list[object] = []
"""What belongs to a parent process and must not be closed here."""
_engine: Engine | None = None
_guard = threading.Lock()
_forking = threading.Lock()
"""Held from before a fork until after it: threads that fork at the same time do so one after the other."""
_has_hooks = False


def the_engine() -> Engine:
    """Return this process's engine."""
    global _engine, _has_hooks  # noqa: PLW0603 - they belong to the process
    with _guard:
        if _engine is None:
            _engine = Engine(Path.cwd())
        if not _has_hooks:
            _has_hooks = True
            atexit.register(_close)
            os.register_at_fork(
                before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork
            )
            multiprocessing.util.register_after_fork(_close, _close_with_worker)
        return _engine


def find_engine() -> Engine | None:
    """Return this process's engine, if something is watched."""
    return _engine


def _close() -> None:
    if _engine is not None:
        _engine.close()


def _before_fork() -> None:
    _forking.acquire()
    if _engine is not None:
        _engine.before_fork()


def _after_fork_in_parent() -> None:
    try:
        if _engine is not None:
            _engine.after_fork_in_parent()
    finally:
        _forking.release()


def _after_fork() -> None:
    global _guard, _adding, _forking
    _guard, _adding, _forking = threading.Lock(), threading.Lock(), threading.Lock()
    numbers.renew()
    last.set(None)
    if _engine is not None:
        _engine.after_fork()


def _close_with_worker(close: Callable[[], None]) -> None:
    """Have a child of multiprocessing deliver what it recorded before it ends; such a child runs no atexit."""
    multiprocessing.util.Finalize(None, close, exitpriority=100)
