"""`penstock serve` and `penstock feedback`: the data plane, and labels sent to it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from penstock.cli.doors import check_openness, parse_tls, split_names, tls_options
from penstock.cli.output import EXIT_FAILED, Session, json_option, pass_session

if TYPE_CHECKING:
    from penstock.processes.front_options import FrontOptions

DEFAULT_URL = "http://127.0.0.1:8080"
NOT_TAKEN = {
    "unknown": "the store has no prediction of these ids",
    "misfit": "a label needs one value for each row that was predicted, of a class that the model knows",
    "rejected": "the id is none of this endpoint's, or the label is no value",
}


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
    import logging

    check_openness(host, "ask, and roll back by false labels", auth=auth, insecure=insecure)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("penstock").setLevel(logging.WARNING if session.quiet else logging.INFO)
    from penstock.processes.front_options import FrontOptions, choose_grpc_port

    options = FrontOptions(
        host=host,
        grpc_port=grpc_port,
        default=default,
        is_asking=auth,
        allowed_hosts=split_names(allowed_hosts),
        tls=parse_tls(tls_cert, tls_key, tls_client_ca),
        proxies=split_names(trusted_proxies),
    )
    fronts = choose_grpc_port(options)
    if workers is None:
        _serve(session, port, timeout, fronts)
    else:
        _serve_with_workers(session, port, timeout, fronts, workers)


def _serve(
    session: Session,
    port: int,
    timeout: float,
    fronts: FrontOptions,
    bound: socket.socket | None = None,
) -> None:
    from penstock.flows.models.folders import RegistrySource
    from penstock.processes.fronts import make_fronts
    from penstock.processes.serve import ServeOptions, ServeProcess
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    if project.settings_problem is not None:
        session.note(f"warning: penstock.yaml is not used: {project.settings_problem.message}")
    options = ServeOptions(
        host=fronts.host,
        port=port,
        timeout_s=timeout,
        recorder_max_bytes=project.readable_settings.recording.max_bytes,
        tls=fronts.tls,
        proxies=fronts.proxies,
        shared_folder=fronts.metrics_folder,
    )
    try:
        made = make_fronts(fronts, project.database)
        process = ServeProcess(
            project.database, RegistrySource(project), made.application, options, bound, made.companion
        )
        also = "" if fronts.grpc_port is None else f", gRPC on port {fronts.grpc_port}"
        session.note(f"serving on {process.url}{also} as worker {process.worker}; stop with Ctrl-C")
        process.run()
    finally:
        project.close()
    if bound is None:
        session.emit({"url": process.url, "worker": process.worker}, "")


def load_before_forks() -> None:
    """Load what workers share in memory, and need not load when one begins anew.

    Nothing that starts threads, as polars does: a fork has one thread only.
    """
    import penstock.flows.models.folders
    import penstock.flows.production.live.recording
    import penstock.http.listen  # noqa: F401


def _serve_with_workers(
    session: Session, port: int, timeout: float, fronts: FrontOptions, workers: int
) -> None:
    """Fork workers; this returns in each of them when it has ended, and in the supervisor when all have."""
    import shutil
    import tempfile

    import msgspec

    from penstock.http.listen import bind_shared, url_of
    from penstock.workspace import share_metrics

    sockets = bind_shared(fronts.host, port, workers)
    url = url_of(sockets[0], fronts.host, fronts.tls)
    folder = tempfile.mkdtemp(prefix="penstock-metrics-")
    share_metrics(folder)
    load_before_forks()
    from penstock.processes.supervisor import supervise

    also = "" if fronts.grpc_port is None else f", gRPC on port {fronts.grpc_port}"
    session.note(f"{workers} workers serve on {url}{also}; stop with Ctrl-C")
    found = supervise(sockets, folder)
    if found.socket is not None:
        shared = msgspec.structs.replace(fronts, metrics_folder=folder)
        _serve(session, port, timeout, shared, found.socket)
        return
    shutil.rmtree(folder, ignore_errors=True)
    session.emit({"url": url, "workers": workers}, "")
    if found.exit_code:
        click.get_current_context().exit(found.exit_code)


@click.command()
@click.argument("endpoint")
@click.option(
    "--file", "source", type=click.File("r"), help="JSON lines or a JSON list; - for standard input."
)
@click.option("--prediction", help="Id of one prediction.")
@click.option("--label", help="The truth about it, as JSON (a list for several rows).")
@click.option("--by", help="Who says so, kept in the history of a label that is corrected.")
@click.option(
    "--url", help="The serve process; by default one that is running here, else http://127.0.0.1:8080."
)
@click.option(
    "--token", envvar="MLFLOW_TRACKING_TOKEN", help="A token for a serve process that asks for one."
)
@json_option
@pass_session
def feedback(
    session: Session,
    endpoint: str,
    source: IO[str] | None,
    prediction: str | None,
    label: str | None,
    by: str | None,
    url: str | None,
    token: str | None,
) -> None:
    """Send labels for predictions that ENDPOINT made earlier; exit 1 where one was not taken.

    Either one with --prediction and --label, or many with --file, each
    {"prediction_id": "…", "label": 1}. Another value for a row that has one corrects it.
    """
    from urllib.parse import quote

    if (source is None) == (prediction is None) or (prediction is None) != (label is None):
        raise click.UsageError("give --file, or --prediction and --label")
    entries = (
        _entries(source) if source is not None else [{"prediction_id": prediction, "label": _value(label)}]
    )
    if by is not None:
        entries = [{"by": by, **entry} if isinstance(entry, dict) else entry for entry in entries]
    url = url or _running(session) or DEFAULT_URL
    totals: dict[str, int] = {
        "accepted": 0,
        "corrected": 0,
        "unknown": 0,
        "duplicate": 0,
        "misfit": 0,
        "rejected": 0,
    }
    reasons: dict[str, str] = {}
    for start in range(0, len(entries), 1000):
        answer = _post(
            f"{url.rstrip('/')}/v2/models/{quote(endpoint, safe='')}/feedback",
            entries[start : start + 1000],
            token,
        )
        for name in totals:
            found = answer.get(name, 0)
            totals[name] += len(found) if isinstance(found, list) else found
        reasons |= answer.get("reasons", {})
    told = [", ".join(f"{count} {name}" for name, count in totals.items() if count) or "no labels"]
    told += [f"misfit {identity}: {reason}" for identity, reason in list(reasons.items())[:5]]
    session.emit({**totals, "reasons": reasons} if reasons else totals, "\n".join(told))
    lost = [name for name in NOT_TAKEN if totals[name]]
    for name in lost:
        session.note(f"{totals[name]} {name}: {NOT_TAKEN[name]}")
    if lost:
        click.get_current_context().exit(EXIT_FAILED)


def _running(session: Session) -> str | None:
    """Return the URL of a serve process over the store of the session's directory, if one is alive."""
    from penstock.base.clock import now_ms
    from penstock.base.errors import PenstockError
    from penstock.flows.production.awaiting import WORKER_ALIVE_MS
    from penstock.serving.workers import list_workers
    from penstock.workspace import open_workspace

    try:
        project = open_workspace(session.directory)
        with project.database.read() as connection:
            workers = list_workers(connection, now_ms() - WORKER_ALIVE_MS)
        project.close()
    except PenstockError:
        return None
    return workers[0].url if workers else None


def _value(label: str | None) -> Any:
    import json

    try:
        return json.loads(label or "")
    except ValueError:
        return label


def _entries(source: IO[str]) -> list[Any]:
    import msgspec

    from penstock.base.errors import Invalid

    try:
        text = source.read().encode()
        if text.lstrip().startswith(b"["):
            return msgspec.json.decode(text, type=list[Any])
        return msgspec.json.Decoder(Any).decode_lines(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Invalid(
            f"{Path(source.name).name} holds no labels: {error}",
            code="serving.bad_feedback",
            hint='write one {"prediction_id": "…", "label": 1} a line',
        ) from None


def _post(url: str, entries: list[Any], token: str | None) -> dict[str, Any]:
    import json

    from penstock.base.errors import Denied, Invalid, NotFound, Unavailable
    from penstock.base.web.calls import JSON, WebConnection

    try:
        connection = WebConnection(url, timeout_s=60)
        headers = {**JSON, **({"Authorization": f"Bearer {token}"} if token else {})}
        reply = connection.request("POST", "", json.dumps(entries).encode(), headers)
        connection.close()
    except Invalid as error:
        raise _bad_url(url, error.message) from None
    except Unavailable as error:
        raise Unavailable(
            f"{url} cannot be reached: {error.fields['why']}",
            code="serving.unreachable",
            hint="start it with `penstock serve`, or name it with --url",
        ) from None
    try:
        answer = reply.json()
    except ValueError as error:
        if not reply.has_failed:
            raise _bad_url(url, str(error)) from None
        answer = None
    found: dict[str, Any] = answer if isinstance(answer, dict) else {}
    if reply.has_failed:
        cause = {401: Denied, 403: Denied, 404: NotFound, 400: Invalid}.get(reply.status, Unavailable)
        sentence = str(found.get("error") or f"{url} answered {reply.status}")
        hints = {
            401: "--token, or MLFLOW_TRACKING_TOKEN: penstock token create NAME --scope feedback",
            403: "a token of a user with the role writer on the endpoint's model",
            404: "penstock endpoint list",
        }
        hint = hints.get(reply.status, "check the ids and the URL")
        raise cause(sentence, code="serving.feedback_refused", hint=hint)
    return found


def _bad_url(url: str, why: str) -> Exception:
    from penstock.base.errors import Invalid

    return Invalid(
        f"not a server's URL, or no answer of one: {url} ({why})",
        code="serving.bad_url",
        hint="name a serve process, like http://127.0.0.1:8080",
    )
