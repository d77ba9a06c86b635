"""Replay a month as live traffic: predictions over HTTP now, labels some hours of the month later."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import Queue
from typing import Any

import numpy as np

from penstock.base.errors import Unavailable
from penstock.base.threads import begin
from penstock.base.web.calls import JSON, WebConnection
from penstock.demo.deliveries import TEXT, Request
from penstock.demo.shop import ANSWER_S
from penstock.stats.significance import score

CLIENTS = 3
LABEL_LAG_REQUESTS = 90
FEEDBACK_BATCH = 30


@dataclass
class Tally:
    """What the clients saw. `failures` are the answers that were not 200; times in seconds.

    `scores` and `truths` are, by model version, what was answered and what turned out.
    """

    sent: int = 0
    rows: int = 0
    labels: int = 0
    failures: list[str] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    by_version: dict[str, int] = field(default_factory=dict)
    scores: dict[str, list[float]] = field(default_factory=dict)
    truths: dict[str, list[int]] = field(default_factory=dict)
    first_id: str | None = None
    last_ids: dict[str, str] = field(default_factory=dict)
    day: int = 0

    def quantile_ms(self, rank: float) -> float:
        """Return the latency that a share `rank` of the answers did not exceed."""
        ordered = sorted(self.latencies_s)
        return ordered[min(int(len(ordered) * rank), len(ordered) - 1)] * 1000 if ordered else 0.0


class Replay:
    """Clients that send a stream of requests to one endpoint at a bounded rate."""

    def __init__(self, port: int, endpoint: str, *, rate: float) -> None:
        self._port = port
        self._path = f"/v2/models/{endpoint}"
        self._rate = rate
        self._lock = threading.Lock()
        self.tally = Tally()

    def run(self, requests: Iterable[Request], until: Callable[[], bool] = lambda: False) -> Tally:
        """Send the requests, and each one's labels `LABEL_LAG_REQUESTS` later; stop early when `until` says so."""
        queue: Queue[tuple[int, Request] | None] = Queue(maxsize=2 * CLIENTS)
        learned: Queue[dict[str, Any] | None] = Queue()
        clients = [begin("demo-client", lambda: self._ask(queue, learned)) for _ in range(CLIENTS)]
        teacher = begin("demo-teacher", lambda: self._teach(learned))
        for number, request in enumerate(self._paced(requests)):
            queue.put((number, request))
            self.tally.day = request.day
            if until():
                break
        for _ in clients:
            queue.put(None)
        for client in clients:
            client.result()
        learned.put(None)
        teacher.result()
        return self.tally

    def _paced(self, requests: Iterable[Request]) -> Iterator[Request]:
        began = time.monotonic()
        for number, request in enumerate(requests):
            wait_s = began + number / self._rate - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            yield request

    def _ask(self, queue: Queue[tuple[int, Request] | None], learned: Queue[dict[str, Any] | None]) -> None:
        connection = WebConnection(f"http://127.0.0.1:{self._port}", timeout_s=ANSWER_S)
        while (item := queue.get()) is not None:
            _, request = item
            began = time.perf_counter()
            status, answer = _post(connection, f"{self._path}/infer", _body(request))
            elapsed_s = time.perf_counter() - began
            self._count(request, status, answer, elapsed_s)
            if status == 200:
                learned.put({"prediction_id": _prediction_id(answer), "label": request.labels})
        connection.close()

    def _count(self, request: Request, status: int, answer: dict[str, Any], elapsed_s: float) -> None:
        with self._lock:
            tally = self.tally
            tally.sent += 1
            tally.rows += len(request.labels)
            tally.latencies_s.append(elapsed_s)
            if status != 200:
                tally.failures.append(f"{status}: {answer.get('error', answer)}")
                return
            version = str(answer.get("model_version"))
            tally.by_version[version] = tally.by_version.get(version, 0) + 1
            tally.scores.setdefault(version, []).extend(_probabilities(answer))
            tally.truths.setdefault(version, []).extend(request.labels)
            tally.last_ids[version] = _prediction_id(answer)
            tally.first_id = tally.first_id or tally.last_ids[version]

    def _teach(self, learned: Queue[dict[str, Any] | None]) -> None:
        connection = WebConnection(f"http://127.0.0.1:{self._port}", timeout_s=ANSWER_S)
        waiting: list[dict[str, Any]] = []
        is_over = False
        while not is_over:
            item = learned.get()
            if item is None:
                is_over = True
            else:
                waiting.append(item)
            due = len(waiting) if is_over else len(waiting) - LABEL_LAG_REQUESTS
            while due >= FEEDBACK_BATCH or (is_over and due > 0):
                batch, waiting = waiting[:FEEDBACK_BATCH], waiting[FEEDBACK_BATCH:]
                due -= len(batch)
                status, answer = _post(connection, f"{self._path}/feedback", json.dumps(batch).encode())
                with self._lock:
                    if status == 200:
                        self.tally.labels += sum(len(one["label"]) for one in batch)
                    else:
                        self.tally.failures.append(f"feedback {status}: {answer}")
        connection.close()


def live_auc(tallies: Sequence[Tally], version: str) -> float:
    """Return ROC AUC of a version over what it answered live."""
    truths = [value for tally in tallies for value in tally.truths.get(version, [])]
    scores = [value for tally in tallies for value in tally.scores.get(version, [])]
    return score("roc_auc", np.array(truths, dtype=np.float64), np.array(scores, dtype=np.float64))


def _body(request: Request) -> bytes:
    rows = len(request.labels)
    inputs = [
        {"name": name, "shape": [rows], "datatype": "BYTES" if name in TEXT else "FP64", "data": values}
        for name, values in request.columns.items()
    ]
    return json.dumps({"inputs": inputs}).encode()


def _probabilities(answer: dict[str, Any]) -> list[float]:
    return next(output["data"] for output in answer["outputs"] if output["name"] == "probability")


def _prediction_id(answer: dict[str, Any]) -> str:
    return str(answer.get("parameters", {}).get("penstock-prediction-id") or answer.get("id"))


def _post(connection: WebConnection, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
    try:
        reply = connection.request("POST", path, body, JSON)
        answer = reply.json()
        return reply.status, answer if isinstance(answer, dict) else {"error": answer}
    except (Unavailable, ValueError) as error:
        connection.close()
        return 0, {"error": str(error)}
