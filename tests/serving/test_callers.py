"""Who may call a serve process, over HTTP and gRPC, and over TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from click.testing import CliRunner
from starlette.responses import Response
from starlette.testclient import TestClient

from patience import PATIENCE_S
from penstock.access.credentials import Authenticator
from penstock.access.scopes import Scope
from penstock.access.sessions import Sessions
from penstock.access.tokens import create_token
from penstock.access.users import add_user
from penstock.base.errors import Invalid
from penstock.base.store.database import Database
from penstock.cli.main import cli
from penstock.http.auth import Authenticate
from penstock.http.listen import Tls, check_tls
from penstock.http.pages import build_turn_away
from penstock.processes.front_options import FrontOptions
from penstock.processes.fronts import make_fronts
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.rpc.messages import message_class
from penstock.serving.predictions.stored import list_labels
from serving.certificates import Authority
from serving.models import FolderSource, deploy, request_body
from serving.rpc import address

pytestmark = pytest.mark.slow
ROUTES: list[tuple[str, str, Scope]] = [
    ("POST", "/v2/models/delay/infer", "infer"),
    ("POST", "/v2/models/delay/versions/1/infer", "infer"),
    ("POST", "/invocations", "infer"),
    ("GET", "/v2/models/delay", "infer"),
    ("GET", "/v2/models/delay/ready", "infer"),
    ("GET", "/v2/models/delay/config", "infer"),
    ("POST", "/v2/repository/index", "infer"),
    ("GET", "/nothing/here", "infer"),
    ("GET", "/v2/models/delay/stats", "metrics"),
    ("GET", "/v2/models/stats", "metrics"),
    ("GET", "/metrics", "metrics"),
    ("POST", "/v2/models/delay/feedback", "feedback"),
    ("POST", "/v2/repository/models/delay/load", "load"),
    ("POST", "/v2/repository/models/nope/unload", "load"),
]
METHODS: list[tuple[str, dict[str, Any], Scope | None]] = [
    ("ServerLive", {}, None),
    ("ServerReady", {}, None),
    ("ServerMetadata", {}, None),
    ("ModelReady", {"name": "delay"}, "infer"),
    ("ModelMetadata", {"name": "delay"}, "infer"),
    ("ModelInfer", {"model_name": "delay"}, "infer"),
    ("ModelConfig", {"name": "delay"}, "infer"),
    ("RepositoryIndex", {}, "infer"),
    ("ModelStatistics", {}, "metrics"),
    ("RepositoryModelLoad", {"model_name": "delay"}, "load"),
    ("RepositoryModelUnload", {"model_name": "nope"}, "load"),
]


def run(database: Database, source: FolderSource, options: FrontOptions) -> Iterator[ServeProcess]:
    deploy(database, "delay", 1)
    made = make_fronts(options, database)
    chosen = ServeOptions(port=0, poll_s=0.02, tls=options.tls, proxies=options.proxies)
    process = ServeProcess(database, source, made.application, chosen, companion=made.companion)
    process.start()
    yield process
    process.stop()


@pytest.fixture
def asking(database: Database, source: FolderSource) -> Iterator[ServeProcess]:
    yield from run(database, source, FrontOptions(grpc_port=0, is_asking=True))


@pytest.fixture
def tokens(database: Database) -> dict[str, str]:
    with database.write() as connection:
        add_user(connection, "ada", "admin", "correct horse battery", "test")
        made = {
            scope: create_token(connection, "ada", "test", scopes=(scope,))[1]
            for scope in ("infer", "feedback", "load", "metrics")
        }
        made["all"] = create_token(connection, "ada", "test")[1]
    return made


def test_every_route_asks_for_credentials_and_its_scope_and_probes_do_not(
    asking: ServeProcess, tokens: dict[str, str]
) -> None:
    with httpx.Client(base_url=asking.url, timeout=PATIENCE_S) as client:
        for path in ("/health", "/ping", "/version", "/v2", "/v2/health/live", "/v2/health/ready"):
            assert client.get(path).status_code == 200, path
        for method, path, scope in ROUTES:
            answer = client.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (401, "auth.required"), path
            assert answer.headers["www-authenticate"]
            for name, token in tokens.items():
                answer = client.request(method, path, headers={"authorization": f"Bearer {token}"})
                is_denied = answer.status_code == 403
                assert is_denied == (name not in {scope, "all"}), (path, name, answer.text)
        answer = client.get("/metrics", auth=("ada", "correct horse battery"))
        assert answer.status_code == 200


def sent_by(process: ServeProcess, headers: dict[str, str]) -> str | None:
    """Ask, send the label; return who the store says sent it."""
    with httpx.Client(base_url=process.url, headers=headers, timeout=PATIENCE_S) as client:
        made = client.post("/v2/models/delay/infer", json=request_body()).headers["penstock-prediction-id"]
        body = [{"prediction_id": made, "label": 1}]
        assert client.post("/v2/models/delay/feedback", json=body).json()["accepted"] == 1
    with process._database.read() as connection:
        return list_labels(connection, [made])[0].sent_by


def test_a_label_says_which_user_sent_it(asking: ServeProcess, tokens: dict[str, str]) -> None:
    assert sent_by(asking, {"authorization": f"Bearer {tokens['all']}"}) == "ada"


def test_forwarded_headers_are_believed_from_named_proxies_only(
    database: Database, source: FolderSource
) -> None:
    forwarded = {"x-forwarded-for": "10.9.8.7"}
    for proxies, sender in (
        ((), "127.0.0.1"),
        (("10.0.0.0/8",), "127.0.0.1"),
        (("127.0.0.1",), "10.9.8.7"),
        (("127.0.0.0/8",), "10.9.8.7"),
    ):
        for process in run(database, source, FrontOptions(proxies=proxies)):
            assert sent_by(process, forwarded) == sender, proxies


def call(channel: grpc.Channel, method: str, fields: dict[str, Any], token: str | None) -> grpc.StatusCode:
    request, response = message_class(f"{method}Request"), message_class(f"{method}Response")
    stub = channel.unary_unary(
        f"/inference.GRPCInferenceService/{method}", request.SerializeToString, response.FromString
    )
    metadata = [("authorization", f"Bearer {token}")] if token else []
    try:
        stub(request(**fields), metadata=metadata, timeout=PATIENCE_S)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def test_every_method_asks_for_credentials_and_its_scope(
    asking: ServeProcess, tokens: dict[str, str]
) -> None:
    with grpc.insecure_channel(address(asking)) as channel:
        for method, fields, scope in METHODS:
            expected = grpc.StatusCode.OK if scope is None else grpc.StatusCode.UNAUTHENTICATED
            assert call(channel, method, fields, None) == expected, method
            for name, token in tokens.items():
                code = call(channel, method, fields, token)
                is_denied = code == grpc.StatusCode.PERMISSION_DENIED
                assert is_denied == (scope is not None and name not in {scope, "all"}), (method, name, code)
        stream = channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            message_class("ModelInferRequest").SerializeToString,
            message_class("ModelStreamInferResponse").FromString,
        )
        [told] = stream(iter([message_class("ModelInferRequest")(model_name="delay")]))
        assert "asks who you are" in told.error_message


def test_more_requests_than_the_rate_of_a_token_are_refused_over_both_protocols(
    database: Database, source: FolderSource, tokens: dict[str, str]
) -> None:
    options = FrontOptions(grpc_port=0, is_asking=True, rate_per_s=0.001)
    for process in run(database, source, options):
        with httpx.Client(base_url=process.url, timeout=PATIENCE_S) as client:
            told = []
            for name in ("infer", "infer", "all"):
                headers = {"authorization": f"Bearer {tokens[name]}"}
                told.append(client.post("/v2/models/delay/infer", json=request_body(), headers=headers))
        assert [one.status_code for one in told] == [200, 429, 200]
        assert told[1].json()["code"] == "serving.rate_exceeded"
        assert int(told[1].headers["retry-after"]) > 1
        with grpc.insecure_channel(address(process)) as channel:
            for name, code in (
                ("all", "RESOURCE_EXHAUSTED"),
                ("metrics", "OK"),
                ("metrics", "RESOURCE_EXHAUSTED"),
            ):
                assert call(channel, "ModelStatistics", {}, tokens[name]).name == code


def test_a_narrowed_token_opens_no_tracking_server(database: Database, tokens: dict[str, str]) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await Response("let in")(scope, receive, send)

    guarded = Authenticate(answer, Authenticator(database), Sessions(database), build_turn_away("tests"))
    client = TestClient(guarded)
    for name, token in tokens.items():
        told = client.get("/api/penstock/v1/endpoints", headers={"authorization": f"Bearer {token}"})
        assert told.status_code == (200 if name == "all" else 403), told.text


def test_a_foreign_name_or_page_is_refused_and_forwarded_headers_are_not_believed(
    database: Database, source: FolderSource
) -> None:
    for process in run(database, source, FrontOptions(allowed_hosts=("models.example",))):
        body = request_body()
        for headers, status in (
            ({"host": "evil.example"}, 403),
            ({"host": "models.example"}, 200),
            ({"origin": "http://evil.example"}, 403),
            ({"x-forwarded-for": "10.9.8.7", "x-forwarded-host": "evil.example"}, 200),
        ):
            answer = httpx.post(f"{process.url}/v2/models/delay/infer", json=body, headers=headers)
            assert answer.status_code == status, headers


def test_both_servers_speak_tls_and_ask_for_a_clients_certificate(
    database: Database, source: FolderSource, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    chain, key = authority.sign("server")
    mine, my_key = authority.sign("client")
    tls = Tls(cert=str(chain), key=str(key), client_ca=str(authority.path))
    check_tls(tls)
    with pytest.raises(Invalid, match="TLS"):
        check_tls(Tls(cert=str(chain), key=str(my_key)))
    for process in run(database, source, FrontOptions(grpc_port=0, tls=tls)):
        assert process.url.startswith("https://")
        context = ssl.create_default_context(cafile=str(authority.path))
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{process.url}/health", verify=context)
        context.load_cert_chain(mine, my_key)
        assert httpx.get(f"{process.url}/health", verify=context).status_code == 200
        root = authority.path.read_bytes()
        with grpc.secure_channel(address(process), grpc.ssl_channel_credentials(root)) as channel:
            assert call(channel, "ServerLive", {}, None) == grpc.StatusCode.UNAVAILABLE
        credentials = grpc.ssl_channel_credentials(root, my_key.read_bytes(), mine.read_bytes())
        with grpc.secure_channel(address(process), credentials) as channel:
            assert call(channel, "ServerLive", {}, None) == grpc.StatusCode.OK


def test_a_public_address_without_credentials_is_refused_before_anything_starts(tmp_path: Path) -> None:
    for arguments, sentence in (
        (["serve", "--host", "0.0.0.0"], "ask for credentials with --auth, or say --insecure"),
        (["serve", "--tls-cert", __file__], "TLS needs both"),
        (["serve", "--tls-cert", __file__, "--tls-key", __file__], "TLS cannot be spoken"),
        (["serve", "--rate", "5"], "say --auth too"),
        (["serve", "--host", "0.0.0.0", "--auth"], "is not inside a penstock"),
    ):
        done = CliRunner().invoke(cli, ["-C", str(tmp_path), *arguments])
        assert done.exit_code != 0
        assert sentence in done.output + str(done.exception), (arguments, done.output)
