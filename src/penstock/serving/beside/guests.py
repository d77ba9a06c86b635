"""Versions that are asked for by number and take no part in an endpoint's revision: loaded on demand, a few at a time.

How many an endpoint may have is its policy's to say (`traffic.other_versions`); whether one may be asked for at all,
whoever allows it. The one that was asked for least recently leaves when there is no room. What takes part in a
revision is in `repository`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial

import msgspec

from penstock.base.errors import PenstockError, Unavailable, described
from penstock.base.threads import begin
from penstock.serving.repository import LoadedModel, ServedRevision

logger = logging.getLogger(__name__)
CHECKED_S = 10.0
"""After this long it is asked again whether a version may be asked for."""
REFUSED_S = 5.0
"""So long a version that could not be had is not tried again."""
LOADS = 2
"""Versions of one endpoint that are loaded at the same time; who asks for another is told to come back."""
REFUSALS_MAX = 256


class Guest(msgspec.Struct):
    """A version that was loaded; until when it is known that it may be asked for."""

    model: LoadedModel
    checked_until_s: float


class Key(msgspec.Struct, frozen=True):
    """Which version, on which endpoint."""

    endpoint: str
    model: str
    version: int


class Guests:
    """See the module. Thread-safe.

    Args:
        load: loads and proves a version; raises PenstockError.
        allow: raises PenstockError where a version may not be asked for; None: none may.
    """

    def __init__(
        self,
        load: Callable[[str, int], LoadedModel],
        allow: Callable[[str, int], None] | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._allow = allow
        self._clock_s = clock_s
        self.room: Mapping[str, int] = {}
        """How many versions each endpoint may have beside those of its revision; replaced whole."""
        self._guests: OrderedDict[Key, Guest] = OrderedDict()
        self._refusals: OrderedDict[Key, tuple[float, PenstockError]] = OrderedDict()
        self._coming: dict[Key, Future[PenstockError | None]] = {}
        self._lock = threading.Lock()

    def find(self, served: ServedRevision, version: int) -> LoadedModel | None:
        """Return a version that was reached before, or None."""
        found = self._guests.get(_key(served, version))
        return None if found is None else found.model

    def versions(self, served: ServedRevision) -> list[int]:
        """Return the numbers of an endpoint's loaded versions, in order."""
        with self._lock:
            return sorted(
                key.version
                for key in self._guests
                if (key.endpoint, key.model) == (served.revision.endpoint, served.revision.model)
            )

    async def reach(self, served: ServedRevision, version: int, wait_s: float) -> None:
        """Make sure that `find` finds a version, where the policy has room for any.

        Raises:
            NotFound: there is no such version.
            Refused: it may not be asked for.
            Unavailable: it is not loaded within `wait_s` seconds (`serving.version_loading`), too many others are
                being loaded, or the store cannot be reached.
            PenstockError: it does not load or fails its self-test.
        """
        key = _key(served, version)
        with self._lock:
            if self._allow is None or not self.room.get(key.endpoint, 0):
                return
            guest = self._guests.get(key)
            now_s = self._clock_s()
            if guest is not None:
                self._guests.move_to_end(key)
                if guest.checked_until_s > now_s:
                    return
            until_s, refusal = self._refusals.get(key, (0.0, None))
            if refusal is not None and until_s > now_s:
                raise _again(refusal)
            under_way = self._coming.get(key) or self._invite(key, self._allow)
        await asyncio.wait([asyncio.wrap_future(under_way)], timeout=wait_s)
        problem = under_way.result() if under_way.done() else None if guest else _loading(key)
        if problem is not None:
            raise _again(problem)

    def keep(self, served: Mapping[str, ServedRevision]) -> None:
        """Forget versions of endpoints that are not served any more, or that there is no room for."""
        with self._lock:
            for key in list(self._guests):
                now = served.get(key.endpoint)
                if (
                    now is None
                    or now.revision.model != key.model
                    or key.version in {*now.models, *now.left_out}
                ):
                    del self._guests[key]
            for endpoint in {key.endpoint for key in self._guests}:
                self._trim(endpoint)

    def _invite(self, key: Key, allow: Callable[[str, int], None]) -> Future[PenstockError | None]:
        if sum(one.endpoint == key.endpoint for one in self._coming) >= LOADS:
            raise _loading(key)
        under_way = self._coming[key] = begin("penstock-guest", partial(self._admit, key, allow))
        return under_way

    def _admit(self, key: Key, allow: Callable[[str, int], None]) -> PenstockError | None:
        """Load a version that may be asked for; return why it cannot be had."""
        problem: PenstockError | None = None
        model: LoadedModel | None = None
        try:
            allow(key.model, key.version)
            model = self._load(key.model, key.version)
        except PenstockError as error:
            problem = error
        except Exception as error:
            logger.exception("version %s of %s cannot be had", key.version, key.model)
            problem = PenstockError(described(error), code="serving.load_failed")
        with self._lock:
            del self._coming[key]
            now_s = self._clock_s()
            known = self._guests.get(key)
            if isinstance(problem, Unavailable) and known is not None:
                known.checked_until_s = now_s + CHECKED_S  # while the store is away, what was allowed is
                return None
            if model is not None:
                self._guests[key] = Guest(model, now_s + CHECKED_S)
                self._guests.move_to_end(key)
                self._trim(key.endpoint)
                return None
            self._guests.pop(key, None)
            if problem is not None:
                self._refusals[key] = (now_s + REFUSED_S, problem)
                if len(self._refusals) > REFUSALS_MAX:
                    self._refusals.popitem(last=False)
        return problem

    def _trim(self, endpoint: str) -> None:
        held = [key for key in self._guests if key.endpoint == endpoint]
        for key in held[: max(0, len(held) - self.room.get(endpoint, 0))]:
            del self._guests[key]


def _key(served: ServedRevision, version: int) -> Key:
    return Key(served.revision.endpoint, served.revision.model, version)


def _loading(key: Key) -> PenstockError:
    return Unavailable(
        f"version {key.version} of {key.model} is not loaded yet",
        code="serving.version_loading",
        hint="retry later",
        retry_after_s=1,
    )


def _again(error: PenstockError) -> PenstockError:
    """Return an error of its own for each caller, who may add to its fields."""
    return type(error)(error.message, code=error.code, hint=error.hint, **error.fields)
