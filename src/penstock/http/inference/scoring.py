"""MLflow's scoring routes, for one endpoint: `/invocations`, `/ping`, `/health`, `/version`.

Source:
    mlflow/mlflow, mlflow/pyfunc/scoring_server/__init__.py (routes, statuses and bodies).
"""

from __future__ import annotations

from functools import partial

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import penstock
from penstock.base.errors import Denied, Invalid, NotFound, PenstockError, Unavailable
from penstock.base.numbers import counted
from penstock.base.store.outside import told_outside
from penstock.http.errors import json_response, status_of, waiting_of
from penstock.http.inference.admitting import ENDPOINT_HEADER
from penstock.http.inference.answering import JSON, Answering, Prepared, identity_headers
from penstock.records.signature import Signature
from penstock.serving.asking import other_inputs
from penstock.serving.codecs import InferRequest, InferResponse
from penstock.serving.dataplane import DataPlane
from penstock.serving.repository import ServedRevision
from penstock.serving.scoring import decode_scoring, encode_scoring

CAUSES: tuple[tuple[type[PenstockError], str], ...] = (
    (NotFound, "RESOURCE_DOES_NOT_EXIST"),
    (Invalid, "BAD_REQUEST"),
    (Denied, "PERMISSION_DENIED"),
    (Unavailable, "TEMPORARILY_UNAVAILABLE"),
)


class Scoring:
    """The routes. The endpoint is the header's `penstock-endpoint`, else `default`, else the only one there is."""

    def __init__(self, dataplane: DataPlane, answering: Answering, default: str | None) -> None:
        self._dataplane = dataplane
        self._answering = answering
        self._default = default

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/invocations", self.invocations, methods=["POST"]),
            Route("/ping", self.ping, methods=["GET"]),
            Route("/health", self.ping, methods=["GET"]),
            Route("/version", self.version, methods=["GET"]),
        ]

    def find_endpoint(self, headers: Headers) -> str | None:
        """Return the endpoint that a request with these headers asks, or None where that is not known."""
        try:
            return self.endpoint_of(headers)
        except PenstockError:
            return None

    def endpoint_of(self, headers: Headers) -> str:
        """Return the endpoint that a request asks.

        Raises:
            Invalid: several are served, and none is named (`scoring.which_endpoint`).
            NotFound: none is served.
        """
        named = headers.get(ENDPOINT_HEADER) or self._default
        if named:
            return named
        repository = self._dataplane.repository
        names = sorted({*repository.served, *repository.pending})
        if len(names) == 1:
            return names[0]
        if not names:
            raise NotFound(
                "there is no endpoint to ask",
                code="serving.endpoint_unknown",
                hint="penstock deploy ENDPOINT --model MODEL",
            )
        raise Invalid(
            f"{counted(len(names), 'endpoint is', 'endpoints are')} served here, and the request names none",
            code="scoring.which_endpoint",
            hint=f"send the header {ENDPOINT_HEADER}, such as {names[0]}, or start serve with --default {names[0]}",
        )

    async def invocations(self, request: Request) -> Response:
        """Answer a scoring request."""
        try:
            endpoint = self.endpoint_of(request.headers)
        except PenstockError as error:
            return scoring_error(error)
        read = partial(_read, request.headers.get("content-type", ""))
        return await self._answering.answer(request, endpoint, None, read, _write, scoring_error)

    async def ping(self, _request: Request) -> Response:
        """Say that the process answers."""
        return Response("\n", media_type="application/json")

    async def version(self, _request: Request) -> Response:
        """Tell this program's version."""
        return Response(penstock.__version__, media_type="application/json")


def _read(
    content_type: str, body: bytes, served: ServedRevision, signature: Signature, received_s: float
) -> tuple[InferRequest, None]:
    return decode_scoring(body, content_type, signature, received_s, other_inputs(served)), None


def _write(response: InferResponse, _form: None) -> Response:
    return Prepared(encode_scoring(response), JSON, identity_headers(response))


def scoring_error(error: PenstockError) -> Response:
    """Return an error in MLflow's form, with ours beside it."""
    error = told_outside(error)
    name = next((name for cause, name in CAUSES if isinstance(error, cause)), "INTERNAL_ERROR")
    body = {"error_code": name, "message": error.message, "error": error.message, "code": error.code}
    if error.hint:
        body["hint"] = error.hint
    return json_response(body, status_of(error), waiting_of(error))
