"""The gRPC server of a serve process: on the loop of its HTTP server, with reflection and health."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import grpc.aio
import msgspec
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import _async as reflection_async
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from penstock.base.errors import Conflict
from penstock.rpc.callers import Doorkeeper
from penstock.rpc.health import Health
from penstock.rpc.messages import POOL
from penstock.rpc.schema import SERVICE
from penstock.rpc.service import Counts, Service
from penstock.serving.dataplane import DataPlane

IDLE_MS = 300_000
"""A connection on which nobody asks for so long is ended; clients open another by themselves."""
HANDSHAKE_MS = 20_000
"""So long a connection may take to begin to speak."""
RECENT_S, ANSWERED_S, QUIET_S, REFUSED_S = 1.0, 0.25, 0.4, 2.0
"""A server that was asked in the last `RECENT_S` answers for `ANSWERED_S` after it is to end; then it refuses calls until none
came for `QUIET_S`, and for `REFUSED_S` at most."""


class Certificates(msgspec.Struct, frozen=True, kw_only=True):
    """What TLS needs, as PEM: the server's chain and key, and who must have signed clients' certificates."""

    chain: bytes
    key: bytes
    client_authority: bytes | None = None


class RpcOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server listens and what it takes. `port` 0 takes a free one; `is_shared` lets workers share one."""

    host: str = "127.0.0.1"
    port: int = 8081
    is_shared: bool = False
    max_message_bytes: int = 64 << 20
    certificates: Certificates | None = None


class RpcServer:
    """One server. `start` and `stop` are for the loop that the data plane predicts on; `port` is known after `start`."""

    def __init__(
        self, dataplane: DataPlane, counts: Counts, options: RpcOptions, doorkeeper: Doorkeeper | None = None
    ) -> None:
        self._options = options
        self._service = Service(dataplane, counts, doorkeeper or Doorkeeper())
        self._health = Health(dataplane.is_ready, (SERVICE,))
        self._server: Any = None
        self.port = options.port

    @property
    def is_started(self) -> bool:
        """Whether it answers."""
        return self._server is not None

    async def start(self, most: int) -> None:
        """Listen, and take so many connections at most: files that they have open are lost to everything else.

        Raises:
            Conflict: the port is in use (`serving.port_in_use`).
        """
        options = self._options
        server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", int(options.is_shared)),
                ("grpc.max_receive_message_length", options.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_connection_idle_ms", IDLE_MS),
                ("grpc.max_allowed_incoming_connections", most),
                ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
            ]
        )
        server.add_generic_rpc_handlers((self._service.handler(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (SERVICE, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
        servicer = reflection_async.ReflectionServicer(names, pool=_Pools())
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
        host = f"[{options.host}]" if ":" in options.host else options.host
        address = f"{host}:{options.port}"
        try:
            self.port = (
                server.add_insecure_port(address)
                if options.certificates is None
                else server.add_secure_port(address, _credentials(options.certificates))
            )
        except RuntimeError:
            raise Conflict(
                f"port {options.port} on {options.host} cannot be listened on",
                code="serving.port_in_use",
                hint=f"choose another port: --grpc-port {options.port + 1}",
                port=options.port,
            ) from None
        await server.start()
        self._server = server

    async def stop(self, grace_s: float) -> None:
        """Take no further requests and give those under way their time; streams on which nobody asks end.

        gRPC's server throws away what it has received and not yet handed on, and what comes until its clients know that it
        ends: they would see `CANCELLED`, which says nothing of whether they were answered. So it ends when none comes.
        """
        self._health.end()
        if self._server is not None:
            self._service.end()
            begun_s = time.monotonic()
            if grace_s and begun_s - self._service.asked_s < RECENT_S:
                await asyncio.sleep(min(ANSWERED_S, grace_s / 4))
                self._service.refuse()
                await self._await_quiet(time.monotonic() + min(REFUSED_S, grace_s / 2))
            await self._server.stop(max(0.0, grace_s - (time.monotonic() - begun_s)))

    async def _await_quiet(self, until_s: float) -> None:
        """Wait until no call came for a while, until a moment at most."""
        quiet_s = time.monotonic() + QUIET_S
        while (now_s := time.monotonic()) < min(quiet_s, until_s):
            await asyncio.sleep(min(quiet_s, until_s) - now_s)
            quiet_s = max(quiet_s, self._service.asked_s + QUIET_S)


class _Pools:
    """The descriptors that reflection shows: ours, and those of the health and reflection services."""

    def __init__(self) -> None:
        self._pools = (POOL, health_pb2.DESCRIPTOR.pool)

    def __getattr__(self, name: str) -> object:
        def find(*arguments: object) -> object:
            try:
                return getattr(self._pools[0], name)(*arguments)
            except KeyError:
                return getattr(self._pools[1], name)(*arguments)

        return find


def _credentials(certificates: Certificates) -> Any:
    authority = certificates.client_authority
    return grpc.ssl_server_credentials(
        [(certificates.key, certificates.chain)],
        root_certificates=authority,
        require_client_auth=authority is not None,
    )
