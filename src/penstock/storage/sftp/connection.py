"""One SSH connection with a few SFTP channels, driven by an event loop in a thread of its own.

It connects at the first call, connects again when the connection breaks, and translates what cannot be helped.
The user's `~/.ssh/config`, agent and default keys are used as OpenSSH would. A server's key is checked against
`~/.ssh/known_hosts`; that of a server never seen before is noted there (OpenSSH's `accept-new`), a changed one
is refused. What is stored where is the business of `penstock.storage.sftp.backend`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import asyncssh

from penstock.base.errors import Denied, Invalid, PenstockError, Unavailable
from penstock.base.threads import begin

CHANNELS = 4  # each is one sftp-server process, which answers one request at a time
ATTEMPTS = 5
FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.1, 5.0
KEEPALIVE_COUNT = 3  # unanswered ones that mean the server is gone
CIPHERS = ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes256-ctr", "aes192-ctr", "aes128-ctr"]
BROKEN = (
    asyncssh.ConnectionLost,
    asyncssh.SFTPConnectionLost,
    asyncssh.SFTPNoConnection,
    asyncssh.ServiceNotAvailable,
    asyncssh.ChannelOpenError,
    OSError,
    asyncio.TimeoutError,
)
T = TypeVar("T")


@dataclass(frozen=True)
class SshTarget:
    """Where to connect and as whom; what is None comes from `~/.ssh/config` or OpenSSH's defaults.

    `timeout_s` bounds the connecting and, after that, how long the server may say nothing.
    """

    url: str
    host: str
    port: int | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    keyfile: str | None = None
    passphrase: str | None = field(default=None, repr=False)
    timeout_s: float = 60
    has_agent: bool = True
    has_gss: bool = False
    max_sessions: int = CHANNELS


class SshConnection:
    """Runs SFTP actions for any number of threads. `close` ends it."""

    def __init__(self, target: SshTarget) -> None:
        self.target = target
        self._connection: asyncssh.SSHClientConnection | None = None
        self._channels: list[asyncssh.SFTPClient] = []
        self._turn = itertools.count()
        self._connecting = asyncio.Lock()
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: Future[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether anything was run, and it was not closed since."""
        return self._loop is not None

    def run(self, action: Callable[[asyncssh.SFTPClient], Awaitable[T]]) -> T:
        """Return what `action` returns; it is started anew after each break of the connection.

        Raises:
            Denied: the server refuses the user, or is not the one that was known.
            Unavailable: no connection after some attempts.
            asyncssh.SFTPError: what the server answered the action.
        """
        return self.call(self._attempt(action))

    def call(self, work: Awaitable[T]) -> T:
        """Return the result of a coroutine that runs in the connection's thread."""
        future = asyncio.run_coroutine_threadsafe(_as_coroutine(work), self._running_loop())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._running = begin("penstock-ssh", self._loop.run_forever)
            return self._loop

    async def _attempt(self, action: Callable[[asyncssh.SFTPClient], Awaitable[T]]) -> T:
        pause_s = FIRST_BACKOFF_S
        for attempt in range(ATTEMPTS):
            connection = self._connection
            try:
                return await action(await self.channel())
            except BROKEN as error:
                if attempt == ATTEMPTS - 1:
                    raise self._unavailable(error) from error
                await self._drop(connection)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, MAX_BACKOFF_S)
        raise AssertionError("unreachable")

    async def channel(self) -> asyncssh.SFTPClient:
        """Return one of the open channels, connecting first where needed."""
        async with self._connecting:
            if self._connection is None:
                self._connection = await self._connect()
            wanted = max(1, min(CHANNELS, self.target.max_sessions))
            if len(self._channels) < wanted:
                self._channels.append(await self._connection.start_sftp_client())
            return self._channels[next(self._turn) % len(self._channels)]

    async def _drop(self, seen: asyncssh.SSHClientConnection | None) -> None:
        async with self._connecting:
            if self._connection is not None and (seen is None or self._connection is seen):
                self._connection.abort()
                self._connection, self._channels = None, []

    async def _connect(self) -> asyncssh.SSHClientConnection:
        target = self.target
        given: dict[str, Any] = {
            "port": target.port,
            "username": target.user,
            "password": target.password,
            "passphrase": target.passphrase,
            "client_keys": [str(Path(target.keyfile).expanduser())] if target.keyfile else None,
        }
        options = {name: value for name, value in given.items() if value is not None}
        preferred = _preferred_methods(target)
        if preferred:
            options["preferred_auth"] = preferred
        if not target.has_agent:
            options["agent_path"] = None
        if not target.has_gss:
            options.update(gss_kex=False, gss_auth=False)
        try:
            return await asyncssh.connect(
                target.host,
                client_factory=lambda: _HostKeys(target),
                encryption_algs=CIPHERS,
                compression_algs=None,
                connect_timeout=target.timeout_s,
                login_timeout=target.timeout_s,
                keepalive_interval=target.timeout_s / KEEPALIVE_COUNT,
                keepalive_count_max=KEEPALIVE_COUNT,
                **options,
            )
        except (asyncssh.PermissionDenied, asyncssh.IllegalUserName) as error:
            raise Denied(
                f"{target.url} refused the user: {_text(error)}",
                code="storage.denied",
                hint="check the remote's user, keyfile and password: penstock config -l, or try ssh itself",
                url=target.url,
            ) from error
        except asyncssh.HostKeyNotVerifiable as error:
            raise Denied(
                f"the key of {target.url} is not the one in ~/.ssh/known_hosts",
                code="storage.host_key",
                hint="if the server was set up anew: ssh-keygen -R HOST; otherwise somebody stands between",
                url=target.url,
            ) from error
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, FileNotFoundError) as error:
            raise Invalid(
                f"the key file for {target.url} cannot be used: {_text(error)}",
                code="storage.bad_key_file",
                hint="penstock remote modify --local NAME keyfile PATH (and passphrase)",
                url=target.url,
            ) from error
        except asyncssh.DisconnectError as error:
            if isinstance(error, BROKEN):
                raise
            raise self._unavailable(error) from error

    def _unavailable(self, error: BaseException) -> PenstockError:
        return Unavailable(
            f"{self.target.url} cannot be reached: {_text(error)}",
            code="storage.unavailable",
            hint="check that ssh reaches it, then run the same command again",
            url=self.target.url,
        )

    def close(self) -> None:
        """End the connection and the thread."""
        with self._starting:
            loop, running = self._loop, self._running
            self._loop = self._running = None
        if loop is None or running is None:
            return

        async def end() -> None:
            connection, self._connection, self._channels = self._connection, None, []
            if connection is not None:
                connection.close()
                with suppress(*BROKEN, asyncssh.Error):
                    await asyncio.wait_for(connection.wait_closed(), 5)

        asyncio.run_coroutine_threadsafe(end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        running.result()
        loop.close()


class _HostKeys(asyncssh.SSHClient):
    """Decides on a server's key that `~/.ssh/known_hosts` does not hold."""

    def __init__(self, target: SshTarget) -> None:
        self._target = target

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Refuse a key that differs from a known one; note the key of a new server."""
        path = Path.home() / ".ssh" / "known_hosts"
        # OpenSSH looks a server at another port up by both; what stands there for port 22 is not its key.
        name = host if port == asyncssh.DEFAULT_PORT else f"[{host}]:{port}"
        try:
            known = asyncssh.read_known_hosts(str(path))
            if any(known.match(name, addr if name == host else "", None)):
                return False
        except FileNotFoundError:
            pass
        except (OSError, ValueError):
            return False
        algorithm, data = key.export_public_key().decode().split()[:2]
        with suppress(OSError):  # a home that cannot be written: asked again next time
            path.parent.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, f"{name} {algorithm} {data}\n".encode())
            finally:
                os.close(descriptor)
        return True


def _preferred_methods(target: SshTarget) -> str:
    """Return the methods that what was configured serves; none means OpenSSH's order.

    Source: dvc_ssh/__init__.py (4.3).
    """
    methods = []
    if target.keyfile or target.passphrase is not None:
        methods.append("publickey")
    if target.password is not None:
        methods += ["keyboard-interactive", "password"]
    return ",".join(methods)


def _text(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


async def _as_coroutine(work: Awaitable[T]) -> T:
    return await work
