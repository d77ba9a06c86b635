"""A serve process that answers over gRPC too."""

from __future__ import annotations

from functools import partial

from penstock.base.store.database import Database
from penstock.http.inference.app import build_inference_app
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.rpc.callers import Doorkeeper
from penstock.rpc.server import RpcOptions, RpcServer
from serving.models import FolderSource


def make_process(
    database: Database,
    source: FolderSource,
    options: RpcOptions | None = None,
    doorkeeper: Doorkeeper | None = None,
) -> ServeProcess:
    """Return a process on free ports, not yet started."""
    companion = partial(_companion, options or RpcOptions(port=0), doorkeeper)
    return ServeProcess(
        database,
        source,
        build_inference_app,
        ServeOptions(port=0, poll_s=0.02, flush_s=0.1),
        companion=companion,
    )


def _companion(options: RpcOptions, doorkeeper: Doorkeeper | None, dataplane, counts) -> RpcServer:  # type: ignore[no-untyped-def]
    return RpcServer(dataplane, counts, options, doorkeeper)


def address(process: ServeProcess) -> str:
    """Return where gRPC clients find a started process."""
    assert process.companion is not None
    return f"127.0.0.1:{process.companion.port}"
