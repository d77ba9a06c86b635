"""What answers for a serve process: its HTTP application, and its gRPC server where one is wanted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from penstock.access.admission import Admission
from penstock.access.rates import Rates
from penstock.base.errors import Invalid
from penstock.base.store.database import Database
from penstock.http.inference.app import InferenceOptions, build_inference_app
from penstock.processes.companion import Companion
from penstock.processes.front_options import FrontOptions
from penstock.serving.dataplane import DataPlane
from penstock.serving.deployments import find_revision


class Fronts(msgspec.Struct, frozen=True):
    """What makes the fronts of a data plane."""

    application: Callable[[DataPlane], Any]
    companion: Callable[[DataPlane, Any], Companion] | None


def make_fronts(options: FrontOptions, database: Database) -> Fronts:
    """Return what makes the fronts; `database` knows the users that are asked for.

    Raises:
        Invalid: gRPC is wanted, and its packages are not installed (`serving.no_grpc`).
    """
    http = InferenceOptions(
        default=options.default, metrics_folder=options.metrics_folder, allowed_hosts=options.allowed_hosts
    )
    rates = None if options.rate_per_s is None else Rates(options.rate_per_s, options.metrics_folder)
    admit = partial(_admission, database, rates) if options.is_asking else _nobody
    companion = None if options.grpc_port is None else _companion(options, options.grpc_port, admit)
    return Fronts(
        lambda dataplane: build_inference_app(dataplane, options=http, admission=admit(dataplane)), companion
    )


def _admission(database: Database, rates: Rates | None, _dataplane: DataPlane) -> Admission | None:
    def model_of(endpoint: str) -> str | None:
        with database.read() as connection:
            revision = find_revision(connection, endpoint)
        return None if revision is None else revision.model

    return Admission(database, model_of, rates=rates)


def _nobody(_dataplane: DataPlane) -> Admission | None:
    return None


def _companion(
    options: FrontOptions, port: int, admit: Callable[[DataPlane], Admission | None]
) -> Callable[[DataPlane, Any], Companion]:
    try:
        from penstock.rpc.callers import Doorkeeper
        from penstock.rpc.server import Certificates, RpcOptions, RpcServer
    except ModuleNotFoundError as error:
        raise Invalid(
            f"gRPC needs the package {(error.name or '').partition('.')[0]}, which is not installed",
            code="serving.no_grpc",
            hint="pip install 'penstock[grpc]'",
        ) from None
    tls = options.tls
    certificates = None
    if tls is not None:
        authority = None if tls.client_ca is None else Path(tls.client_ca).read_bytes()
        certificates = Certificates(
            chain=Path(tls.cert).read_bytes(), key=Path(tls.key).read_bytes(), client_authority=authority
        )
    chosen = RpcOptions(
        host=options.host,
        port=port,
        is_shared=options.metrics_folder is not None,
        certificates=certificates,
    )
    return lambda dataplane, counts: RpcServer(dataplane, counts, chosen, Doorkeeper(admit(dataplane)))
