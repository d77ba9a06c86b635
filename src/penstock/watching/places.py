"""Where observations go and where it stands which version is wanted: a project's store, or a server.

The contract: `send` may be called again with the same bytes and counts once. Every method raises `Unavailable` where
the place cannot be reached now, and `NotFound` where it does not know the endpoint (yet).
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Protocol
from urllib.parse import quote

import msgspec

from penstock.base.clock import machine_ms
from penstock.base.errors import Invalid, NotFound, Unavailable
from penstock.base.store.clock import keep_in_step
from penstock.client.rest import TIMEOUT_S, Address, Rest
from penstock.flows.production.live.exchanging import tell_sender
from penstock.flows.production.live.ingesting import Ingest
from penstock.project.project import Project
from penstock.registry.references import resolve_version
from penstock.serving.deployments import get_revision
from penstock.serving.told.current import Current
from penstock.serving.told.observations import parse_batch

logger = logging.getLogger(__name__)
CLOCK_S = 2.0
API = "/api/penstock/v1"
PACKED = {"Content-Type": "application/msgpack"}


class Place(Protocol):
    """Takes batches and tells what is wanted; the contract stands at the head of this module."""

    def look(self, endpoint: str) -> Current:
        """Return which version an endpoint wants now."""
        ...

    def resolve(self, reference: str) -> str:
        """Return the version that `NAME/3` or `NAME@alias` means, as `NAME/3`."""
        ...

    def send(self, data: bytes) -> None:
        """Deliver a batch.

        Raises:
            Invalid: nobody will ever take it.
            Denied: the credentials do not allow it.
        """
        ...

    def before_fork(self, deadline: float) -> None:
        """Let nothing be open, or under way, that a child would take for its own.

        Args:
            deadline: of the monotonic clock; what is under way then is left alone.
        """
        ...

    def after_fork(self) -> None:
        """In the parent: go on."""
        ...

    def leave(self) -> None:
        """Let go of what is in memory: in a child, of what is its parent's."""
        ...

    def close(self) -> None:
        """Release what is open."""
        ...


class StorePlace:
    """A project's own store."""

    def __init__(self, project: Project) -> None:
        self._project = project
        _ = project.database  # here, by the one thread that makes this
        self._ingest = Ingest(project)
        self._sending, self._looking = threading.Lock(), threading.Lock()
        self._held: list[threading.Lock] = []
        self._clock_due_s = time.monotonic() + CLOCK_S  # the store was opened just now

    def look(self, endpoint: str) -> Current:
        """Return which version an endpoint wants now."""
        with self._looking, self._project.database.read() as connection:
            return Current.of(get_revision(connection, endpoint))

    def resolve(self, reference: str) -> str:
        """Return the version that a reference means."""
        with self._looking, self._project.database.read() as connection:
            return resolve_version(connection, reference).ref

    def send(self, data: bytes) -> None:
        """Write a batch into the store."""
        self._take(data)

    def _take(self, data: bytes, *, keeps_payloads: bool = True) -> None:
        with self._sending:
            self._keep_in_step()
            batch = parse_batch(data, is_packed=True)
            self._ingest.take(batch, machine_ms(), keeps_payloads=keeps_payloads)

    def _keep_in_step(self) -> None:
        """Go by the store's clock, also once this host's was set right."""
        if time.monotonic() >= self._clock_due_s:
            keep_in_step(self._project.database)
            self._clock_due_s = time.monotonic() + CLOCK_S

    def before_fork(self, deadline: float) -> None:
        """Close the store's connections: SQLite in a child would take the parent's locks for its own."""
        self._held = [
            one
            for one in (self._sending, self._looking)
            if one.acquire(timeout=max(deadline - time.monotonic(), 0.0))
        ]
        if len(self._held) == 2:
            self._project.database.engine.dispose()

    def after_fork(self) -> None:
        """In the parent: go on."""
        held, self._held = self._held, []
        for one in held:
            one.release()

    def leave(self) -> None:
        """Forget what was counted and read; in a child, its parent's connections were closed before.

        What a parent's threads hold is never freed in a child, and sketches among it would be told as leaks at its end.
        """
        self._ingest = Ingest(self._project)
        if "artifacts" in vars(self._project):  # they are not opened for it
            self._project.artifacts.forget()

    def close(self) -> None:
        """Forget what was counted and read, and close the project; a thread may still run."""
        StorePlace.leave(self)
        self._project.close()


class Receipt(msgspec.Struct):
    """What a server says of a batch that it took."""

    batch: str
    sender_ahead_ms: int = 0
    moved_to_now: int = 0


class ServerPlace:
    """A server, by its ingest endpoint."""

    def __init__(self, address: Address, *, timeout_s: float = TIMEOUT_S) -> None:
        self._rest = Rest(address, timeout_s=timeout_s)
        self._is_apart = False

    def look(self, endpoint: str) -> Current:
        """Ask which version an endpoint wants now."""
        data = self._rest.send("GET", f"{API}/endpoints/{quote(endpoint, safe='')}/current")
        try:
            return msgspec.json.decode(data, type=Current)
        except msgspec.DecodeError as error:
            raise Unavailable(
                f"the server's answer cannot be read: {error}", code="client.unavailable"
            ) from None

    def resolve(self, reference: str) -> str:
        """Ask for the version that a reference means."""
        found = self._rest.get(f"{API}/references/{quote(reference, safe='/@')}")
        return f"{found['model']}/{found['number']}"

    def send(self, data: bytes) -> None:
        """Post a batch; only what a Penstock server says of it is final, whatever else answers is not there."""
        try:
            answer = self._rest.send("POST", f"{API}/observations?now_ms={machine_ms()}", data, PACKED)
            self._hear(msgspec.json.decode(answer, type=Receipt))
        except (Invalid, NotFound) as error:
            is_own = not error.fields.get("is_foreign", True) or error.fields.get("server_code")
            if is_own:
                raise
            raise Unavailable(
                f"no Penstock server takes observations there: {error.message}",
                code="client.unavailable",
                hint="check PENSTOCK_URI",
            ) from None
        except msgspec.DecodeError:
            raise Unavailable(
                f"what answers is no Penstock server: {answer[:60]!r}",
                code="client.unavailable",
                hint="check PENSTOCK_URI",
            ) from None

    def _hear(self, receipt: Receipt) -> None:
        """Say in the log that this host's clock is not in step with the server's, and when it is again."""
        is_apart = bool(receipt.sender_ahead_ms or receipt.moved_to_now)
        if is_apart and not self._is_apart:
            told = tell_sender(receipt.sender_ahead_ms, receipt.moved_to_now)
            logger.warning("calls come to the server %s", told)
        self._is_apart = is_apart

    def before_fork(self, deadline: float) -> None:
        """Do nothing: a child makes connections of its own."""

    def after_fork(self) -> None:
        """Do nothing."""

    def leave(self) -> None:
        """Do nothing: a child makes connections of its own."""

    def close(self) -> None:
        """Close the connection of this thread."""
        self._rest.forget()
