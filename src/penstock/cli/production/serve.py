"""`penstock serve` and `penstock feedback`: the data plane, and labels sent to it."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import click

from penstock.cli.output import Session, json_option, pass_session


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one."
)
@json_option
@pass_session
def serve(session: Session, host: str, port: int) -> None:
    """Serve every endpoint over the Open Inference Protocol until interrupted.

    Deployments, canaries and rollbacks are followed without a restart and without losing a request.
    """
    import logging

    from penstock.flows.models.folders import RegistrySource
    from penstock.http.inference import build_inference_app
    from penstock.processes.serve import ServeOptions, ServeProcess
    from penstock.workspace import open_workspace

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("penstock").setLevel(logging.WARNING if session.quiet else logging.INFO)
    project = open_workspace(session.directory)
    monitors = {name: one.monitor for name, one in project.settings.endpoints.items()}
    flush_s = min((one.flush_s for one in monitors.values()), default=1.0)
    options = ServeOptions(host=host, port=port, monitors=monitors, flush_s=flush_s)
    try:
        process = ServeProcess(project.database, RegistrySource(project), build_inference_app, options)
        session.note(f"serving on {process.url} as worker {process.worker}; stop with Ctrl-C")
        process.run()
    finally:
        project.close()
    session.emit({"url": process.url, "worker": process.worker}, "")


@click.command()
@click.argument("endpoint")
@click.option(
    "--file", "source", type=click.File("r"), help="JSON lines or a JSON list; - for standard input."
)
@click.option("--prediction", help="Id of one prediction.")
@click.option("--label", help="The truth about it, as JSON (a list for several rows).")
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="The serve process.")
@json_option
@pass_session
def feedback(
    session: Session,
    endpoint: str,
    source: IO[str] | None,
    prediction: str | None,
    label: str | None,
    url: str,
) -> None:
    """Send labels for predictions that ENDPOINT made earlier.

    Either one with --prediction and --label, or many with --file, each
    {"prediction_id": "…", "label": 1}.
    """
    from urllib.parse import quote

    if (source is None) == (prediction is None) or (prediction is None) != (label is None):
        raise click.UsageError("give --file, or --prediction and --label")
    entries = (
        _entries(source) if source is not None else [{"prediction_id": prediction, "label": _value(label)}]
    )
    totals: dict[str, int] = {"accepted": 0, "unknown": 0, "duplicate": 0, "misfit": 0, "rejected": 0}
    for start in range(0, len(entries), 1000):
        answer = _post(
            f"{url.rstrip('/')}/v2/models/{quote(endpoint, safe='')}/feedback", entries[start : start + 1000]
        )
        for name in totals:
            found = answer.get(name, 0)
            totals[name] += len(found) if isinstance(found, list) else found
    session.emit(
        totals, ", ".join(f"{count} {name}" for name, count in totals.items() if count) or "no labels"
    )


def _value(label: str | None) -> Any:
    import json

    try:
        return json.loads(label or "")
    except ValueError:
        return label


def _entries(source: IO[str]) -> list[Any]:
    import msgspec

    from penstock.base.errors import Invalid

    text = source.read().encode()
    try:
        if text.lstrip().startswith(b"["):
            return msgspec.json.decode(text, type=list[Any])
        return msgspec.json.Decoder(Any).decode_lines(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(
            f"{Path(source.name).name} holds no labels: {error}",
            code="serving.bad_feedback",
            hint='write one {"prediction_id": "…", "label": 1} a line',
        ) from None


def _post(url: str, entries: list[Any]) -> dict[str, Any]:
    import json
    import urllib.error
    import urllib.request

    from penstock.base.errors import Invalid, NotFound, Unavailable

    body, kind = json.dumps(entries).encode(), {"Content-Type": "application/json"}
    try:
        request = urllib.request.Request(url, body, kind, method="POST")
        with urllib.request.urlopen(request, timeout=60) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        try:
            sentence = json.load(error)["error"]
        except (ValueError, KeyError, TypeError):
            sentence = f"{url} answered {error.code}"
        cause = {404: NotFound, 400: Invalid}.get(error.code, Unavailable)
        raise cause(sentence, code="serving.feedback_refused", hint="check the ids and the URL") from None
    except ValueError as error:
        raise Invalid(
            f"not a server's URL, or no answer of one: {url} ({error})",
            code="serving.bad_url",
            hint="name a serve process, like http://127.0.0.1:8080",
        ) from None
    except OSError as error:
        raise Unavailable(
            f"{url} cannot be reached: {error}",
            code="serving.unreachable",
            hint="start it with `penstock serve`, or name it with --url",
        ) from None
