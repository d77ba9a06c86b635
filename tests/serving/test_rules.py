"""Which version answers is decided by what a request says, where somebody wrote so."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from patience import PATIENCE_S
from penstock.monitoring.settings import RuleSettings, TrafficSettings
from penstock.processes.traffic import rules_of
from penstock.serving.loaders.model import Array
from penstock.serving.traffic import ROUTE_KEY
from serving.engine.staging import Stage, answers, body
from stories.live import wait_until


def times(factor: float) -> object:
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
    stage.serve("a", times(1), times(2), times(3), canary=50.0, rules=rules_of(TrafficSettings(rules=rules)))
    model = f"{stage.url}/v2/models/a"
    assert httpx.get(model, timeout=PATIENCE_S).json()["versions"] == ["1", "2", "3"]
    index = httpx.post(f"{stage.url}/v2/repository/index", json={}, timeout=PATIENCE_S).json()
    assert [one["version"] for one in index] == ["1", "2", "3"]
    counted = httpx.get(f"{model}/stats", timeout=PATIENCE_S).json()["model_stats"]
    assert [one["version"] for one in counted] == ["1", "2", "3"]
    unknown = httpx.post(f"{model}/versions/9/infer", json=body(1.0), timeout=PATIENCE_S).json()
    assert unknown["code"] == "serving.version_unknown"
    assert unknown["hint"].startswith("it serves 1, 2, 3;")


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
