"""Answer on a socket that is bound before anything else starts, so that a port in use is told at once."""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from starlette.applications import Starlette

from penstock.flows.serve import _Server

DRAIN_S = 5


def serve_on(bound: socket.socket, application: Starlette) -> None:
    """Answer requests until SIGTERM or SIGINT; requests under way are finished."""
    config = uvicorn.Config(
        application,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = _Server(config)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server.serve(sockets=[bound]))
