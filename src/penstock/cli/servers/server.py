"""`penstock server` (tracking, registry, controller, pages) and `penstock up` (server and serve together)."""

from __future__ import annotations

import click

from penstock.cli.openness import check_openness, parse_proxies, parse_tls, split_names, tls_options
from penstock.cli.output import EXIT_FAILED, Session, pass_session, report_error

PORT = click.IntRange(0, 65535)


@click.command(context_settings={"help_option_names": ["--help"]})
@click.option(
    "--host", "-h", default="127.0.0.1", envvar="MLFLOW_HOST", show_default=True, help="Address to listen on."
)
@click.option(
    "--port",
    "-p",
    default=5000,
    envvar="MLFLOW_PORT",
    show_default=True,
    type=PORT,
    help="0 takes a free one.",
)
@click.option(
    "--backend-store-uri",
    help="The store, such as sqlite:///FILE or postgresql://…; by default what penstock.yaml says.",
)
@click.option(
    "--artifacts-destination",
    "--default-artifact-root",
    "artifacts",
    help="Where artifacts are kept: a folder or a URL such as s3://bucket/path.",
)
@click.option(
    "--serve-artifacts/--no-serve-artifacts",
    default=True,
    help="Move artifacts through this server; there is no other way.",
)
@click.option(
    "--workers", "-w", type=int, hidden=True, expose_value=False, help="Accepted: one process serves."
)
@click.option(
    "--uvicorn-opts", "--gunicorn-opts", hidden=True, expose_value=False, help="Accepted, and not used."
)
@click.option("--dev", is_flag=True, hidden=True, expose_value=False, help="Accepted, and not used.")
@click.option("--registry-store-uri", hidden=True, help="The registry is in the same store.")
@click.option("--app-name", type=click.Choice(["basic-auth"]), hidden=True, help="MLflow's name for --auth.")
@click.option(
    "--allowed-hosts",
    default="",
    envvar="MLFLOW_SERVER_ALLOWED_HOSTS",
    help="Names it may be called by beside its address, with commas; *.example.org stands for all below that, * for all, "
    "also for what a foreign page may call it.",
)
@click.option(
    "--static-prefix",
    default="",
    envvar="MLFLOW_STATIC_PREFIX",
    help="What a proxy puts before every path, such as /penstock; links of pages begin with it.",
)
@click.option("--auth", is_flag=True, help="Ask every caller for a token, or user and password.")
@click.option("--insecure", is_flag=True, help="Let anybody who reaches a public address do everything.")
@tls_options
@pass_session
def server(
    session: Session,
    host: str,
    port: int,
    backend_store_uri: str | None,
    artifacts: str | None,
    serve_artifacts: bool,
    registry_store_uri: str | None,
    app_name: str | None,
    allowed_hosts: str,
    static_prefix: str,
    auth: bool,
    insecure: bool,
    tls_cert: str | None,
    tls_key: str | None,
    tls_client_ca: str | None,
    trusted_proxies: str,
) -> None:
    """Run the tracking server, the registry, the controller and the pages until interrupted.

    MLflow's clients work against it: set MLFLOW_TRACKING_URI to its address. Outside of a repository it keeps
    its state in ./.penstock.
    """
    import gc
    import logging

    gc.disable()  # nothing of what starting makes is garbage; `serve_on` turns it on again
    from penstock.access.users import require_admin
    from penstock.http.app import build_server_app
    from penstock.http.listen import bind, make_server, serve_on, url_of
    from penstock.http.prefix import parse_prefix
    from penstock.processes.controller import ControllerLoop
    from penstock.processes.triggers import TriggerLoop
    from penstock.processes.webhooks import WebhookLoop
    from penstock.workspace import open_server

    prefix = parse_prefix(static_prefix)
    auth = auth or app_name is not None
    if registry_store_uri not in {None, backend_store_uri}:
        raise click.UsageError("runs and models are kept in one store: --backend-store-uri names it")
    if not serve_artifacts:
        raise click.UsageError(
            "clients reach artifacts through this server only; name where it keeps them with "
            "--artifacts-destination, such as s3://bucket/path"
        )
    check_openness(host, "change and delete everything", auth=auth, insecure=insecure)
    proxies = parse_proxies(trusted_proxies)
    tls = parse_tls(session, tls_cert, tls_key, tls_client_ca)
    logging.basicConfig(
        level=logging.WARNING if session.quiet else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    for noisy in ("alembic", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    project = open_server(session.directory, store=backend_store_uri, artifacts=artifacts, actor="controller")
    if auth:
        with project.database.read() as connection:
            require_admin(connection)
    with bind(host, port) as bound:
        try:
            loop, webhooks = ControllerLoop(project), WebhookLoop(project)
            names = split_names(allowed_hosts)
            application = build_server_app(
                project,
                loop,
                names,
                asks_for_credentials=auth,
                prefix=prefix,
                ends=tls.ends if tls else {},
                outboxes={"alerts": loop.deliveries, "registry": webhooks.deliveries},
            )
            made = make_server(application, drain_s=5, tls=tls, proxies=proxies)
            loop.start()
            webhooks.start()
            triggers = TriggerLoop(project)
            triggers.start()
            session.note(f"tracking, pages and controller on {url_of(bound, host, tls)}; stop with Ctrl-C")
            try:
                serve_on(bound, made)
            finally:
                triggers.stop()
                webhooks.stop()
                loop.stop()
        finally:
            project.close()


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=5000, show_default=True, type=PORT, help="Port of pages and controller.")
@click.option("--serve-port", default=8080, show_default=True, type=PORT, help="Port of the model server.")
@click.option("--grpc-port", type=PORT, help="Let the model server answer over gRPC too, on this port.")
@click.option("--workers", type=click.IntRange(min=1), help="Let so many processes serve models.")
@click.option("--auth", is_flag=True, help="Let both ask every caller for a token, or user and password.")
@click.option("--insecure", is_flag=True, help="Let anybody who reaches a public address do everything.")
@pass_session
@click.pass_context
def up(
    context: click.Context,
    session: Session,
    host: str,
    port: int,
    serve_port: int,
    grpc_port: int | None,
    workers: int | None,
    auth: bool,
    insecure: bool,
) -> None:
    """Run server and serve together; when one ends, so does the other."""
    import sys

    from penstock.base.errors import PenstockError
    from penstock.http.listen import bind
    from penstock.processes.together import run_together
    from penstock.workspace import open_workspace

    ports = {"--port": port, "--serve-port": serve_port}
    if grpc_port is not None:
        ports["--grpc-port"] = grpc_port
    for option, number in ports.items():
        other = next((one for one, taken in ports.items() if taken == number and one != option), None)
        if other is not None and number:
            raise click.UsageError(f"{option} and {other} are both {number}: each needs a port of its own")
        bind(host, number, option).close()

    project = open_workspace(session.directory)
    root = str(project.root)
    command = [sys.executable, "-m", "penstock.cli", *(["-q"] if session.quiet else []), "-C", root]
    ended = run_together(
        {
            "server": [
                *(*command, "server", "--host", host, "--port", str(port)),
                *(["--auth"] if auth else []),
                *(["--insecure"] if insecure else []),
            ],
            "serve": [
                *(*command, "serve", "--host", host, "--port", str(serve_port)),
                *([] if grpc_port is None else ["--grpc-port", str(grpc_port)]),
                *([] if workers is None else ["--workers", str(workers)]),
                *(["--auth"] if auth else []),
                *(["--insecure"] if insecure else []),
            ],
        }
    )
    if ended is not None:
        told = PenstockError(
            f"{ended.sentence}, so the other was stopped too",
            code="up.half_ended",
            hint="its own words are above; penstock up starts both again",
        )
        report_error(told, as_json=session.as_json)
        context.exit(ended.code if ended.code in {2, 3, 4, 5} else EXIT_FAILED)
