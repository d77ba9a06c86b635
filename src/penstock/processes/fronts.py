"""What answers at a serve process's doors: its HTTP application, and its gRPC server where one is wanted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from penstock.base.errors import Invalid
from penstock.http.inference import InferenceOptions, build_inference_app
from penstock.http.listen import bind
from penstock.processes.serve import Companion
from penstock.serving.dataplane import DataPlane


class FrontOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the doors are set. `grpc_port` None is no gRPC, 0 takes a free port; `default` is `/invocations`' endpoint.

    `metrics_folder` is where several processes on one port add up what they count; with one, ports are shared.
    """

    host: str = "127.0.0.1"
    grpc_port: int | None = None
    default: str | None = None
    metrics_folder: str | None = None


class Fronts(msgspec.Struct, frozen=True):
    """What makes the doors of a data plane."""

    application: Callable[[DataPlane], Any]
    companion: Callable[[DataPlane, Any], Companion] | None


def make_fronts(options: FrontOptions) -> Fronts:
    """Return what makes the doors.

    Raises:
        Invalid: gRPC is wanted, and its packages are not installed (`serving.no_grpc`).
    """
    http = InferenceOptions(default=options.default, metrics_folder=options.metrics_folder)
    companion = None if options.grpc_port is None else _companion(options, options.grpc_port)
    return Fronts(partial(build_inference_app, options=http), companion)


def choose_grpc_port(options: FrontOptions) -> FrontOptions:
    """Return options whose gRPC port is free, and a number where one was to be taken.

    Raises:
        Conflict: it is in use (`serving.port_in_use`).
    """
    if options.grpc_port is None:
        return options
    with bind(options.host, options.grpc_port, "--grpc-port") as found:
        return msgspec.structs.replace(options, grpc_port=found.getsockname()[1])


def _companion(options: FrontOptions, port: int) -> Callable[[DataPlane, Any], Companion]:
    try:
        from penstock.rpc.server import RpcOptions, RpcServer
    except ModuleNotFoundError as error:
        raise Invalid(
            f"gRPC needs the package {(error.name or '').partition('.')[0]}, which is not installed",
            code="serving.no_grpc",
            hint="pip install 'penstock[grpc]'",
        ) from None
    chosen = RpcOptions(host=options.host, port=port, is_shared=options.metrics_folder is not None)
    return lambda dataplane, counts: RpcServer(dataplane, counts, chosen)
