"""`penstock feedback`: labels for predictions, to a serve process, a server, or the store."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from penstock.cli.output import EXIT_FAILED, Session, json_option, pass_session
from penstock.cli.places import GivenFile, GivenPath

if TYPE_CHECKING:
    from penstock.flows.production.live.label_lines import LabelLines

DEFAULT_URL = "http://127.0.0.1:8080"
SERVER_FAILED = 500
SHOWN = 5
"""Entries whose reason is told."""
NOT_TAKEN = {
    "unknown": "the store has no prediction of these ids, and none can come: they are older than a week, or of another "
    "endpoint, or too many labels wait: penstock monitor status",
    "misfit": "a label needs one value for each row that was predicted, of a class that the model knows",
    "rejected": "it is no entry with an id of this endpoint and a label, as is told above of the first",
}
Send = Callable[[list[Any]], dict[str, Any]]


@click.command()
@click.argument("endpoint")
@click.option(
    "--file", "source", type=GivenFile("rb"), help="JSON lines or a JSON list; - for standard input."
)
@click.option(
    "--table",
    type=GivenPath(path_type=Path),
    help="A .parquet or .csv with the columns prediction_id and label; rows of one id are the labels of its rows.",
)
@click.option("--prediction", help="Id of one prediction.")
@click.option("--label", help="The truth about it, as JSON (a list for several rows).")
@click.option("--by", help="Who says so, kept in the history of a label that is corrected.")
@click.option(
    "--url",
    help="The serve process; by default one that is running here, else the server that PENSTOCK_URI names, else the "
    "store of the project here.",
)
@click.option(
    "--token", envvar="MLFLOW_TRACKING_TOKEN", help="A token for a serve process that asks for one."
)
@json_option
@pass_session
def feedback(
    session: Session,
    endpoint: str,
    source: IO[bytes] | None,
    table: Path | None,
    prediction: str | None,
    label: str | None,
    by: str | None,
    url: str | None,
    token: str | None,
) -> None:
    """Send labels for predictions that ENDPOINT made earlier; exit 1 where one was not taken.

    Either one with --prediction and --label, or many: with --file, each
    {"prediction_id": "…", "label": 1}, or with --table. Another value for a row that has one corrects it.
    """
    from penstock.base.errors import PenstockError

    given = [one for one in (source, table, prediction) if one is not None]
    if len(given) != 1 or (prediction is None) != (label is None):
        raise click.UsageError("give --file, or --table, or --prediction and --label")
    if source is not None or table is not None:
        entries, places, refused = _read(source, table)
    else:
        entries, places, refused = [{"prediction_id": prediction, "label": _value(label)}], [""], []
    if by is not None:
        entries = [{"by": by, **entry} if isinstance(entry, dict) else entry for entry in entries]
    send = _sender(session, endpoint, url, token)
    totals: dict[str, int] = {
        "accepted": 0,
        "corrected": 0,
        "waiting": 0,
        "unknown": 0,
        "duplicate": 0,
        "misfit": 0,
        "rejected": len(refused),
    }
    reasons: dict[str, str] = {}
    place_of = {
        one.get("prediction_id"): place
        for one, place in zip(entries, places, strict=True)
        if isinstance(one, dict) and isinstance(one.get("prediction_id"), str)
    }
    for start in range(0, len(entries), 1000):
        try:
            answer = send(entries[start : start + 1000])
        except PenstockError:
            for one in refused[:SHOWN]:
                session.note(f"rejected {one}")
            raise
        refused += [f"{places[start + one['index']]}: {one['error']}" for one in answer.get("rejected", ())]
        for outcome in totals:
            found = answer.get(outcome, 0)
            totals[outcome] += len(found) if isinstance(found, list) else found
        reasons |= answer.get("reasons", {})
    empty = f"{table.name} has a heading and no rows" if table else "the file is empty"
    outcomes = ", ".join(f"{count} {name}" for name, count in totals.items() if count)
    told = [outcomes or f"{empty}: there was no label to send"]
    for identity, reason in list(reasons.items())[:SHOWN]:
        where = f" ({place})" if (place := place_of.get(identity)) else ""
        told.append(f"misfit {identity}{where}: {reason}")
    told += [f"rejected {one}" for one in refused[:SHOWN]]
    session.emit({**totals, "reasons": reasons} if reasons else totals, "\n".join(told))
    if totals["waiting"]:
        session.note(
            f"{totals['waiting']} waiting: the predictions are not stored yet; each label is joined when its prediction "
            "comes, within 7 days, and given up where its call failed and none comes: "
            f"penstock monitor status {shlex.quote(endpoint)}"
        )
    lost = [name for name in NOT_TAKEN if totals[name]]
    for name in lost:
        session.note(f"{totals[name]} {name}: {NOT_TAKEN[name]}")
    if lost:
        click.get_current_context().exit(EXIT_FAILED)


def _read(source: IO[bytes] | None, table: Path | None) -> LabelLines:
    from penstock.flows.production.live.label_lines import LabelLines, read_label_lines
    from penstock.flows.production.live.label_tables import read_labels

    if source is not None:
        return read_label_lines(source.read(), Path(getattr(source, "name", "<stdin>")).name)
    entries, rows = read_labels(table or Path())
    return LabelLines(entries, [f"row {row}" for row in rows], [])


def _sender(session: Session, endpoint: str, url: str | None, token: str | None) -> Send:
    """Return what takes labels: a serve process, the server that is named, or the store here where none runs."""
    from urllib.parse import quote

    from penstock.workspace import environment, tracking_settings

    name = quote(endpoint, safe="")
    serve = url or _running(session)
    server = tracking_settings()
    if serve is None and environment().get("PENSTOCK_URI"):
        place = f"{server.uri.rstrip('/')}/api/penstock/v1/endpoints/{name}/feedback"
        return partial(_post, place, token=token or server.token, login=(server.user, server.password))
    if serve is None:
        local = _into_store(session, endpoint)
        if local is not None:
            return local
    place = f"{(serve or DEFAULT_URL).rstrip('/')}/v2/models/{name}/feedback"
    return partial(_post, place, token=token, unnamed="" if serve else endpoint)


def _into_store(session: Session, endpoint: str) -> Send | None:
    """Return what joins labels in the project's store, or None where there is no project with this endpoint."""
    import msgspec

    from penstock.base.errors import PenstockError, Unavailable
    from penstock.flows.production.live.ingesting import Ingest
    from penstock.serving.deployments import find_revision
    from penstock.serving.predictions.feedback import decode_feedback, take_feedback
    from penstock.workspace import open_workspace

    try:
        project = open_workspace(session.directory)
        with project.database.read() as connection:
            revision = find_revision(connection, endpoint)
    except Unavailable:
        raise
    except PenstockError:
        return None
    if revision is None:
        return None
    ingest = Ingest(project)

    def send(entries: list[Any]) -> dict[str, Any]:
        items = decode_feedback(msgspec.json.encode(entries))
        found: dict[str, Any] = msgspec.to_builtins(take_feedback(revision, items, ingest, project.actor))
        return found

    return send


def _running(session: Session) -> str | None:
    """Return the URL of a serve process over the store of the session's directory, if one is alive."""
    from penstock.base.clock import now_ms
    from penstock.base.errors import PenstockError, Unavailable
    from penstock.serving.workers import list_alive
    from penstock.workspace import open_workspace

    try:
        project = open_workspace(session.directory)
        with project.database.read() as connection:
            workers = list_alive(connection, now_ms())
        project.close()
    except Unavailable:
        raise  # who answers is not known then, and could join no label either
    except PenstockError:
        return None
    return workers[0].url if workers else None


def _value(label: str | None) -> Any:
    import json

    from penstock.base.errors import Invalid

    try:
        value = json.loads(label or "")
        json.dumps(value, allow_nan=False)  # 1e999 is read as an infinity, too
    except json.JSONDecodeError:
        return label
    except ValueError:
        raise Invalid(
            f"--label {label} holds a number that is not finite, and is no truth about a prediction",
            code="serving.label_not_finite",
            hint="give a finite number, or the name of a class; in quotes a text: --label '\"NaN\"'",
        ) from None
    return value


def _post(
    url: str, entries: list[Any], token: str | None, login: tuple[str, str] = ("", ""), unnamed: str = ""
) -> dict[str, Any]:
    """Send entries, and return the answer.

    Args:
        unnamed: the endpoint, where nobody named the URL and nothing that is known answers for it.
    """
    import json

    from penstock.base.errors import Denied, Invalid, NotFound, Unavailable
    from penstock.base.web.calls import JSON, UNTRUSTED, WebConnection
    from penstock.client.rest import Address

    try:
        connection = WebConnection(url, timeout_s=60)
        headers = {**JSON, **Address(url, *login, token=token or "").headers}
        reply = connection.request("POST", "", json.dumps(entries).encode(), headers)
        connection.close()
    except Invalid as error:
        raise _bad_url(url, error.message) from None
    except Unavailable as error:
        if unnamed and error.code != UNTRUSTED:
            raise Unavailable(
                f"nobody is known here that takes labels for {unnamed}: no store here has this endpoint, PENSTOCK_URI is "
                f"not set, and no serve process answers at {DEFAULT_URL}",
                code="serving.unreachable",
                hint="name a serve process with --url, or run this in the project: penstock endpoint list",
            ) from None
        raise Unavailable(
            f"{url} cannot be reached: {error.fields['why']}",
            code="serving.unreachable",
            hint=error.hint
            if error.code == UNTRUSTED
            else "check the address, and that the server runs there",
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
        hint = hints.get(reply.status) or str(found.get("hint") or _next_step(reply.status))
        raise cause(sentence, code="serving.feedback_refused", hint=hint)
    return found


def _next_step(status: int) -> str:
    """Return what to do about an answer that names no next step itself."""
    if status >= SERVER_FAILED:
        return "nothing of this was taken: send it again later; the server's log says more"
    return "check the ids: each is one that this endpoint gave with an answer"


def _bad_url(url: str, why: str) -> Exception:
    from penstock.base.errors import Invalid

    return Invalid(
        f"not a server's URL, or no answer of one: {url} ({why})",
        code="serving.bad_url",
        hint="name a serve process, like http://127.0.0.1:8080",
    )
