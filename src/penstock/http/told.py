"""What services of the user's own tell of their calls, their labels, and which version they are to answer with.

Who asks for credentials asks here for what a serve process would: the scope `feedback`, which an ordinary writer of
the model has, and which a token may be narrowed to.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from penstock.access.admission import Admission
from penstock.access.scopes import Scope
from penstock.base.errors import Denied
from penstock.flows.production.live.ingesting import Ingest, Taken
from penstock.flows.production.live.pairing import endpoint_of, take_halves
from penstock.http.operations import Telling
from penstock.project.project import Project
from penstock.serving.deployments import get_revision
from penstock.serving.predictions.feedback import FeedbackResult, LabelItem, decode_feedback, take_feedback
from penstock.serving.told.current import Current
from penstock.serving.told.events import is_event, read_events
from penstock.serving.told.observations import ARROW_STREAM, ObservationBatch, bad_batch, parse_batch

PACKED = frozenset({"application/msgpack", "application/x-msgpack", "application/vnd.msgpack"})
DIGITS_MAX = 15
"""Of a time in milliseconds; one with more is no date."""


class TellingServices:
    """The routes.

    Args:
        admission: who decides who may tell; None: everybody may.
    """

    def __init__(self, project: Project, admission: Admission | None) -> None:
        self._project, self._admission = project, admission
        self._ingest = Ingest(project)

    def operations(self) -> tuple[Telling, ...]:
        """Every route of it."""
        return (
            Telling(
                "/observations",
                self.observations,
                Taken,
                method="POST",
                takes=ObservationBatch,
                query=(("now_ms", "what the sender's clock says as it sends: times are set right by it"),),
            ),
            Telling(
                "/endpoints/{name}/feedback",
                self.feedback,
                FeedbackResult,
                method="POST",
                takes=list[LabelItem],
            ),
            Telling("/endpoints/{name}/current", self.current, Current),
        )

    def observations(self, request: Request, body: bytes) -> Any:
        """Take a batch of calls of a service of one's own, or events of a payload logger, once however often it is sent."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        named = request.query_params
        if is_event(request.headers):
            halves = [
                (endpoint_of(half, named.get("endpoint")), half)
                for half in read_events(request.headers, body)
            ]
            for endpoint in dict.fromkeys(endpoint for endpoint, _ in halves):
                self._admit(request, endpoint, "feedback")
            return take_halves(self._project, self._ingest, halves, named.get("model"))
        if kind == ARROW_STREAM:
            from penstock.serving.told.arrow import parse_arrow

            batch = parse_arrow(
                body, batch=named.get("batch"), endpoint=named.get("endpoint"), model=named.get("model")
            )
        else:
            batch = parse_batch(body, is_packed=kind in PACKED)
        self._admit(request, batch.endpoint, "feedback")
        return self._ingest.take(batch, _sender_ms(named.get("now_ms")))

    def feedback(self, request: Request, body: bytes) -> Any:
        """Take labels for predictions that a service of one's own made."""
        name = request.path_params["name"]
        sender = self._admit(request, name, "feedback")
        items = decode_feedback(body)
        with self._project.database.read() as connection:
            revision = get_revision(connection, name)
        return take_feedback(revision, items, self._ingest, sender)

    def current(self, request: Request, _body: bytes) -> Any:
        """The version that an endpoint wants now."""
        name = request.path_params["name"]
        self._admit(request, name, "infer", "feedback")
        with self._project.database.read() as connection:
            return Current.of(get_revision(connection, name))

    def _admit(self, request: Request, endpoint: str, *scopes: Scope) -> str | None:
        """Return who calls.

        Raises:
            Denied: the credentials allow none of the scopes.
        """
        if self._admission is None:
            return request.client.host if request.client else None
        given = request.headers.get("authorization", "")
        for scope in scopes[:-1]:
            try:
                return self._admission.admit(given, scope, endpoint)
            except Denied as error:
                if error.code != "access.denied":
                    raise
        return self._admission.admit(given, scopes[-1], endpoint)


def _sender_ms(given: str | None) -> int | None:
    """Return what a sender's clock says, where it tells.

    Raises:
        Invalid: it is no number of milliseconds.
    """
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= DIGITS_MAX):
        raise bad_batch(f"now_ms is {given[:40]!r}, and not milliseconds since 1970")
    return int(given)
