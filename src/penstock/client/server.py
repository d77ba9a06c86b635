"""ServerSink: records go to a tracking server over MLflow's REST API, Penstock's or MLflow's own."""

from __future__ import annotations

import base64
import http.client
import json
import math
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from penstock.base.errors import Denied, Invalid, NotFound, PenstockError, Refused, Unavailable
from penstock.client.sink import CLIENT_TAG, Batch, RunDraft
from penstock.tracking.entities import RunStatus
from penstock.tracking.inputs import as_datasets
from penstock.tracking.values import NAME_TAG

TIMEOUT_S = 60.0
WAITS_S = (0.2, 0.5, 1.0)
API = "/api/2.0/mlflow"
MAX_METRICS, MAX_PAIRS = 1000, 100


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

    def get(self, path: str, **query: str) -> Any:
        """Return the JSON that a GET answers."""
        return json.loads(self.send("GET", f"{path}?{urlencode(query)}" if query else path))

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the JSON that a POST answers."""
        return json.loads(
            self.send("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        )

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
            NotFound, Invalid, Denied: what the server says.
        """
        for wait_s in (*WAITS_S, None):
            try:
                return self._once(method, path, body, {**self._address.headers, **(headers or {})})
            except Unavailable:
                if wait_s is None:
                    raise
                time.sleep(wait_s)
        raise AssertionError("unreachable")

    def _once(self, method: str, path: str, body: bytes | Path | None, headers: dict[str, str]) -> bytes:
        connection = self._connection()
        try:
            if isinstance(body, Path):
                with body.open("rb") as file:
                    sized = {**headers, "Content-Length": str(body.stat().st_size)}
                    connection.request(method, f"{self._parts.path.rstrip('/')}{path}", file, sized)
            else:
                connection.request(method, f"{self._parts.path.rstrip('/')}{path}", body, headers)
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._forget()
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

    def _forget(self) -> None:
        known: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if known is not None:
            known.close()
            self._local.connection = None


class ServerSink:
    """A `Sink` over a server's REST API."""

    def __init__(self, address: Address) -> None:
        self.rest = Rest(address)
        self.place = address.url

    def start(self, draft: RunDraft) -> str:
        """Start a run, or find the one that an earlier try started."""
        experiment = self._experiment(draft.experiment)
        known = self.rest.post(
            f"{API}/runs/search",
            {
                "experiment_ids": [experiment],
                "filter": f"tags.`{CLIENT_TAG}` = '{draft.client_id}'",
                "max_results": 1,
            },
        ).get("runs", [])
        if known:
            return str(known[0]["info"]["run_id"])
        tags = {**draft.tags, NAME_TAG: draft.name, CLIENT_TAG: draft.client_id}
        made = self.rest.post(
            f"{API}/runs/create",
            {
                "experiment_id": experiment,
                "run_name": draft.name,
                "user_id": draft.user,
                "start_time": draft.start_ms,
                "tags": _pairs(tags),
            },
        )
        run_id = str(made["run"]["info"]["run_id"])
        if draft.inputs:
            self.rest.post(f"{API}/runs/log-inputs", {"run_id": run_id, "datasets": _datasets(draft.inputs)})
        return run_id

    def reopen(self, run_id: str) -> None:
        """Let an ended run go on."""
        self.rest.post(f"{API}/runs/update", {"run_id": run_id, "status": "RUNNING"})

    def log(self, run_id: str, batch: Batch) -> None:
        """Send a batch, in as many requests as the protocol's limits need."""
        metrics = [
            {"key": point.key, "value": _number(point.value), "timestamp": point.time_ms, "step": point.step}
            for point in batch.metrics
        ]
        params, tags = _pairs(batch.params), _pairs(batch.tags)
        while metrics or params or tags:
            pairs = {"params": params[:MAX_PAIRS], "tags": tags[:MAX_PAIRS]}
            room = MAX_METRICS - len(pairs["params"]) - len(pairs["tags"])
            self.rest.post(f"{API}/runs/log-batch", {"run_id": run_id, "metrics": metrics[:room], **pairs})
            metrics, params, tags = metrics[room:], params[MAX_PAIRS:], tags[MAX_PAIRS:]

    def upload(self, run_id: str, source: Path, path: str) -> None:
        """Send a file through the artifact proxy."""
        uri = str(self.rest.get(f"{API}/runs/get", run_id=run_id)["run"]["info"]["artifact_uri"])
        parts = urlsplit(uri)
        if parts.scheme != "mlflow-artifacts":
            raise Refused(
                f"the artifacts of run {run_id} lie in {uri}, which needs its own client",
                code="artifacts.elsewhere",
                hint="log to an experiment whose artifacts the server keeps",
            )
        place = quote(f"{parts.path.strip('/')}/{path}")
        self.rest.send("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{place}", source)

    def finish(self, run_id: str, status: RunStatus, end_ms: int) -> None:
        """End a run."""
        self.rest.post(f"{API}/runs/update", {"run_id": run_id, "status": status, "end_time": end_ms})

    def close(self) -> None:
        """Leave the connections to their threads' end."""

    def _experiment(self, name: str) -> str:
        try:
            found = self.rest.get(f"{API}/experiments/get-by-name", experiment_name=name)
            return str(found["experiment"]["experiment_id"])
        except NotFound:
            try:
                return str(self.rest.post(f"{API}/experiments/create", {"name": name})["experiment_id"])
            except Invalid:  # another process has just made it
                found = self.rest.get(f"{API}/experiments/get-by-name", experiment_name=name)
                return str(found["experiment"]["experiment_id"])


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _datasets(inputs: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "dataset": {
                "name": one.dataset.name,
                "digest": one.dataset.digest,
                "source_type": one.dataset.source_type,
                "source": one.dataset.source,
            },
            "tags": _pairs(dict(one.tags)),
        }
        for one in as_datasets(inputs)
    ]


def _number(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    return value if not math.isinf(value) else ("Infinity" if value > 0 else "-Infinity")


def _error(status: int, data: bytes, url: str) -> PenstockError:
    try:
        body = json.loads(data)
        text, name = str(body.get("message") or body.get("error") or status), str(body.get("error_code", ""))
    except (ValueError, AttributeError):
        text, name = f"status {status}", ""
    text = f"{url}: {text}"
    if status in {408, 429, 500, 502, 503, 504}:
        return Unavailable(text, code="client.unavailable", hint="try again later")
    if status in {401, 403}:
        return Denied(text, code="client.denied", hint="check MLFLOW_TRACKING_TOKEN, or user and password")
    if status == 404:
        return NotFound(text, code="client.not_found")
    return Invalid(text, code="client.refused", server_code=name)
