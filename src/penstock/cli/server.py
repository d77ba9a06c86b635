"""`penstock server` (controller, API, pages) and `penstock up` (server and serve together)."""

from __future__ import annotations

import click

from penstock.cli.output import EXIT_FAILED, Session, pass_session

PORT = click.IntRange(0, 65535)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=5000, show_default=True, type=PORT, help="0 takes a free one.")
@pass_session
def server(session: Session, host: str, port: int) -> None:
    """Run the controller and the pages until interrupted."""
    import logging

    from penstock.flows.supervise import ControllerLoop
    from penstock.http.app import build_server_app
    from penstock.http.listen import bind, make_server, serve_on, url_of
    from penstock.workspace import open_workspace

    logging.basicConfig(
        level=logging.WARNING if session.quiet else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    project = open_workspace(session.directory)
    project.actor = "controller"
    with bind(host, port) as bound:
        try:
            loop = ControllerLoop(project)
            application = build_server_app(project, loop)
            loop.start()
            session.note(f"pages and controller on {url_of(bound, host)}; stop with Ctrl-C")
            try:
                serve_on(bound, make_server(application, drain_s=5))
            finally:
                loop.stop()
        finally:
            project.close()


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=5000, show_default=True, type=PORT, help="Port of pages and controller.")
@click.option("--serve-port", default=8080, show_default=True, type=PORT, help="Port of the model server.")
@pass_session
@click.pass_context
def up(context: click.Context, session: Session, host: str, port: int, serve_port: int) -> None:
    """Run server and serve together; when one ends, so does the other."""
    import sys

    from penstock.flows.processes import run_together
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    root = str(project.root)
    command = [sys.executable, "-m", "penstock.cli", *(["-q"] if session.quiet else []), "-C", root]
    code = run_together(
        {
            "server": [*command, "server", "--host", host, "--port", str(port)],
            "serve": [*command, "serve", "--host", host, "--port", str(serve_port)],
        }
    )
    if code:
        context.exit(code if code in {1, 2, 3, 4, 5} else EXIT_FAILED)
