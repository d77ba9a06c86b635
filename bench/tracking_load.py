"""Load for the tracking benchmark: raw HTTP, many clients at once, and the unmodified client."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from tracking_servers import MLFLOW_PYTHON, QUIET

CLIENT = """
import json, statistics, sys, time
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
import mlflow
client = MlflowClient()
run = client.create_run("0").info.run_id
def median(work, count):
    times = []
    for number in range(count):
        begun = time.perf_counter(); work(number); times.append(time.perf_counter() - begun)
    return statistics.median(times)
def one_run(number):
    with mlflow.start_run():
        for place in range(5):
            mlflow.log_param(f"p{place}", place)
            mlflow.log_metric(f"m{place}", place)
found = {
    "client: log_metric": median(lambda n: client.log_metric(run, "m", n, timestamp=n, step=n), 150),
    "client: log_batch(1,000)": median(lambda n: client.log_batch(run, [
        Metric(f"k{place % 10}", place, place, n * 1000 + place) for place in range(1000)]), 15),
    "client: a run with 5 parameters and 5 metrics": median(one_run, 15),
}
print(json.dumps(found))
"""


class Client:
    """One kept-alive connection to a server's REST API.

    Head and body leave in one segment, so that neither waits for the other to be acknowledged.
    """

    def __init__(self, url: str) -> None:
        self._place = urlsplit(url).netloc
        self._socket = self._connect()

    def _connect(self) -> socket.socket:
        host, port = self._place.split(":")
        found = socket.create_connection((host, int(port)), timeout=120)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer's JSON; anything but 200 ends the benchmark."""
        data = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} /api/2.0/mlflow/{path} HTTP/1.1\r\nHost: {self._place}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        try:
            answer = self._begin(method, head.encode() + data)
        except (
            http.client.RemoteDisconnected,
            ConnectionError,
        ):  # a server may end what was idle for seconds
            self._socket = self._connect()
            answer = self._begin(method, head.encode() + data)
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
        return text

    def _begin(self, method: str, request: bytes) -> http.client.HTTPResponse:
        self._socket.sendall(request)
        answer = http.client.HTTPResponse(self._socket, method=method)
        answer.begin()
        return answer

    def post(self, path: str, body: Any) -> Any:
        """Return the decoded answer of a POST."""
        return json.loads(self.call("POST", path, body))

    def new_run(self, experiment: str = "0") -> str:
        """Start a run and return its id."""
        run: str = self.post("runs/create", {"experiment_id": experiment, "start_time": 1})["run"]["info"][
            "run_id"
        ]
        return run


def upload(url: str, path: str, source: BinaryIO, size: int) -> None:
    """Put the first `size` bytes of a file, handed from kernel to kernel."""
    place = urlsplit(url).netloc
    host, port = place.split(":")
    with socket.create_connection((host, int(port)), timeout=600) as connection:
        connection.sendall(f"PUT {path} HTTP/1.1\r\nHost: {place}\r\nContent-Length: {size}\r\n\r\n".encode())
        connection.sendfile(source, 0, size)
        answer = http.client.HTTPResponse(connection, method="PUT")
        answer.begin()
        if answer.status != 200:
            raise RuntimeError(f"PUT {path}: {answer.status} {answer.read()[:300]!r}")


def median_s(work: Callable[[int], object], count: int) -> float:
    """Return the median time of `count` calls, after one that is not counted."""
    work(-1)
    times = []
    for number in range(count):
        begun = time.perf_counter()
        work(number)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def unmodified_client(url: str) -> dict[str, float]:
    """Return the medians of the real client's calls, in seconds."""
    done = subprocess.run(
        [MLFLOW_PYTHON, "-c", CLIENT],
        env={**QUIET, "PATH": "/usr/bin:/bin", "MLFLOW_TRACKING_URI": url, "HOME": "/tmp"},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def many_clients(url: str, seconds: float, clients: int = 32, processes: int = 4) -> tuple[float, int]:
    """Log metrics from many clients at once; return metrics a second and how many were lost."""
    results: multiprocessing.Queue[list[tuple[str, int]]] = multiprocessing.Queue()
    workers = [
        multiprocessing.Process(target=_log_for, args=(url, seconds, clients // processes, results))
        for _ in range(processes)
    ]
    begun = time.perf_counter()
    for worker in workers:
        worker.start()
    logged = [pair for _ in workers for pair in results.get(timeout=seconds + 120)]
    took = time.perf_counter() - begun
    for worker in workers:
        worker.join()
    reader = Client(url)
    lost = 0
    for run, count in logged:
        path = f"metrics/get-history?run_id={run}&metric_key=m&max_results=25000"
        lost += count - len(json.loads(reader.call("GET", path)).get("metrics", []))
    return sum(count for _, count in logged) / took, lost


def _log_for(
    url: str, seconds: float, threads: int, results: multiprocessing.Queue[list[tuple[str, int]]]
) -> None:
    done: list[tuple[str, int]] = []

    def log() -> None:
        client = Client(url)
        run, count, end = client.new_run(), 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            client.call(
                "POST",
                "runs/log-metric",
                {"run_id": run, "key": "m", "value": 0.5, "timestamp": count, "step": count},
            )
            count += 1
        done.append((run, count))

    workers = [threading.Thread(target=log) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    results.put(done)
