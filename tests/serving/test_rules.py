"""Which version answers is decided by what a request says, where somebody wrote so."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest

from patience import PATIENCE_S
from penstock.monitoring.settings import RuleSettings, TrafficSettings
from penstock.processes.traffic import rules_of
from penstock.rpc import service
from penstock.serving.loaders.model import Array
from penstock.serving.traffic import ROUTE_KEY
from serving.engine.staging import Stage, answers, body
from stories.live import wait_until


def times(factor: float) -> Any:
    return lambda x: factor * x


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.close()


def ask(stage: Stage, headers: dict[str, str] | None = None, **parameters: object) -> httpx.Response:
    url = f"{stage.url}/v2/models/a/infer"
    return httpx.post(url, json=body(1.0, **parameters), headers=headers, timeout=PATIENCE_S)


def test_rules_on_a_parameter_or_a_header_choose_the_version_and_its_route(stage: Stage) -> None:
    rules = (
        RuleSettings(parameter="country", equals="DE", version=3),
        RuleSettings(header="X-Tenant", equals=("acme", "globex"), version=2),
        RuleSettings(parameter="beta", equals=True, version=2),
        RuleSettings(parameter="old", equals=1, version=1),
    )
    stage.serve("a", times(1), times(2), times(3), canary=0.001, rules=rules_of(TrafficSettings(rules=rules)))
    cases = [
        (ask(stage), 1.0, "stable"),
        (ask(stage, country="DE"), 3.0, "direct"),
        (ask(stage, country="FR"), 1.0, "stable"),
        (ask(stage, {"x-tenant": "globex"}), 2.0, "canary"),
        (ask(stage, {"x-tenant": "other"}), 1.0, "stable"),
        (ask(stage, beta=True), 2.0, "canary"),
        (ask(stage, beta=False), 1.0, "stable"),
        (ask(stage, old=1), 1.0, "stable"),
        (ask(stage, {"x-tenant": "acme"}, country="DE"), 3.0, "direct"),
    ]
    for reply, value, route in cases:
        assert (answers(reply), reply.headers["penstock-route"]) == ([value], route)


def test_a_version_that_is_asked_for_by_number_is_judged_on_the_route_it_has(stage: Stage) -> None:
    rules = (RuleSettings(parameter="country", equals="DE", version=3),)
    stage.serve("a", times(1), times(2), times(3), canary=50.0, rules=rules_of(TrafficSettings(rules=rules)))
    routes = {
        version: httpx.post(
            f"{stage.url}/v2/models/a/versions/{version}/infer", json=body(1.0), timeout=PATIENCE_S
        ).headers["penstock-route"]
        for version in (1, 2, 3)
    }
    assert routes == {1: "stable", 2: "canary", 3: "direct"}


def test_a_version_that_rules_alone_serve_is_listed_with_the_others(stage: Stage) -> None:
    rules = (RuleSettings(parameter="country", equals="DE", version=3),)
    functions = [times(number) for number in range(1, 5)]
    stage.serve("a", *functions, canary=50.0, shadows=(4,), rules=rules_of(TrafficSettings(rules=rules)))
    model = f"{stage.url}/v2/models/a"
    assert httpx.get(model, timeout=PATIENCE_S).json()["versions"] == ["1", "2", "3", "4"]
    index = httpx.post(f"{stage.url}/v2/repository/index", json={}, timeout=PATIENCE_S).json()
    assert [one["version"] for one in index] == ["1", "2", "3", "4"]
    counted = httpx.get(f"{model}/stats", timeout=PATIENCE_S).json()["model_stats"]
    assert [one["version"] for one in counted] == ["1", "2", "3", "4"]
    unknown = httpx.post(f"{model}/versions/9/infer", json=body(1.0), timeout=PATIENCE_S).json()
    assert unknown["code"] == "serving.version_unknown"
    assert unknown["hint"].startswith("it serves 1, 2, 3, 4;")


def test_a_route_key_in_a_header_keeps_a_caller_where_the_parameter_would(stage: Stage) -> None:
    stage.serve("a", times(1), times(2), canary=50.0)
    routes = set()
    for key in map(str, range(12)):
        by_header = {ask(stage, {ROUTE_KEY: key}).headers["penstock-route"] for _ in range(3)}
        by_parameter = ask(stage, {ROUTE_KEY: "another"}, **{ROUTE_KEY: key}).headers["penstock-route"]
        assert by_header == {by_parameter}
        routes |= by_header
    assert routes == {"stable", "canary"}


def test_a_shadows_distance_from_what_the_client_got_is_told(stage: Stage) -> None:
    def negative(x: Array) -> Array:
        return -x

    stage.serve("a", times(1), times(3), negative, shadows=(2, 3))
    assert answers(ask(stage)) == [1.0]
    wait_until(lambda: len(stage.seen) == 3)
    told = {one.version: {name: values.tolist() for name, values in one.differences.items()} for one in stage.seen}  # fmt: skip
    assert told == {1: {}, 2: {"y differs by": [2.0]}, 3: {"y differs by": [2.0]}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 1, "equals": "x"},
        {"version": 1, "equals": "x", "parameter": "a", "header": "b"},
        {"version": 0, "equals": "x", "parameter": "a"},
        {"version": 1, "equals": (), "parameter": "a"},
    ],
)
def test_a_rule_that_says_too_little_or_too_much_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"rule|version|equals"):
        RuleSettings(**wrong)  # type: ignore[arg-type]


def test_a_shadow_sees_what_the_stable_version_or_the_canary_answers_however_it_was_asked_for(
    stage: Stage,
) -> None:
    rules = (
        RuleSettings(parameter="country", equals="DE", version=3),
        RuleSettings(parameter="country", equals="FR", version=2),
    )
    stage.serve(
        "a",
        *(times(1), times(2), times(3), times(4)),
        canary=0.001,
        shadows=(4,),
        rules=rules_of(TrafficSettings(rules=rules)),
    )
    at_number = f"{stage.url}/v2/models/a/versions/{{}}/infer"
    for reply in (
        ask(stage, country="DE"),
        httpx.post(at_number.format(3), json=body(1.0), timeout=PATIENCE_S),
        ask(stage, country="FR"),
        httpx.post(at_number.format(1), json=body(1.0), timeout=PATIENCE_S),
        ask(stage),
    ):
        assert reply.status_code == 200, reply.text
    wait_until(lambda: sum(one.route == "shadow" for one in stage.seen) == 3)
    told = [one.route for one in stage.seen if one.route != "shadow"]
    assert sorted(told) == ["canary", "direct", "direct", "stable", "stable"]
    shown = {one.id for one in stage.seen if one.route == "shadow"}
    assert shown == {one.id for one in stage.seen if one.route in {"stable", "canary"}}


@pytest.mark.parametrize("value", ["acme ", "\tacme\t", " \t acme"])
def test_blanks_around_a_headers_value_are_no_part_of_it(stage: Stage, value: str) -> None:
    rules = (RuleSettings(header="x-tenant", equals="acme", version=2),)
    stage.serve("a", times(1), times(2), rules=rules_of(TrafficSettings(rules=rules)), canary=0.001)
    content = json.dumps(body(1.0)).encode()
    sizes = f"Content-Length: {len(content)} \r\nInference-Header-Content-Length: {len(content)} \r\n"
    head = f"POST /v2/models/a/infer HTTP/1.1\r\nHost: 127.0.0.1\r\nx-tenant:{value}\r\n{sizes}\r\n"
    with socket.create_connection(("127.0.0.1", int(stage.url.rpartition(":")[2])), PATIENCE_S) as connection:
        connection.sendall(head.encode() + content)
        answer = connection.recv(4096).decode("latin-1").lower()
    assert answer.startswith("http/1.1 200"), answer
    assert "penstock-model-version: 2" in answer


def test_blanks_around_a_value_of_grpc_metadata_are_no_part_of_it() -> None:
    class Context:
        def invocation_metadata(self) -> list[tuple[str, str | bytes]]:
            return [("x-tenant", "\tacme "), ("data-bin", b" a ")]

    context = cast("service.Context", Context())
    assert service._header(context, "x-tenant") == "acme"
    assert service._header(context, "data-bin") is None
