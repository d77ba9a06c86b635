"""`penstock serve --workers`: several processes, one port, and another for each that ends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import pytest

from patience import PATIENCE_S
from penstock.base.clock import now_ms
from penstock.rpc.messages import ModelInferRequest, ModelInferResponse
from penstock.serving.predictions.ids import parse_prediction_id
from penstock.serving.workers import list_alive
from penstock.workspace import open_workspace
from stories.live import is_running, wait_until

pytestmark = pytest.mark.slow
BODY: dict[str, list[dict[str, Any]]] = {
    "inputs": [
        {"name": "hour", "shape": [1], "datatype": "INT64", "data": [18]},
        {"name": "wind", "shape": [1], "datatype": "FP64", "data": [10.0]},
        {"name": "carrier", "shape": [1], "datatype": "BYTES", "data": ["AA"]},
    ]
}


class Workers:
    """`penstock serve --workers 2`."""

    def __init__(self, root: Path) -> None:
        self.root, self.log = root, root / "serve.log"
        command = [sys.executable, "-m", "penstock.cli", "-C", str(root), "serve", "--port", "0", "--workers", "2", "--grpc-port", "0"]  # fmt: skip
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(lambda: b"workers serve on" in self.log.read_bytes() or self.process.poll() is not None)
        found = re.search(r"serve on (\S+), gRPC on port (\d+);", self.log.read_text())
        assert found, self.log.read_text()
        self.url, self.grpc_port = found[1], int(found[2])
        wait_until(lambda: len(self.alive()) == 2 and self.listening() == 2)

    def listening(self) -> int:
        """Return how many of the workers' sockets, which the supervisor holds too, take connections."""
        port = int(self.url.rpartition(":")[2])
        held = psutil.Process(self.process.pid).net_connections("tcp")
        return sum(one.status == "LISTEN" and one.laddr.port == port for one in held)

    def children(self) -> set[int]:
        """Return the process ids of all workers, those that load too."""
        return {one.pid for one in psutil.Process(self.process.pid).children()}

    def alive(self) -> list[int]:
        """Return the process ids of the workers that serve the endpoint and still run."""
        project = open_workspace(self.root)
        with project.database.read() as connection:
            workers = list_alive(connection, now_ms())
        project.close()
        states = [(one, one.state_of("delay", 1)) for one in workers]
        return [one.pid for one, state in states if state and state.state == "ready" and is_running(one.pid)]

    def ask(self) -> httpx.Response:
        """Send one request on a connection of its own."""
        return httpx.post(f"{self.url}/v2/models/delay/infer", json=BODY, timeout=PATIENCE_S)

    def count(self, name: str) -> float:
        """Return the sum of a metric's series."""
        text = httpx.get(f"{self.url}/metrics", timeout=PATIENCE_S).text
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


@pytest.fixture(scope="module")
def workers(released_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    root = tmp_path_factory.mktemp("workers") / "project"
    shutil.copytree(released_root, root, symlinks=True)
    made = Workers(root)
    yield made
    if made.process.poll() is None:
        made.process.terminate()
    made.process.wait(PATIENCE_S)


def test_every_worker_answers_and_their_metrics_are_one_sum(workers: Workers) -> None:
    answers = [workers.ask() for _ in range(40)]
    assert [one.text for one in answers if one.status_code != 200] == []
    ids = [one.json()["id"] for one in answers]
    assert len(set(ids)) == 40
    assert len({parse_prediction_id(one).worker for one in ids}) == 2
    assert workers.count('penstock_requests_total{endpoint="delay",outcome="ok"}') == 40
    for _ in range(4):
        [told] = httpx.get(f"{workers.url}/v2/models/stats", timeout=PATIENCE_S).json()["model_stats"]
        assert told["inference_stats"]["success"]["count"] == told["inference_count"] == 40
    assert workers.count("penstock_requests_in_flight") == 0
    assert workers.count("penstock_workers_wanted") == 2
    assert (
        workers.count("penstock_recorder_max_bytes") % 2 == 0 != workers.count("penstock_recorder_max_bytes")
    )
    assert workers.count("penstock_recorder_dropped_total") == 0


def test_the_workers_share_the_port_of_grpc_too(workers: Workers) -> None:
    request = ModelInferRequest(model_name="delay")
    for one in BODY["inputs"]:
        field = {"INT64": "int64_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents"}[
            one["datatype"]
        ]
        values = [value.encode() if isinstance(value, str) else value for value in one["data"]]
        made = request.inputs.add(name=one["name"], shape=one["shape"], datatype=one["datatype"])
        getattr(made.contents, field).extend(values)
    seen = set()

    def has_seen_both() -> bool:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{workers.grpc_port}", options) as channel:
            ask = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer",
                ModelInferRequest.SerializeToString,
                ModelInferResponse.FromString,
            )
            answer = ask(request, timeout=PATIENCE_S, wait_for_ready=True)
        seen.add(parse_prediction_id(answer.parameters["penstock-prediction-id"].string_param).worker)
        return len(seen) == 2

    wait_until(has_seen_both)


def test_a_killed_worker_is_replaced_and_requests_go_to_the_others_meanwhile(workers: Workers) -> None:
    wait_until(lambda: len(workers.alive()) == 2)
    victim = workers.alive()[0]
    before = workers.count("penstock_requests_total")
    os.kill(victim, signal.SIGKILL)
    # until then it may take a request along, or one that waits for it is reset
    wait_until(lambda: f"worker process {victim} ended" in workers.log.read_text())
    assert {workers.ask().status_code for _ in range(20)} == {200}
    wait_until(lambda: len(workers.alive()) == 2 and victim not in workers.alive())
    wait_until(lambda: workers.listening() == 2)
    assert workers.count("penstock_worker_restarts_total") == 1
    assert workers.count("penstock_requests_total") == before + 20


def test_a_worker_that_follows_two_quick_deaths_answers_every_connection(workers: Workers) -> None:
    before = workers.children()
    os.kill(workers.alive()[0], signal.SIGKILL)
    wait_until(lambda: bool(workers.children() - before))
    assert workers.listening() == 1
    [successor] = workers.children() - before
    os.kill(successor, signal.SIGKILL)
    wait_until(lambda: successor not in workers.alive())
    wait_until(lambda: len(workers.alive()) == 2 and workers.listening() == 2)
    assert {workers.ask().status_code for _ in range(40)} == {200}


def test_an_endpoint_is_unloaded_and_loaded_in_every_worker(workers: Workers) -> None:
    def statuses() -> set[int]:
        return {workers.ask().status_code for _ in range(16)}

    repository = f"{workers.url}/v2/repository/models/delay"
    assert httpx.post(f"{repository}/unload", timeout=PATIENCE_S).status_code == 200
    wait_until(lambda: statuses() == {503})
    assert httpx.post(f"{repository}/load", timeout=PATIENCE_S).status_code == 200
    wait_until(lambda: statuses() == {200})


def test_the_end_of_the_supervisor_is_the_end_of_all(workers: Workers) -> None:
    pids = workers.alive()
    workers.process.terminate()
    assert workers.process.wait(PATIENCE_S) == 0
    assert not any(is_running(pid) for pid in pids)
    assert workers.alive() == []


def test_workers_that_cannot_begin_end_all_and_those_that_die_are_begun_ever_more_slowly(
    tmp_path: Path,
) -> None:
    program = """
import os, signal, sys
from penstock.http.listen import bind_shared
from penstock.processes import supervisor
import logging
logging.basicConfig(level=logging.ERROR, format="%(message)s")
supervisor.SETTLED_S = 60.0
pauses = []
supervisor.time.sleep, sleep = lambda s: sleep(0.001), supervisor.time.sleep
sockets = bind_shared("127.0.0.1", 0, 1)
found = supervisor.supervise(sockets, sys.argv[1])
if found.socket is None:
    sys.exit(found.exit_code)
if sys.argv[2] == "error":
    os._exit(7)
begun = os.path.join(sys.argv[1], "begun")
with open(begun, "a") as file:
    file.write("x")
if os.path.getsize(begun) == 3:
    os.kill(os.getppid(), signal.SIGTERM)
    sleep(60)
os.kill(os.getpid(), signal.SIGKILL)
"""
    variables = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    ended = [
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path), how],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            env=variables,
            check=False,
        )
        for how in ("error", "kill")
    ]
    assert [one.returncode for one in ended] == [7, 0], ended
    told = ended[1].stderr.splitlines()
    assert [line.partition("signal 9; ")[2] for line in told] == ["another begins", "another begins in 0.5 s"]


def test_a_worker_that_dies_at_every_start_takes_no_connections_from_those_that_live(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from penstock.http.listen import bind_shared
from penstock.processes import supervisor
supervisor.SETTLED_S = 0.1
sockets = bind_shared("127.0.0.1", 0, 2)
for one in sockets:
    one.listen(64)
print(sockets[0].getsockname()[1], flush=True)
found = supervisor.supervise(sockets, sys.argv[1])
if found.socket is sockets[1]:
    os.kill(os.getpid(), signal.SIGKILL)
while found.socket is not None:
    connection = found.socket.accept()[0]
    connection.send(b"ok")
    connection.close()
"""
    variables = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=variables) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())

        def is_answered() -> bool:
            try:
                with socket.create_connection(("127.0.0.1", port), 1) as connection:
                    return connection.recv(2) == b"ok"
            except OSError:
                return False

        wait_until(lambda: all(is_answered() for _ in range(30)))
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


def test_a_killed_workers_share_goes_to_the_one_that_lives_until_the_next_listens_and_at_the_end_the_port_refuses(
    tmp_path: Path,
) -> None:
    program = """
import os, signal, sys, time
from penstock.http.listen import bind_shared
from penstock.processes import supervisor
sockets = bind_shared("127.0.0.1", 0, 2)
for one in sockets:
    one.listen(64)
print(sockets[0].getsockname()[1], flush=True)
found = supervisor.supervise(sockets, sys.argv[1])
if found.socket is None:
    sys.exit(found.exit_code)
is_closed = []
signal.signal(signal.SIGTERM, lambda *_: (found.socket.close(), is_closed.append(1)))
begun, loaded = (os.path.join(sys.argv[1], name) for name in ("begun", "loaded"))
if found.socket is sockets[0]:
    with open(begun, "a") as file:
        file.write("x")
    while os.path.getsize(begun) > 1 and not os.path.exists(loaded) and not is_closed:
        time.sleep(0.01)
    found.socket.listen(64)
while not is_closed:
    try:
        connection = found.socket.accept()[0]
    except OSError:
        break
    connection.send(b"%08d" % os.getpid())
    connection.close()
while not os.path.exists(os.path.join(sys.argv[1], "drained")):
    time.sleep(0.01)
os._exit(0)
"""
    variables = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables) as process:
        assert process.stdout is not None and process.stderr is not None
        port = int(process.stdout.readline())

        def answering() -> int:
            with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
                return int(connection.recv(8))

        def is_refused() -> bool:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except ConnectionRefusedError:
                return True
            except OSError:
                pass
            return False

        seen: set[int] = set()
        wait_until(lambda: seen.add(answering()) or len(seen) == 2)
        children = psutil.Process(process.pid).children()
        first = min(seen, key=[one.pid for one in children].index)
        os.kill(first, signal.SIGKILL)
        assert b"another begins" in process.stderr.readline()
        assert {answering() for _ in range(30)} == seen - {first}
        (tmp_path / "loaded").touch()
        wait_until(lambda: answering() not in seen)
        process.terminate()
        wait_until(is_refused)
        assert process.poll() is None, "the workers are still ending"
        (tmp_path / "drained").touch()
        assert process.wait(PATIENCE_S) == 0


def test_what_is_loaded_before_forks_starts_no_threads_that_they_would_lack() -> None:
    program = "from penstock.cli.production.serve import load_before_forks\nload_before_forks()\n"
    program += "import sys, threading; print('polars' in sys.modules, threading.active_count())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "1"]


def test_a_server_starts_without_the_library_of_tables() -> None:
    program = "import sys, penstock.http.app, penstock.processes.controller; print('polars' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


REFUSED = """
import errno, os, signal, sys
from penstock.workspace import share_metrics
share_metrics(sys.argv[1])
from penstock.http.listen import bind_shared
from penstock.processes import supervisor
sockets = bind_shared("127.0.0.1", 0, 2)
for one in sockets:
    one.listen(5)
real, forks = os.fork, []
def fork():
    forks.append(1)
    if len(forks) in (3, 4):
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
    return real()
os.fork = fork
found = supervisor.supervise(sockets, sys.argv[1])
if found.socket is not None:
    os.write(1, b"%d\\n" % os.getpid())
    signal.pause()
"""


def test_a_fork_that_the_system_refuses_is_tried_again_and_ends_nobody(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", REFUSED, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            first, second = (int(process.stdout.readline()) for _ in range(2))
            os.kill(first, signal.SIGKILL)
            third = int(process.stdout.readline())
            assert is_running(second) and is_running(third)
        finally:
            process.terminate()
        told = process.stderr.read().decode()
        assert process.wait(PATIENCE_S) == 0
    assert told.count("no worker process can be begun: Resource temporarily unavailable; again in ") == 2
