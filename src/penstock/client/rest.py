"""Rest: calls of a tracking server, with retries, over kept-alive connections."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from penstock.base.errors import Corrupt, Denied, Invalid, NotFound, PenstockError, Refused, Unavailable

TIMEOUT_S = 60.0
WAITS_S = (0.2, 0.5, 1.0)
API = "/api/2.0/mlflow"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
BLOCK_BYTES = 1 << 20


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
    """Calls of a server, one kept-alive connection for each thread; retries what a retry may help."""

    def __init__(self, address: Address) -> None:
        parts = urlsplit(address.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Invalid(
                f"not a server's address: {address.url!r}",
                code="client.bad_uri",
                hint="set PENSTOCK_URI to http://HOST:5000",
            )
        self._address, self._parts = address, parts
        self._local = threading.local()

    def after_fork(self) -> None:
        """Forget connections that belong to the parent process."""
        self._local = threading.local()

    def get(self, path: str, /, **query: str) -> Any:
        """Return the JSON that a GET answers."""
        return json.loads(self.send("GET", f"{path}?{urlencode(query)}" if query else path))

    def post(self, path: str, body: Mapping[str, Any], method: str = "POST") -> Any:
        """Return the JSON that a POST, or another method with a body, answers."""
        return json.loads(
            self.send(method, path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        )

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
        for wait_s in (*WAITS_S, None):
            try:
                return call()
            except Unavailable:
                if wait_s is None:
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
        connection = self._connection()
        try:
            if isinstance(body, Path):
                with body.open("rb") as file:
                    sized = {**headers, "Content-Length": str(body.stat().st_size)}
                    connection.request(method, f"{self._parts.path.rstrip('/')}{path}", file, sized)
            else:
                connection.request(method, f"{self._parts.path.rstrip('/')}{path}", body, headers)
            answer = connection.getresponse()
            if target is None or answer.status >= 400:
                data = answer.read()
            else:
                data = b""
                with target.open("wb") as out:
                    while block := answer.read(BLOCK_BYTES):
                        out.write(block)
                    if (
                        answer.length
                    ):  # http.client ends a short body without an error when it is read in parts
                        raise http.client.IncompleteRead(b"", answer.length)
        except (OSError, http.client.HTTPException) as error:
            self.forget()
            raise Unavailable(
                f"the server {self._address.url} did not answer: {error}",
                code="client.unavailable",
                hint="check that it runs; records are kept and sent later",
            ) from error
        if answer.status >= 400:
            raise _error(answer.status, data, self._address.url)
        return data

    def _connection(self) -> http.client.HTTPConnection:
        known: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if known is None:
            kind = (
                http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
            )
            known = kind(self._parts.hostname or "", self._parts.port, timeout=TIMEOUT_S)
            self._local.connection = known
        return known

    def forget(self) -> None:
        """Close this thread's connection; the next call opens another."""
        known: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
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
