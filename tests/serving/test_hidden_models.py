"""What a serve process tells of all endpoints leaves out those of models that are hidden from who asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import msgspec
import pytest

from patience import PATIENCE_S
from penstock.access.grants import Grant, set_grant
from penstock.access.tokens import create_token
from penstock.access.users import add_user
from penstock.base.store.database import Database
from penstock.processes.front_options import FrontOptions
from penstock.processes.fronts import make_fronts
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.rpc.messages import message_class
from serving.models import FolderSource, deploy, request_body
from serving.rpc import address

pytestmark = pytest.mark.slow
WHOLE = [
    ("GET", "/openapi.json"),
    ("POST", "/v2/repository/index"),
    ("GET", "/v2/models/stats"),
    ("GET", "/metrics"),
]


@pytest.fixture
def asking(database: Database, source: FolderSource) -> Iterator[ServeProcess]:
    deploy(database, "delay", 1)
    source.add(msgspec.structs.replace(source.files["flight-delay", 1], name="odd"))
    deploy(database, "hush", 1, model="odd")
    made = make_fronts(FrontOptions(grpc_port=0, is_asking=True), database)
    options = ServeOptions(port=0, poll_s=0.02)
    process = ServeProcess(database, source, made.application, options, companion=made.companion)
    process.start()
    yield process
    process.stop()


@pytest.fixture
def tokens(database: Database) -> dict[str, str]:
    made = {}
    with database.write() as connection:
        for name in ("rita", "bob"):
            add_user(connection, name, "reader", None, "test")
            made[name] = create_token(connection, name, "test")[1]
        set_grant(connection, Grant(user="bob", kind="model", resource="odd", role="none"), "test")
    return made


def test_what_http_tells_of_all_endpoints_leaves_hidden_models_out(
    asking: ServeProcess, tokens: dict[str, str]
) -> None:
    asking.dataplane.unknown = {"hush": "the store is empty"}
    told = {}
    with httpx.Client(base_url=asking.url, timeout=PATIENCE_S) as client:
        assert "hush" not in client.get("/v2/health/ready").text
        for name, token in tokens.items():
            headers = {"authorization": f"Bearer {token}"}
            client.post("/v2/models/hush/infer", json=request_body(), headers=headers)
            assert client.get("/v2/models/hush", headers=headers).is_success == (name == "rita")
            for method, path in WHOLE:
                answer = client.request(method, path, headers=headers)
                assert answer.status_code == 200, answer.text
                assert "delay" in answer.text
                told[name, path] = "hush" in answer.text
    assert told == {(name, path): name == "rita" for name in tokens for _, path in WHOLE}


def test_what_grpc_tells_of_all_endpoints_leaves_hidden_models_out(
    asking: ServeProcess, tokens: dict[str, str]
) -> None:
    def ask(channel: grpc.Channel, method: str, token: str) -> Any:
        request, response = message_class(f"{method}Request"), message_class(f"{method}Response")
        stub = channel.unary_unary(
            f"/inference.GRPCInferenceService/{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return stub(request(), metadata=[("authorization", f"Bearer {token}")], timeout=PATIENCE_S)

    with grpc.insecure_channel(address(asking)) as channel:
        for name, expected in {"rita": {"delay", "hush"}, "bob": {"delay"}}.items():
            index = ask(channel, "RepositoryIndex", tokens[name])
            assert {one.name for one in index.models} == expected
            statistics = ask(channel, "ModelStatistics", tokens[name])
            assert {one.name for one in statistics.model_stats} == expected
