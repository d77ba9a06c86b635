"""The API: its OpenAPI document is the truth, and every route answers what it promises."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.http.api import api_routes
from penstock.http.app import build_server_app
from penstock.http.operations import PREFIX
from penstock.monitoring.latency import LatencyHistogram
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials
from penstock.processes.controller import ControllerLoop
from projects import Sample

HERE = f"{PREFIX}/openapi.json"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """A project with one model version that is served, and one window of traffic."""
    sample = Sample.make(tmp_path_factory.mktemp("api") / "project", "released")
    apply_deployment(sample.project, plan_deployment(sample.project, "delay", "late@champion"))
    latency = LatencyHistogram()
    latency.update([0.01])
    key = WindowKey("delay", int(time.time()), 1, 1, "stable")
    window = Window(key=key, window_s=1, request_count=1, row_count=1, latency=latency)
    with sample.project.database.write() as connection:
        add_partials(connection, [Partial(window=window, worker=1, sequence=1)])
    yield sample
    sample.project.close()


@pytest.fixture(scope="module")
def client(released: Sample) -> TestClient:
    return TestClient(build_server_app(released.project, ControllerLoop(released.project)))


def get(client: TestClient, path: str, **query: Any) -> Any:
    answer = client.get(f"{PREFIX}{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_every_route_is_described_and_only_those(released: Sample, client: TestClient) -> None:
    routes = {
        re.sub(r":\w+}", "}", route.path)
        for route in api_routes(released.project)
        if isinstance(route, Route)
    }
    document = client.get(HERE).json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == routes - {HERE}
    operations = [one for item in document["paths"].values() for one in item.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    for path, item in document["paths"].items():
        (operation,) = item.values()
        described = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
        assert described == set(re.findall(r"{(\w+)}", path))
        assert operation["summary"].endswith(".")


def test_every_reference_of_the_document_is_defined(client: TestClient) -> None:
    answer = client.get(HERE)
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', answer.text))
    assert named <= set(answer.json()["components"]["schemas"])


def test_every_described_route_answers_as_described(client: TestClient) -> None:
    document = client.get(HERE).json()
    values = {
        "name": lambda path: "delay" if "/endpoints/" in path else "late",
        "subject": lambda _path: "late/1",
        "number": lambda _path: "1",
        "reference": lambda _path: "late@champion",
        "id": lambda path: get(client, "/runs")[0]["id"] if "/runs/" in path else _verdict(client)["id"],
    }
    told = {
        "observations": {"batch": "described", "endpoint": "delay"},
        "feedback": [],
        "approve": {"comment": "described"},
    }
    for path, item in document["paths"].items():
        if "post" in item:
            operation = item["post"]
            answer = client.post(path.replace("{name}", "delay"), json=told[operation["operationId"]])
            if (
                operation["operationId"] == "approve"
            ):  # nobody is signed in: see tests/flows/models/test_approving.py
                assert answer.status_code in {403, 404}, answer.text
                continue
            assert answer.status_code == 200, (path, answer.text)
            body = operation["requestBody"]["content"]["application/json"]["schema"]
            jsonschema.validate(
                told[operation["operationId"]], {**body, "components": document["components"]}
            )
            schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
            jsonschema.validate(answer.json(), {**schema, "components": document["components"]})
            continue
        address = re.sub(r"{(\w+)}", lambda match, path=path: values[match[1]](path), path)
        answer = client.get(address)
        assert answer.status_code == 200, (address, answer.text)
        schema = item["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json(), {**schema, "components": document["components"]})
        for parameter in item["get"]["parameters"]:
            if parameter["in"] == "query":
                wrong = client.get(address, params={parameter["name"]: "-x"})
                assert wrong.status_code == (200 if parameter["schema"]["type"] == "string" else 400)


def _verdict(client: TestClient) -> Any:
    return get(client, "/models/late/versions/1")["verdict"]


def test_errors_have_the_shape_that_is_described(client: TestClient) -> None:
    document = client.get(HERE).json()
    schema = {"$ref": "#/components/schemas/ErrorView", "components": document["components"]}
    for path in (
        "/endpoints/none/revisions",
        "/endpoints/none/windows",
        "/lineage/nonsense",
        "/models/none/versions",
        "/models/late/versions/x",
        "/models/late/versions/²",
        "/models/late/versions/99999999999999999999",
        "/verdicts/none",
        "/runs/none",
        "/nothing",
    ):
        answer = client.get(f"{PREFIX}{path}")
        assert answer.status_code == 404, (path, answer.text)
        jsonschema.validate(answer.json(), schema)
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_windows_tell_traffic_by_revision(client: TestClient) -> None:
    (window,) = get(client, "/endpoints/delay/windows", revision=1)
    assert (window["request_count"], window["route"], window["quality"]) == (1, "stable", {})
    assert window["p99_ms"] == pytest.approx(10, rel=0.1)
    assert get(client, "/endpoints/delay/windows", revision=7) == []
    assert get(client, "/endpoints/delay/windows", limit=0) == []
    start_s = window["start_s"]
    assert get(client, "/endpoints/delay/windows", since_s=start_s, before_s=start_s + 1) == [window]
    assert get(client, "/endpoints/delay/windows", since_s=start_s + 1) == []
    assert get(client, "/endpoints/delay/windows", before_s=start_s) == []


def test_models_versions_and_verdicts_agree(client: TestClient, released: Sample) -> None:
    assert get(client, "/models") == [
        {"name": "late", "newest_version": 1, "version_count": 1, "aliases": {"champion": 1}}
    ]
    view = get(client, "/models/late/versions/1")
    assert view["aliases"] == ["champion"]
    assert view["verdict"]["passed"] is True
    assert get(client, f"/verdicts/{view['verdict']['id']}") == view["verdict"]
    run = get(client, f"/runs/{view['version']['provenance']['run_id'][:8]}")
    assert run["commit"] == released.git.resolve("HEAD~1")
    assert get(client, "/runs", experiment="none") == []


def test_events_are_read_behind_an_id(client: TestClient) -> None:
    events = get(client, "/events")
    assert [one["id"] for one in get(client, "/events", after=events[1]["id"])] == [
        one["id"] for one in events[2:]
    ]
    assert len(get(client, "/events", limit=1)) == 1
