"""Which version an endpoint wants that nothing watches here: asked in a service's own thread, which waits for seconds at most.

A server or store that hangs takes connections and says nothing. What it told last holds then, as in a watched function.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import TimeoutError as TookTooLong
from functools import partial
from pathlib import Path

from penstock.base.errors import Unavailable
from penstock.base.threads import begin
from penstock.client.connect import find_place
from penstock.client.rest import Address
from penstock.project.project import Project
from penstock.serving.told.current import Current
from penstock.watching.places import ServerPlace, StorePlace

ASK_S = 3.0
"""So long an answer is waited for."""
AGAIN_S = 5.0
"""So long after none came, what was told last is told without asking."""
Key = tuple[str, str]
_told: dict[Key, Current] = {}
_again_s: dict[Key, float] = {}
_guard = threading.Lock()


def ask_current(endpoint: str, directory: Path) -> Current:
    """Return which version an endpoint wants; where nobody answers in `ASK_S`, what was told last in this process.

    Raises:
        NotFound: there is no such endpoint.
        NotARepository: there is neither a project here nor a server's address.
        Unavailable: the store or server cannot be reached, and has never told it.
    """
    place, _ = find_place(directory=directory)
    key = (place.url if isinstance(place, Address) else str(place.root), endpoint)
    with _guard:
        known = _told.get(key)
        if known is not None and time.monotonic() < _again_s.get(key, 0.0):
            return known
    try:
        found = begin("penstock-current", partial(_look, place, endpoint)).result(ASK_S)
    except (Unavailable, TookTooLong) as error:
        with _guard:
            _again_s[key] = time.monotonic() + AGAIN_S
        if known is not None:
            return known
        if isinstance(error, Unavailable):
            raise
        raise Unavailable(
            f"{key[0]} did not tell within {ASK_S:g} s which version {endpoint} wants",
            code="client.unavailable",
            hint="check that it runs",
        ) from None
    with _guard:
        _told[key] = found
        _again_s.pop(key, None)
    return found


def _look(place: Address | Project, endpoint: str) -> Current:
    opened = ServerPlace(place, timeout_s=ASK_S) if isinstance(place, Address) else StorePlace(place)
    try:
        return opened.look(endpoint)
    finally:
        opened.close()
