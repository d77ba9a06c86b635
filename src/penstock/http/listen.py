"""Listen on a socket bound before anything else starts, so that a port in use is told at once."""

from __future__ import annotations

import asyncio
import errno
import gc
import select
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec
import uvicorn
import uvicorn.server

from penstock.base.errors import Conflict, Invalid
from penstock.base.prepared import prepare_types
from penstock.base.process import allow_open_files, keep_freed_memory
from penstock.http.protocol import WireProtocol
from penstock.http.resting import MOST, RESERVED_FILES, Patience, Resting

BACKLOG = 2048
"""Connections that may wait to be taken, also while a process that begins loads its models."""
SWITCH_S = 0.001
"""So long a thread that computes keeps the interpreter from the loop, each time it has waited; 5 ms by default."""
COLLECT_AFTER = (50_000, 20, 100)
"""An answer of 200 runs makes 20,000 objects; by default it would be collected over 28 times (40 % slower)."""


def ending_signals() -> list[signal.Signals]:
    """Return the signals that end a server in order: also that a terminal was closed, unless it is to outlive it (nohup)."""
    asked = [signal.SIGINT, signal.SIGTERM]
    return asked if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [*asked, signal.SIGHUP]


TAKE_S, TURNS = 0.25, 3
"""So long a server that ends takes the connections that wait to be taken; so many turns of the loop each then begins."""


class ServerState(uvicorn.server.ServerState):
    """What the connections of a server know of it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_ending = False


class Server(uvicorn.Server):
    """uvicorn raises the signal that stopped it once more, which would end the process before the flush.

    It also waits for ever for requests that do not come (see `resting`).
    """

    def __init__(self, config: uvicorn.Config, patience: Patience) -> None:
        super().__init__(config)
        self.server_state = self._state = ServerState()
        self.resting = Resting(patience)
        self.companion: Companion | None = None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End both servers at the same time: each has the whole of the time that there is."""
        await self._take_waiting(sockets or ())
        self._state.is_ending = True
        if self.companion is None:
            await super().shutdown(sockets)
            return
        grace_s = float(self.config.timeout_graceful_shutdown or 0)
        await asyncio.gather(super().shutdown(sockets), self.companion.stop(grace_s))

    async def _take_waiting(self, sockets: Sequence[socket.socket]) -> None:
        """Take the connections that wait at the port: closing it would reset them, with the requests in them."""
        waiting = select.poll()
        for one in sockets:
            waiting.register(one.fileno(), select.POLLIN)
        until_s = time.monotonic() + TAKE_S
        while waiting.poll(0) and time.monotonic() < until_s:
            await asyncio.sleep(0)
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def on_tick(self, counter: int) -> bool:
        """Look at the connections once a second; ten ticks are one."""
        if counter % 10 == 0:
            self.resting.look(list(self.server_state.connections), time.monotonic())
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let SIGINT, SIGTERM and SIGHUP end the server, and only the server."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {one: signal.signal(one, self.handle_exit) for one in ending_signals()}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)


def bind_shared(host: str, port: int, count: int) -> list[socket.socket]:
    """Return sockets on one port, between which the kernel shares out the connections.

    Raises:
        Conflict: somebody else listens there.
        Invalid: as for `bind`.
    """
    bind(host, port).close()  # sharing would also let in a server that was there before
    first = bind(host, port, is_shared=True)
    port = first.getsockname()[1]
    shared = [bind(host, port, is_shared=True) for _ in range(count)]
    first.close()  # a port that the system gave is lost with the first shutdown; one that was named is kept
    return shared


def bind(host: str, port: int, option: str = "--port", *, is_shared: bool = False) -> socket.socket:
    """Return a bound TCP socket; `option` is what names its port on the command line.

    Raises:
        Conflict: somebody else listens there (`serving.port_in_use`).
        Invalid: the host is not an address of this machine, or the port needs rights one lacks.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if is_shared:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise Conflict(
                f"port {port} on {host} is in use by another program",
                code="serving.port_in_use",
                hint=f"stop it, or choose another port: {option} {port + 1}",
                port=port,
            ) from None
        raise Invalid(
            f"cannot listen on {host} port {port}: {error.strerror or error}",
            code="serving.cannot_listen",
            hint=f"check --host and {option}",
        ) from None
    return bound


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """Paths of PEM files: the server's chain and key, and who must have signed clients' certificates.

    `ends` are when the first certificate of a file ends, in seconds since the epoch, by the option that names it.
    """

    cert: str
    key: str
    client_ca: str | None = None
    ends: dict[str, float] = {}


def check_tls(tls: Tls) -> None:
    """Check that TLS can be spoken with these files.

    Raises:
        Invalid: one cannot be read, or they do not belong together (`http.bad_tls`).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.cert, tls.key, password=lambda: b"")
        if tls.client_ca is not None:
            context.load_verify_locations(tls.client_ca)
    except (OSError, ssl.SSLError) as error:
        raise Invalid(
            f"TLS cannot be spoken with {tls.cert} and {tls.key}: {error}",
            code="http.bad_tls",
            hint="name PEM files: --tls-cert CHAIN --tls-key KEY, the key without a passphrase",
        ) from None


def url_of(bound: socket.socket, host: str, tls: Tls | None = None) -> str:
    """Return the URL of a socket bound to `host`."""
    name = f"[{host}]" if ":" in host else host
    return f"{'http' if tls is None else 'https'}://{name}:{bound.getsockname()[1]}"


def make_server(
    application: Any,
    *,
    drain_s: int,
    keep_alive_s: int = 75,
    tls: Tls | None = None,
    proxies: Sequence[str] = (),
    arrival_s: float | None = None,
    protocol: Any = WireProtocol,
) -> Server:
    """Return a server of an ASGI application; requests under way get `drain_s` when it ends.

    Args:
        keep_alive_s: so long a connection may rest.
        arrival_s: so long a request may take to arrive; any time by default, as uploads need.
        proxies: addresses or networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
        protocol: what makes the protocol of a connection, as uvicorn calls it.
    """
    prepare_types()  # the threads of whatever is served begin after this
    config = uvicorn.Config(
        application,
        loop="uvloop",
        http=protocol,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        ssl_certfile=None if tls is None else tls.cert,
        ssl_keyfile=None if tls is None else tls.key,
        ssl_ca_certs=None if tls is None else tls.client_ca,
        ssl_cert_reqs=ssl.CERT_NONE if tls is None or tls.client_ca is None else ssl.CERT_REQUIRED,
        date_header=False,
        timeout_keep_alive=keep_alive_s,
        timeout_graceful_shutdown=drain_s,
        backlog=BACKLOG,
    )
    return Server(config, Patience(rest_s=keep_alive_s, arrival_s=arrival_s))


class Companion(Protocol):
    """Another server that lives as long, on the same loop."""

    async def start(self, most: int) -> None:
        """Listen, and take so many connections at most."""

    async def stop(self, grace_s: float) -> None:
        """End, with time for what is under way."""


def serve_on(bound: socket.socket, server: Server, companion: Companion | None = None) -> None:
    """Answer requests until SIGTERM, SIGINT or `should_exit`; requests under way are finished."""
    gc.collect()
    gc.freeze()  # models and modules stay: without them a collection pauses requests for less long
    gc.set_threshold(*COLLECT_AFTER)
    gc.enable()
    keep_freed_memory()
    sys.setswitchinterval(SWITCH_S)
    sharing = 1 if companion is None else 2
    files = allow_open_files(sharing * MOST + RESERVED_FILES) - RESERVED_FILES
    most = max(1, min(MOST, files // sharing))
    server.resting.patience = msgspec.structs.replace(server.resting.patience, most=most)
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(_serve(bound, server, companion, most))


async def _serve(bound: socket.socket, server: Server, companion: Companion | None, most: int) -> None:
    if companion is None:
        await server.serve(sockets=[bound])
        return
    await companion.start(most)
    server.companion = companion
    try:
        await server.serve(sockets=[bound])
    finally:
        await companion.stop(0)  # what the server's own end has left
