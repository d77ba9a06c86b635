"""What is answered directly is answered as the application does, in order, and counted; everything else is left to it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import sharing
from patience import PATIENCE_S
from penstock.access.admission import Admission
from penstock.access.rates import Rates
from penstock.access.tokens import create_token
from penstock.access.users import add_user
from penstock.base.store.database import connect, metadata
from penstock.http.inference.app import build_inference_app
from penstock.http.inference.protocol import InferProtocol
from penstock.http.protocol import HEAD_BYTES
from penstock.http.resting import Patience
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.serving.engine.options import EndpointLimits, EngineOptions
from serving.engine.staging import Stage
from serving.fixtures import train
from serving.models import FolderSource, deploy, files_of, request_body
from stories.live import wait_until

BY_APPLICATION = {"content-encoding": "identity"}
"""A header that changes nothing, and is the application's to read."""
SAID = {"penstock-prediction-id", "penstock-revision", "penstock-model-version", "penstock-route"}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    folder = tmp_path_factory.mktemp("direct")
    database = connect(f"sqlite:///{folder}/penstock.db")
    metadata.create_all(database.engine)
    made: Path = sharing.made("serving-models", train)
    source = FolderSource(*(files_of(made, number, seed=number) for number in (1, 2)))
    deploy(database, "delay", 1)
    options = ServeOptions(port=0, engine=EngineOptions(inline_s=PATIENCE_S))  # cheap on any machine
    process = ServeProcess(database, source, build_inference_app, options)
    process.start()
    yield process
    process.stop()
    database.close()


@pytest.fixture
def client(process: ServeProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=process.url, timeout=PATIENCE_S) as asking:
        yield asking


def direct_count(process: ServeProcess) -> int:
    """Return how many requests were answered directly on the connections that are open."""
    return sum(one.answered_count for one in list(process._server.server_state.connections))  # type: ignore[union-attr]


def bodies() -> dict[str, bytes]:
    plain = request_body()
    first = plain["inputs"][0]
    told: dict[str, Any] = {
        "a plain request": plain,
        "an id": {**plain, "id": "mine"},
        "a time to wait": {**plain, "parameters": {"timeout": 10**7}},
        "one output": {**plain, "outputs": [{"name": "probability"}]},
        "binary outputs": {**plain, "parameters": {"binary_data_output": True}},
        "classes": {
            **plain,
            "outputs": [{"name": "probability", "parameters": {"classification": 1}}],
        },
        "an output that there is not": {**plain, "outputs": [{"name": "nothing"}]},
        "a shape that does not fit": {**plain, "inputs": [{**first, "shape": [7]}]},
        "an input that there is not": {**plain, "inputs": [{**first, "name": "nothing"}]},
        "no inputs": {**plain, "inputs": []},
        "a time beyond all fractions": {**plain, "parameters": {"timeout": 10**400}},
        "a time that is none": {**plain, "parameters": {"timeout": -1}},
        "a time that has passed": {**plain, "parameters": {"timeout": 1}},
    }
    return {name: json.dumps(body).encode() for name, body in told.items()} | {
        "no JSON": b'{"inputs": [',
        "nothing": b"",
    }


def test_every_request_is_answered_as_the_application_does(
    process: ServeProcess, client: httpx.Client
) -> None:
    for name, body in bodies().items():
        answers = [
            client.post("/v2/models/delay/infer", content=body, headers=headers)
            for headers in ({}, BY_APPLICATION)
        ]
        direct, other = answers
        assert direct.status_code == other.status_code, name
        assert list(direct.headers) == list(other.headers), name
        varying = SAID if direct.is_success else set()
        same = [name for name in direct.headers if name not in {*varying, "content-length"}]
        assert [direct.headers[one] for one in same] == [other.headers[one] for one in same], name
        if "inference-header-content-length" in direct.headers:
            size = int(direct.headers["inference-header-content-length"])
            assert direct.content[size:] == other.content[size:], name
            continue
        found, wanted = direct.json(), other.json()
        if direct.is_success:
            assert found["parameters"].pop("penstock-prediction-id") in direct.text
            wanted["parameters"].pop("penstock-prediction-id")
            assert (found.pop("id") == "mine") == (name == "an id")
            wanted.pop("id")
        assert found == wanted, name


def test_only_what_is_plain_is_answered_directly_and_all_is_counted(
    process: ServeProcess, client: httpx.Client
) -> None:
    def counted() -> float:
        line = next(
            one
            for one in client.get("/metrics").text.splitlines()
            if one.startswith("penstock_requests_total") and 'outcome="ok"' in one and '"delay"' in one
        )
        return float(line.rpartition(" ")[2])

    body = json.dumps(request_body()).encode()
    before, seen = counted(), direct_count(process)
    cases: list[tuple[str, dict[str, str], int]] = [
        ("/v2/models/delay/infer", {}, 1),
        ("/v2/models/delay/infer?a=1", {}, 0),
        ("/v2/models/%64elay/infer", {}, 0),
        ("/v2/models/delay/versions/1/infer", {}, 0),
        ("/v2/models/delay/infer", {"origin": process.url}, 0),
        ("/v2/models/delay/infer", {"inference-header-content-length": str(len(body))}, 0),
    ]
    for number, (path, headers, more) in enumerate(cases, 1):
        response = client.post(path, content=body, headers=headers)
        assert response.status_code == 200, (path, headers, response.text)
        seen += more
        assert direct_count(process) == seen, (path, headers)
        assert counted() == before + number
    foreign = client.post("/v2/models/delay/infer", content=body, headers={"host": "elsewhere.example"})
    assert (foreign.status_code, foreign.json()["code"]) == (403, "http.foreign_host")
    assert client.post("/v2/models/nowhere/infer", content=body).status_code == 404
    assert direct_count(process) == seen
    assert "penstock_requests_in_flight 0.0" in client.get("/metrics").text


def is_ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def raw(path: str, body: bytes, *lines: str, method: str = "POST") -> bytes:
    head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


def read_answers(connection: socket.socket, count: int) -> list[tuple[bytes, dict[str, Any]]]:
    """Return the head and the JSON of so many answers."""
    found: list[tuple[bytes, dict[str, Any]]] = []
    with connection.makefile("rb") as lines:
        while len(found) < count:
            head = lines.readline()
            assert head, f"the connection ended after {len(found)} of {count} answers"
            size = 0
            while (line := lines.readline()) != b"\r\n":
                head += line
                if line.lower().startswith(b"content-length:"):
                    size = int(line.partition(b":")[2])
            found.append((head, json.loads(lines.read(size))))
    return found


def test_requests_on_one_connection_are_answered_in_order_however_they_are_cut(
    process: ServeProcess,
) -> None:
    def infer(name: str, *lines: str) -> bytes:
        return raw("/v2/models/delay/infer", json.dumps({**request_body(), "id": name}).encode(), *lines)

    whole = (
        infer("a")
        + infer("b", "Content-Encoding: identity")
        + raw("/v2/health/live", b"", method="GET")
        + infer("c")
        + infer("d")
    )
    port = int(process.url.rpartition(":")[2])
    places = [0, 1, 20, len(infer("a")) - 1, len(infer("a")), len(infer("a")) + 60, len(whole) - 5]
    for place in places:
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(whole[:place])
            connection.sendall(whole[place:])
            answers = [answer for _, answer in read_answers(connection, 5)]
        assert [one.get("id") for one in answers] == ["a", "b", None, "c", "d"], place
        assert answers[2] == {"live": True}


def test_a_request_that_does_not_arrive_is_not_waited_for_and_a_late_one_is_answered(
    process: ServeProcess,
) -> None:
    port = int(process.url.rpartition(":")[2])
    request = raw("/v2/models/delay/infer", json.dumps(request_body()).encode())
    before = process._server.resting.patience
    process._server.resting.patience = Patience(rest_s=PATIENCE_S, arrival_s=0.3)
    try:
        for cut in (len(request) - 150, len(request) - 20):
            with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
                connection.sendall(request[:cut])
                assert is_ended(connection)
        process._server.resting.patience = Patience(rest_s=0.3, arrival_s=PATIENCE_S)
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
            connection.sendall(request[:-20])
            begun_s = time.monotonic()
            wait_until(lambda: time.monotonic() > begun_s + 2)
            connection.sendall(request[-20:])
            assert read_answers(connection, 1)[0][1]["model_name"] == "delay"
            assert connection.recv(1) == b"", "it rested"
    finally:
        process._server.resting.patience = before


def test_many_requests_on_one_connection_are_no_head_that_never_ends(process: ServeProcess) -> None:
    port = int(process.url.rpartition(":")[2])
    body = json.dumps(request_body()).encode()
    request = raw("/v2/models/delay/infer", body, f"X-Padding: {'a' * 30_000}")
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        for _ in range(HEAD_BYTES // len(request) + 2):
            connection.sendall(request)
            assert read_answers(connection, 1)[0][0].startswith(b"HTTP/1.1 200")


def test_a_connection_that_is_to_end_ends_after_its_answer(process: ServeProcess) -> None:
    port = int(process.url.rpartition(":")[2])
    body = json.dumps(request_body()).encode()
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        connection.sendall(raw("/v2/models/delay/infer", body, "Connection: close"))
        ((head, _),) = read_answers(connection, 1)
        assert b"connection: close" in head
        assert connection.recv(1) == b""


def test_what_is_wrong_within_a_connection_ends_it(process: ServeProcess) -> None:
    port = int(process.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        connection.sendall(
            b"POST /v2/models/delay/infer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: x\r\n\r\n"
        )
        assert connection.recv(12) == b"HTTP/1.1 400"


def test_a_full_queue_and_a_deadline_that_has_passed_are_told_as_ever() -> None:
    limits = {"full": EndpointLimits(backlog=0), "late": EndpointLimits(timeout_s=0.0)}
    stage = Stage(EngineOptions(inline_s=PATIENCE_S), **limits)
    try:
        with httpx.Client(base_url=stage.url, timeout=PATIENCE_S) as client:
            for endpoint, status, code in (
                ("full", 429, "serving.overloaded"),
                ("late", 504, "serving.deadline"),
            ):
                stage.serve(endpoint, lambda x: 2 * x, is_bounded=True)
                tensor = {"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}
                answer = client.post(f"/v2/models/{endpoint}/infer", json={"inputs": [tensor]})
                assert (answer.status_code, answer.json()["code"]) == (status, code)
                assert ("retry-after" in answer.headers) == (status == 429)
                assert stage.errors(endpoint) == [("stable", code.rpartition(".")[2])]
    finally:
        stage.close()


def test_a_request_counts_once_against_a_rate_whoever_answers_it(tmp_path: Path) -> None:
    def double(x: Any) -> Any:
        return 2 * x

    database = connect(f"sqlite:///{tmp_path}/penstock.db")
    metadata.create_all(database.engine)
    with database.write() as connection:
        add_user(connection, "ada", "admin", None, "test")
        tokens = [create_token(connection, "ada", name)[1] for name in ("one", "many", "wrong")]
    rates = Rates(10, None, lambda: 1000.0)  # ten, and no more while its clock stands
    stage = Stage(EngineOptions(inline_s=PATIENCE_S), Admission(database, {"e": "e"}.get, lambda: 0.0, rates))
    try:
        stage.serve("e", double, is_bounded=True)
        with httpx.Client(base_url=stage.url, timeout=PATIENCE_S) as client:
            for token, name, count, status in zip(tokens, "xxz", (1, 300, 1), (200, 200, 400), strict=True):
                tensor = {"name": name, "shape": [count], "datatype": "FP64", "data": [1.0] * count}
                headers = {"authorization": f"Bearer {token}"}
                told = [
                    client.post("/v2/models/e/infer", json={"inputs": [tensor]}, headers=headers).status_code
                    for _ in range(11)
                ]
                assert told == [*[status] * 10, 429], (name, count)
    finally:
        stage.close()
        database.close()


def test_a_model_that_raises_answers_each_caller_with_its_own_error_and_is_told() -> None:
    def double(x: Any) -> Any:
        if (x < 0).any():
            raise ValueError("negative")
        return 2 * x

    stage = Stage(EngineOptions(inline_s=PATIENCE_S))
    try:
        stage.serve("e", double, is_bounded=True)
        with httpx.Client(base_url=stage.url, timeout=PATIENCE_S) as client:

            def ask(value: float) -> httpx.Response:
                tensor = {"name": "x", "shape": [1], "datatype": "FP64", "data": [value]}
                return client.post("/v2/models/e/infer", json={"inputs": [tensor]})

            assert [ask(float(value)).json()["outputs"][0]["data"] for value in range(3)] == [[0], [2], [4]]
            failed = ask(-1.0)
            assert (failed.status_code, failed.json()["code"]) == (500, "serving.model_failed")
            assert ask(5.0).json()["outputs"][0]["data"] == [10]
            assert stage.errors("e") == [("stable", "model_failed")]
            counts = client.get("/metrics").text
            assert 'penstock_prediction_errors_total{endpoint="e",kind="model_failed"' in counts
            assert "penstock_requests_in_flight 0.0" in counts
        connections = list(stage._server.server_state.connections)
        assert all(isinstance(one, InferProtocol) for one in connections)
        assert len(stage.seen) == 5
        wait_until(lambda: not stage._server.server_state.tasks)
    finally:
        stage.close()
