"""Rest: calls of a tracking server, with retries, over kept-alive connections."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from penstock.base.errors import Corrupt, Denied, Invalid, NotFound, PenstockError, Refused, Unavailable
from penstock.base.web.calls import JSON, TRUST_IT, UNTRUSTED, WebConnection, parse_server

TIMEOUT_S = 60.0
"""So long each piece of an answer is waited for, and so long a call is tried again."""
WAITS_S = (0.2, 0.5, 1.0)
API = "/api/2.0/mlflow"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"


@dataclass(frozen=True)
class Address:
    """A server with the credentials for it; `token` wins over user and password."""

    url: str
    user: str = ""
    password: str = ""
    token: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request."""
        if self.token:
            return {"Authorization": f"Bearer {self.token}"}
        if self.user:
            pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        return {}


class Rest:
    """Calls of a server, one kept-alive connection for each thread; retries what a retry may help.

    One that hangs is not asked again: a call that has waited for `timeout_s` ends.
    """

    def __init__(self, address: Address, *, timeout_s: float = TIMEOUT_S) -> None:
        try:
            parse_server(address.url)
        except Invalid as error:
            hint = "set PENSTOCK_URI to http://HOST:5000"
            raise Invalid(error.message, code="client.bad_uri", hint=hint) from None
        self._address, self._timeout_s = address, timeout_s
        self._local = threading.local()

    def after_fork(self) -> None:
        """Forget connections that belong to the parent process."""
        self._local = threading.local()

    def get(self, path: str, /, **query: str) -> Any:
        """Return the JSON that a GET answers."""
        return json.loads(self.send("GET", f"{path}?{urlencode(query)}" if query else path))

    def post(self, path: str, body: Mapping[str, Any], method: str = "POST") -> Any:
        """Return the JSON that a POST, or another method with a body, answers."""
        return json.loads(self.send(method, path, json.dumps(body).encode(), JSON))

    def download(self, path: str, target: Path) -> None:
        """Write the bytes that a GET answers to a new file, as they come.

        Raises:
            Unavailable, NotFound, Denied, Corrupt: as `send`.
        """
        self._retry(lambda: self._once("GET", path, None, self._address.headers, target))

    def send(
        self,
        method: str,
        path: str,
        body: bytes | Path | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return the bytes of an answer; a file is streamed.

        Raises:
            Unavailable: the server cannot be reached or asks to come back later.
            NotFound, Invalid, Denied, Corrupt: what the server says.
        """
        return self._retry(
            lambda: self._once(method, path, body, {**self._address.headers, **(headers or {})})
        )

    def _retry(self, call: Callable[[], bytes]) -> bytes:
        deadline_s = time.monotonic() + self._timeout_s
        for wait_s in (*WAITS_S, None):
            try:
                return call()
            except Unavailable:
                if wait_s is None or time.monotonic() + wait_s >= deadline_s:
                    raise
                time.sleep(wait_s)
        raise AssertionError("unreachable")

    def _once(
        self,
        method: str,
        path: str,
        body: bytes | Path | None,
        headers: dict[str, str],
        target: Path | None = None,
    ) -> bytes:
        try:
            reply = self._connection().request(method, path, body, headers, into=target)
        except Unavailable as error:
            raise Unavailable(
                f"the server {self._address.url} did not answer: {error.fields['why']}",
                code="client.unavailable",
                hint=TRUST_IT
                if error.code == UNTRUSTED
                else "check that it runs; records are kept and sent later",
            ) from error
        if reply.has_failed:
            raise _error(reply.status, reply.body, self._address.url)
        return reply.body

    def _connection(self) -> WebConnection:
        known: WebConnection | None = getattr(self._local, "connection", None)
        if known is None:
            known = self._local.connection = WebConnection(self._address.url, timeout_s=self._timeout_s)
        return known

    def forget(self) -> None:
        """Close this thread's connection; the next call opens another."""
        known: WebConnection | None = getattr(self._local, "connection", None)
        if known is not None:
            known.close()
            self._local.connection = None


def proxied(uri: str) -> str:
    """Return the path in the artifact proxy that a location means.

    Raises:
        Refused: the server does not keep these files.
    """
    parts = urlsplit(uri)
    if parts.scheme != "mlflow-artifacts":
        raise Refused(
            f"the files lie in {uri}, which needs its own client",
            code="artifacts.elsewhere",
            hint="use an experiment whose artifacts the server keeps",
        )
    return parts.path.strip("/")


def _error(status: int, data: bytes, url: str) -> PenstockError:
    is_foreign = False
    try:
        body = json.loads(data)
        text, name = str(body.get("message") or body.get("error") or status), str(body.get("error_code", ""))
    except (ValueError, AttributeError):
        text, name, is_foreign = f"status {status}", "", True
    text = f"{url}: {text}"
    if name == "DATA_LOSS":
        return Corrupt(text, code="client.corrupt", hint="penstock model verify, on the server")
    if status in {408, 429, 500, 502, 503, 504}:
        return Unavailable(text, code="client.unavailable", hint="try again later")
    if status in {401, 403}:
        return Denied(text, code="client.denied", hint="check MLFLOW_TRACKING_TOKEN, or user and password")
    if status == 404:
        return NotFound(text, code="client.not_found", is_foreign=is_foreign)
    return Invalid(text, code="client.refused", server_code=name)
