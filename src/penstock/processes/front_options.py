"""How a serve process's fronts are set. Apart from `fronts`, so that it can be known before what counts is imported.

Several workers add up what they count in a folder whose name prometheus_client reads when it is imported.
"""

from __future__ import annotations

import msgspec

from penstock.http.listen import Tls, bind


class FrontOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the fronts are set. `grpc_port` None is no gRPC, 0 takes a free port; `default` is `/invocations`' endpoint.

    `is_asking` asks every caller for credentials; `rate_per_s` is how many requests a second may come with the same. `allowed_hosts` are further names of the HTTP server, and of the
    addresses `proxies` forwarded headers are believed.
    `metrics_folder` is where several processes on one port add up what they count; with one, ports are shared.
    """

    host: str = "127.0.0.1"
    grpc_port: int | None = None
    default: str | None = None
    is_asking: bool = False
    rate_per_s: float | None = None
    allowed_hosts: tuple[str, ...] = ()
    tls: Tls | None = None
    proxies: tuple[str, ...] = ()
    metrics_folder: str | None = None


def choose_grpc_port(options: FrontOptions) -> FrontOptions:
    """Return options whose gRPC port is free, and a number where one was to be taken.

    Raises:
        Conflict: it is in use (`serving.port_in_use`).
    """
    if options.grpc_port is None:
        return options
    with bind(options.host, options.grpc_port, "--grpc-port") as found:
        return msgspec.structs.replace(options, grpc_port=found.getsockname()[1])
