"""Endpoints that are loaded on demand: each in a thread of its own, which neither another endpoint nor an exit waits for.

What loads them is the data plane's lifecycle; who asks while one is being loaded waits for the same load.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from penstock.base.errors import PenstockError, Unavailable, described
from penstock.base.threads import begin
from penstock.serving.repository import ModelRepository

LOADS = 64
"""Endpoints that are loaded on demand at the same time; who asks for another is told to come back."""
Key = tuple[str, int]
"""An endpoint and the number of its current revision: a new one does not wait for the load of one before it."""


class Loads:
    """See the module. Thread-safe.

    Args:
        load: loads what an endpoint serves; blocks.
    """

    def __init__(self, load: Callable[[str], None], repository: ModelRepository) -> None:
        self._load = load
        self._repository = repository
        self._coming: dict[Key, Future[Exception | None]] = {}
        self._lock = threading.Lock()

    async def reach(self, endpoint: str, wait_s: float) -> None:
        """Load an endpoint's current revision, or wait for the load that is under way; return when it is served.

        Raises:
            NotFound: no such endpoint.
            Unavailable: it is not served within `wait_s` seconds (`serving.not_ready`), and is loaded further; or too many
                others are being loaded.
            PenstockError: its model cannot be had, does not load or fails its self-test.
        """
        current = self._repository.current.get(endpoint)
        key = (endpoint, 0 if current is None else current.number)
        with self._lock:
            under_way = self._coming.get(key)
            is_joined = under_way is not None
            if under_way is None:
                if len(self._coming) >= LOADS:
                    raise _loading(endpoint)
                work = partial(self._work, key)
                under_way = self._coming[key] = begin("penstock-load-asked", work)
        await asyncio.wait([asyncio.wrap_future(under_way)], timeout=wait_s)
        problem = under_way.result() if under_way.done() else _loading(endpoint)
        if isinstance(problem, PenstockError):  # one of its own for each caller, who may change it
            raise type(problem)(problem.message, code=problem.code, hint=problem.hint, **problem.fields)
        if problem is not None:
            raise problem
        if (
            is_joined and endpoint in self._repository.withheld
        ):  # unloaded since that load began, and asked for anew
            await self.reach(endpoint, wait_s)

    def _work(self, key: Key) -> Exception | None:
        """Load an endpoint; return why it is not served."""
        problem: Exception | None = None
        try:
            self._load(key[0])
        except Exception as error:  # noqa: BLE001 - told to everybody who waits
            problem = error
        except SystemExit as error:  # of a model's own code
            problem = PenstockError(described(error), code="serving.load_failed")
        with self._lock:
            del self._coming[key]
        return problem


def _loading(endpoint: str) -> PenstockError:
    return Unavailable(
        f"endpoint {endpoint[:128]} is not ready: its model is being loaded still",
        code="serving.not_ready",
        hint="retry later",
        retry_after_s=1,
    )
