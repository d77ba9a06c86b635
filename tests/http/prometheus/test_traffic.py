from __future__ import annotations

import shutil
import subprocess

import httpx
import pytest

from penstock.processes.serve import ServeProcess
from servers.programs import missing
from serving.models import request_body

pytestmark = pytest.mark.slow


def test_promtool_accepts_the_metrics(server: ServeProcess) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        missing("promtool", "prometheus")
    httpx.post(f"{server.url}/v2/models/delay/infer", json=request_body())
    httpx.post(f"{server.url}/v2/models/delay/infer", json={})
    text = httpx.get(f"{server.url}/metrics").text
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_metrics_count_by_version_and_outcome(server: ServeProcess) -> None:
    for body in (request_body(3), request_body(2), {}):
        httpx.post(f"{server.url}/v2/models/delay/infer", json=body)
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    assert 'penstock_requests_total{endpoint="delay",outcome="ok"} 2.0' in lines
    assert 'penstock_requests_total{endpoint="delay",outcome="invalid"} 1.0' in lines
    assert 'penstock_prediction_rows_total{endpoint="delay",route="stable",version="1"} 5.0' in lines
    assert 'penstock_traffic_share_ratio{endpoint="delay",route="stable",version="1"} 1.0' in lines
    assert 'penstock_recorder_dropped_total{endpoint="delay"} 0.0' in lines
    assert any(line.startswith("penstock_recorder_max_bytes ") for line in lines)


def test_names_from_urls_never_become_labels(server: ServeProcess) -> None:
    for number in range(20):
        httpx.post(f"{server.url}/v2/models/attack-{number}/infer", json=request_body())
    text = httpx.get(f"{server.url}/metrics").text
    assert "attack" not in text
    assert 'penstock_requests_total{endpoint="other",outcome="invalid"} 20.0' in text.splitlines()


def test_every_series_of_what_is_served_is_there_before_the_first_request(server: ServeProcess) -> None:
    before = series(server)
    httpx.post(f"{server.url}/v2/models/delay/infer", json=request_body())
    httpx.post(f"{server.url}/v2/models/delay/infer", json={})
    httpx.post(f"{server.url}/v2/models/nothing/infer", json={})
    httpx.post(f"{server.url}/v2/models/delay/feedback", json=[{"prediction_id": "x", "label": 1}])
    assert series(server) - before == set()


def series(server: ServeProcess) -> set[str]:
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}
