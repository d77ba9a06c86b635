"""`/metrics` of a service: its own metrics and those of its watched functions in one scrape."""

from __future__ import annotations

import subprocess
import threading
import urllib.request
from typing import Any

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

import penstock
from flows.production.endpoints import World
from patience import PATIENCE_S
from penstock.base.errors import Conflict
from penstock.http.prometheus.traffic import DURATION_BUCKETS_S as OF_SERVE
from penstock.watching.counting import DURATION_BUCKETS_S
from penstock.watching.engine import Engine
from watching.seen import wait_until


def values(text: str) -> dict[str, float]:
    """Return samples by name and labels."""
    return {
        f"{one.name}{dict(sorted(one.labels.items()))}": one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
        return str(answer.read().decode())


@pytest.fixture
def called(world: World, engine: Engine) -> Engine:
    """A service that was called: three times well, once wrongly, once it failed."""

    @penstock.watch(endpoint="delay", model="m/1", invalid=KeyError)
    def infer(hour: int) -> int:
        if hour > 5:
            raise ValueError if hour > 6 else KeyError
        return hour

    wait_until(lambda: all(one.standing.endpoint_id for one in engine.watched.values()))
    for hour in (1, 2, 3, 6, 7):
        try:
            infer(hour)
        except (ValueError, KeyError):
            continue
    assert engine.drain(PATIENCE_S)
    return engine


def test_calls_before_the_store_was_reached_are_counted_for_the_route_that_they_are_of(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_flushing", threading.Lock())
    with engine._flushing:  # it is counted when it is written
        infer = penstock.watch(endpoint="delay", model="m/1")(lambda _features: 0.5)
        infer({"hour": 1.0})
        assert engine.watched["delay", "m/1"].calls._buffer.calls[0].mark.standing.route == "direct"
        wait_until(lambda: all(one.standing.endpoint_id for one in engine.watched.values()))
    assert engine.drain(PATIENCE_S)
    assert list(engine.counts.durations) == [("delay", "1", "stable")]


def test_a_services_own_metrics_and_ours_are_one_scrape(called: Engine) -> None:
    registry = prometheus_client.CollectorRegistry()
    own = prometheus_client.Summary("infer_seconds", "Its own.", registry=registry)
    own.observe(0.5)
    server = penstock.start_metrics_server(0, "127.0.0.1", registry)
    text = scrape(server.port)
    with pytest.raises(Conflict):
        penstock.start_metrics_server(server.port, "127.0.0.1", registry)
    server.close()
    found = values(text)
    series = {"endpoint": "delay", "route": "stable", "version": "1"}
    expected = {
        "infer_seconds_count{}": 1,
        "penstock_requests_total{'endpoint': 'delay', 'outcome': 'ok'}": 3,
        "penstock_requests_total{'endpoint': 'delay', 'outcome': 'invalid'}": 1,
        "penstock_requests_total{'endpoint': 'delay', 'outcome': 'error'}": 1,
        f"penstock_predictions_total{series}": 3,
        f"penstock_request_duration_seconds_count{series}": 3,
        "penstock_revision{'endpoint': 'delay'}": 1,
        f"penstock_traffic_share_ratio{series}": 1,
        "penstock_recorder_bytes{}": 0,
        "penstock_recorder_dropped_total{'endpoint': 'delay'}": 0,
        "penstock_watch_hook_failures_total{'endpoint': 'delay'}": 0,
    }
    assert {name: found.get(name) for name in expected} == expected
    failed = [value for name, value in found.items() if name.startswith("penstock_prediction_errors_total")]
    assert failed == [1]
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        check=False,
        input=text,
        text=True,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_nobody_called_yet_is_told_as_0_so_that_the_first_failures_are_an_increase(
    world: World, engine: Engine
) -> None:
    penstock.watch(endpoint="delay", model="m/1")(lambda _features: 0.5)
    wait_until(lambda: all(one.standing.endpoint_id for one in engine.watched.values()))
    app = penstock.metrics_asgi_app(prometheus_client.CollectorRegistry())
    text = TestClient(Starlette(routes=[Mount("/metrics", app)])).get("/metrics/").text
    series = {"endpoint": "delay", "route": "stable", "version": "1"}
    found = values(text)
    expected = {
        "penstock_requests_total{'endpoint': 'delay', 'outcome': 'ok'}": 0,
        "penstock_requests_total{'endpoint': 'delay', 'outcome': 'invalid'}": 0,
        "penstock_requests_total{'endpoint': 'delay', 'outcome': 'error'}": 0,
        f"penstock_predictions_total{series}": 0,
        f"penstock_request_duration_seconds_count{series}": 0,
        f"penstock_prediction_errors_total{dict(sorted({**series, 'kind': 'model_failed'}.items()))}": 0,
    }
    assert {name: found.get(name) for name in expected} == expected


def test_the_applications_answer_the_same(called: Engine) -> None:
    registry = prometheus_client.CollectorRegistry()
    app = Starlette(routes=[Mount("/metrics", penstock.metrics_asgi_app(registry))])
    from_asgi = TestClient(app).get("/metrics/").text
    told: list[Any] = []
    environ = {"PATH_INFO": "/metrics", "REQUEST_METHOD": "GET", "QUERY_STRING": ""}
    wsgi = penstock.metrics_wsgi_app(registry)
    from_wsgi = b"".join(wsgi(environ, lambda status, headers: told.append(status))).decode()
    assert values(from_asgi) == values(from_wsgi)
    assert told == ["200 OK"]
    assert "penstock_requests_total" in from_wsgi


def test_names_that_are_taken_keep_nobody_from_watching(
    called: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    registry = prometheus_client.CollectorRegistry()
    prometheus_client.Gauge("penstock_revision", "Another's.", registry=registry)
    penstock.start_metrics_server(0, "127.0.0.1", registry).close()
    assert "their names are taken" in caplog.text


def test_latency_is_counted_in_the_buckets_of_a_serve_process() -> None:
    assert DURATION_BUCKETS_S == OF_SERVE
