"""`penstock serve`: the data plane."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import click

from penstock.base.numbers import counted
from penstock.cli.openness import check_openness, parse_proxies, parse_tls, split_names, tls_options
from penstock.cli.output import Session, json_option, pass_session

if TYPE_CHECKING:
    from penstock.processes.front_options import FrontOptions


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one."
)
@click.option(
    "--timeout",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Seconds that a prediction may take; then it is an error of its version.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Run so many processes on the port, and begin one anew when it ends; by default this process serves.",
)
@click.option(
    "--grpc-port",
    type=click.IntRange(0, 65535),
    help="Answer over gRPC too, on this port (8081 is usual; 0 takes a free one).",
)
@click.option(
    "--default",
    metavar="ENDPOINT",
    help="The endpoint that MLflow's /invocations asks; without it the only one, or the one in the header "
    "penstock-endpoint.",
)
@click.option(
    "--auth",
    is_flag=True,
    help="Ask every caller for a token, or user and password, of the same users as server.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    help="Requests a second that may come with the same token, or user and password; further ones get 429. "
    "Needs --auth.",
)
@click.option(
    "--insecure", is_flag=True, help="Let anybody who reaches a public address ask and send labels."
)
@click.option(
    "--allowed-hosts",
    default="",
    help="Names it may be called by beside its address, with commas; *.example.org stands for all below that, * for all.",
)
@tls_options
@json_option
@pass_session
def serve(
    session: Session,
    host: str,
    port: int,
    timeout: float,
    workers: int | None,
    grpc_port: int | None,
    default: str | None,
    auth: bool,
    rate: float | None,
    insecure: bool,
    allowed_hosts: str,
    tls_cert: str | None,
    tls_key: str | None,
    tls_client_ca: str | None,
    trusted_proxies: str,
) -> None:
    """Serve every endpoint over the Open Inference Protocol until interrupted.

    Deployments, canaries and rollbacks are followed without a restart and without losing a request.
    """
    import faulthandler
    import logging

    check_openness(host, "ask, and roll back by false labels", auth=auth, insecure=insecure)
    if rate is not None and not auth:
        raise click.UsageError("--rate is of a token or user: say --auth too")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    faulthandler.enable(2)  # where a library was when it ended the process
    logging.getLogger("penstock").setLevel(logging.WARNING if session.quiet else logging.INFO)
    from penstock.processes.front_options import FrontOptions, choose_grpc_port

    options = FrontOptions(
        host=host,
        grpc_port=grpc_port,
        default=default,
        is_asking=auth,
        rate_per_s=rate,
        allowed_hosts=split_names(allowed_hosts),
        tls=parse_tls(session, tls_cert, tls_key, tls_client_ca),
        proxies=parse_proxies(trusted_proxies),
    )
    if auth:
        _require_somebody(session)
    fronts = choose_grpc_port(options)
    if workers is None:
        _serve(session, port, timeout, fronts)
    else:
        _serve_with_workers(session, port, timeout, fronts, workers)


def _require_somebody(session: Session) -> None:
    """Refuse to ask for credentials that nobody has; a store that is away is waited for later."""
    from penstock.access.users import require_somebody
    from penstock.base.errors import Unavailable
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    try:
        with project.database.read() as connection:
            require_somebody(connection)
    except Unavailable:
        return
    finally:
        project.close()


def _serve(
    session: Session,
    port: int,
    timeout: float,
    fronts: FrontOptions,
    bound: socket.socket | None = None,
) -> None:
    from penstock.flows.models.folders import RegistrySource
    from penstock.processes.fronts import make_fronts
    from penstock.processes.serve import ServeProcess
    from penstock.processes.serve_options import ServeOptions
    from penstock.processes.tracing import find_tracer
    from penstock.serving.deployments import find_revision
    from penstock.workspace import environment, open_workspace

    project = open_workspace(session.directory)
    tracer, untraced = find_tracer(environment())
    if untraced:
        session.note(f"warning: {untraced}")
    if project.settings_problem is not None:
        session.note(f"warning: penstock.yaml is not used: {project.settings_problem.message}")
    if fronts.default is not None:
        with project.database.read() as connection:
            known = find_revision(connection, fronts.default)
        if known is None:
            session.note(f"warning: --default: there is no endpoint {fronts.default!r} yet")
    options = ServeOptions(
        host=fronts.host,
        port=port,
        timeout_s=timeout,
        recorder_max_bytes=project.readable_settings.recording.max_bytes,
        tls=fronts.tls,
        proxies=fronts.proxies,
        shared_folder=fronts.metrics_folder,
        payloads_url=project.places.artifacts_url,
        home=project.home,
    )
    try:
        made = make_fronts(fronts, project.database)
        process = ServeProcess(
            project.database,
            RegistrySource(project),
            made.application,
            options,
            bound,
            made.companion,
            tracer,
        )
        also = "" if fronts.grpc_port is None else f", gRPC on port {fronts.grpc_port}"
        session.note(f"serving on {process.url}{also} as worker {process.worker}; stop with Ctrl-C")
        process.run()
    finally:
        project.close()
    if bound is None:
        session.emit({"url": process.url, "worker": process.worker}, "")


def load_before_forks() -> None:
    """Load what workers share in memory, and need not load when one is restarted.

    Nothing that starts threads, as polars does: a fork has one thread only.
    """
    import penstock.flows.models.folders
    import penstock.flows.production.live.recording
    import penstock.http.listen  # noqa: F401
    from penstock.base.prepared import prepare_types

    prepare_types()


def _serve_with_workers(
    session: Session, port: int, timeout: float, fronts: FrontOptions, workers: int
) -> None:
    """Fork workers; this returns in each of them when it has ended, and in the supervisor when all have."""
    import shutil
    import tempfile

    import msgspec

    from penstock.http.listen import BACKLOG, bind_shared, url_of
    from penstock.workspace import share_metrics

    sockets = bind_shared(fronts.host, port, workers)
    for one in sockets:  # who asks before the workers have begun waits for them
        one.listen(BACKLOG)
    url = url_of(sockets[0], fronts.host, fronts.tls)
    folder = tempfile.mkdtemp(prefix="penstock-metrics-")
    share_metrics(folder)
    load_before_forks()
    from penstock.processes.supervisor import supervise

    also = "" if fronts.grpc_port is None else f", gRPC on port {fronts.grpc_port}"
    session.note(f"{counted(workers, 'worker serves', 'workers serve')} on {url}{also}; stop with Ctrl-C")
    found = supervise(sockets, folder)
    if found.socket is not None:
        shared = msgspec.structs.replace(fronts, metrics_folder=folder)
        _serve(session, port, timeout, shared, found.socket)
        return
    shutil.rmtree(folder, ignore_errors=True)
    session.emit({"url": url, "workers": workers}, "")
    if found.exit_code:
        click.get_current_context().exit(found.exit_code)
