"""What pages tell of a version and of an endpoint in depth: card, schema, what an alias meant, drift, workers, a time range."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import yaml
from starlette.testclient import TestClient

from penstock.base.clock import format_ms, now_ms
from penstock.flows.chain.cards import escape
from penstock.flows.models.aliases import apply_promotion, plan_promotion
from penstock.flows.observing import drifting
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.http.app import build_server_app
from penstock.http.pages import endpoint_views, model_views
from penstock.http.pages.drawing.drift import drift_rows
from penstock.http.pages.telling.markdown import markdown
from penstock.monitoring.findings import Finding
from penstock.monitoring.profile import Profile
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials
from penstock.processes.controller import ControllerLoop
from penstock.project.project import Project
from penstock.records.signature import Column, Signature
from penstock.registry.aliases import list_alias_moves
from penstock.registry.entities import Manifest, ModelVersion, Provenance
from penstock.registry.notes import describe_version
from penstock.registry.versions import add_version
from penstock.serving.deployments import get_revision
from penstock.serving.workers import WorkerRevision, register_worker, report_revision
from projects import Sample

BEGIN = int(time.time()) // 60 * 60 - 600
HOSTILE = "<script>alert(1)</script> *x* | `y`"


@pytest.fixture(scope="module")
def project(two_versions_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """`late/1` is stable on `delay`; in the last of four minutes the wind was another."""
    sample = Sample.copy(two_versions_root, tmp_path_factory.mktemp("depth") / "project")
    project = sample.project
    apply_deployment(project, plan_deployment(project, "delay", "late/1"))
    with project.database.read() as connection:
        number = get_revision(connection, "delay").number
    generator = np.random.default_rng(0)
    partials = []
    for minute in range(4):
        features = Profile.of(
            {
                "hour": generator.integers(0, 24, 500).astype(float),
                "wind": np.abs(generator.normal(10, 3, 500)) * (4 if minute == 3 else 1),
                "carrier": generator.choice(np.array(["AA", "DL", "UA"], dtype=object), 500),
            }
        )
        window = Window(
            key=WindowKey("delay", BEGIN + 60 * minute, number, 1, "stable"),
            window_s=60,
            request_count=500,
            row_count=500,
            features=features,
        )
        partials.append(Partial(window=window, worker=1, sequence=minute + 1))
    with project.database.write() as connection:
        add_partials(connection, partials)
        describe_version(connection, "late", 2, f"Made for **tests**. {HOSTILE}", "test")
    yield project
    sample.close()


@pytest.fixture(scope="module")
def client(project: Project) -> TestClient:
    return TestClient(build_server_app(project, ControllerLoop(project)), follow_redirects=False)


def words_of(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text))


def test_a_model_card_is_shown_and_downloaded_with_front_matter_that_can_be_read(client: TestClient) -> None:
    page = client.get("/models/late/2/card").text
    assert "<strong>tests</strong>" in page
    assert "<script>alert" not in page
    file = client.get("/models/late/2/card.md")
    assert file.headers["content-type"].startswith("text/markdown")
    assert file.headers["content-disposition"] == 'attachment; filename="late-2.md"'
    _, front, body = file.text.split("---\n", 2)
    document = yaml.safe_load(front)
    result = document["model-index"][0]["results"][0]
    assert document["model-index"][0]["name"] == "late/2"
    assert {one["type"] for one in result["metrics"]} == {"roc_auc"}
    assert {"task", "dataset", "metrics"} <= set(result)
    for told in (
        "# late/2",
        "## Takes",
        "| hour | INT64 | yes |",
        "## Gives",
        "## Scores",
        "## Gates: passed",
        "## Made from",
        "data/raw.csv",
    ):
        assert told in body, told
    assert "model card" in client.get("/models/late/2").text
    assert client.get("/models/late/9/card").status_code == 404


def test_what_is_escaped_for_a_card_says_just_that() -> None:
    for text in (HOSTILE, "# title", "[x](http://evil.example)", "1. one", "a|b\n---\nc", "\\", "&amp;"):
        shown = words_of(str(markdown(escape(text)))).strip()
        told = " ".join(text.split())
        for entity, char in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
            shown = shown.replace(entity, char)
        assert shown == told or text == "1. one", (text, shown)


def test_a_version_shows_its_schema_and_how_it_differs_from_the_champion(client: TestClient) -> None:
    text = client.get("/models/late/2").text
    schema = words_of(text.split('id="schema"')[1].split("</section>")[0])
    assert "takes hour INT64 yes" in schema
    assert "gives" in schema
    assert 'id="differences"' in text


def test_a_tensor_that_is_always_sent_is_required_on_page_and_card(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = (
        Column("pixels", "FP32", required=False, shape=(-1, 8)),
        Column("mask", "FP32", shape=(-1, 8)),
        Column("age", "FP64", required=False),
    )
    monkeypatch.setattr(model_views, "find_signature", lambda *_: Signature(inputs, ()))
    text = client.get("/models/late/2").text
    schema = words_of(text.split('id="schema"')[1].split("</section>")[0])
    for told in (
        "takes pixels FP32 [-1, 8] yes, values may be missing",
        "takes mask FP32 [-1, 8] yes takes",
        "takes age FP64 no",
    ):
        assert told in schema, schema
    card = client.get("/models/late/2/card.md").text.replace("\\", "")
    for told in (
        "| pixels | FP32 [-1, 8] | yes, values may be missing |",
        "| mask | FP32 [-1, 8] | yes |",
        "| age | FP64 | no |",
    ):
        assert told in card, card


def test_a_model_card_is_downloaded_whatever_its_model_is_called(
    client: TestClient, project: Project
) -> None:
    for model, told in (
        ("Modèle", "attachment; filename=\"Modele-1.md\"; filename*=UTF-8''Mod%C3%A8le-1.md"),
        ("模型", "attachment; filename=\"-1.md\"; filename*=UTF-8''%E6%A8%A1%E5%9E%8B-1.md"),
        ('a"b', "attachment; filename=\"a_b-1.md\"; filename*=UTF-8''a%22b-1.md"),
    ):
        with project.database.write() as connection:
            draft = ModelVersion(
                model=model, number=0, digest="7" * 64, created_ms=0, actor="ci", path="m",
                manifest=Manifest(()), provenance=Provenance(), metrics={},
            )  # fmt: skip
            add_version(connection, draft)
        file = client.get(f"/models/{quote(model, safe='')}/1/card.md")
        assert (file.status_code, file.headers["content-disposition"]) == (200, told)


def test_a_page_tells_what_an_alias_was_at_a_time(client: TestClient, project: Project) -> None:
    apply_promotion(project, plan_promotion(project, "late/2"))
    with project.database.read() as connection:
        first, *_, last = list_alias_moves(connection, "late", "champion")

    def asked(at: str, alias: str = "champion") -> str:
        text = client.get("/models/late", params={"alias": alias, "at": at}).text
        return words_of(text.split('class="answer" role="status">')[1].split("</p>")[0])

    assert f"champion was late/{first.version}" in asked(str(first.time_ms + 1))
    assert "champion was late/2" in asked(str(last.time_ms + 1))
    assert "is still to come: now champion is late/2" in asked(
        format_ms(last.time_ms)[:10]
    )  # a day means its end
    assert "is still to come: now champion is late/2" in asked("2999-01-01")
    assert "nothing was called champion" in asked("2001-01-01")
    assert "nothing was called other" in asked("2026-01-01", "other")
    assert "write a date or a time" in asked("yesterday")
    client.post(
        "/models/late/1/promote",
        content="alias=champion&previous=2",
        headers={"content-type": "application/x-www-form-urlencoded"},
    )


def test_drift_is_a_map_of_features_over_time_with_the_worst_first(client: TestClient) -> None:
    text = client.get("/endpoints/delay/drift").text
    words = words_of(text)
    assert "1 of 3 features of late/1 was over 0.25 when traffic last came: wind" in words
    names = re.findall(r"<title>([^<]+)</title>[^<]*</text>", text)
    assert names[0] == "wind"
    cells = re.findall(r'<rect class="l(\d)" x="[^"]+" y="0"', text)
    assert len(cells) == 4
    assert int(cells[-1]) >= 4
    assert all(int(one) <= 3 for one in cells[:-1])
    assert client.get("/endpoints/none/drift").status_code == 404
    assert client.get("/endpoints/delay/drift?version=x").status_code == 400
    assert client.get("/endpoints/delay/drift?version=77").status_code == 404
    assert "No traffic of late/2 has come" in words_of(client.get("/endpoints/delay/drift?version=2").text)
    empty = client.get("/endpoints/delay/drift", params={"from": "2001-01-01", "to": "2001-01-02"}).text
    assert "has come in this time" in empty
    turned = client.get("/endpoints/delay/drift?from=2026-02-01&to=2026-01-01")
    assert (turned.status_code, "is not after the beginning" in turned.text) == (400, True)


def test_an_endpoint_shows_the_time_that_the_address_asks_for(client: TestClient) -> None:
    row = '<td>stable</td><td class="n">'
    assert client.get("/endpoints/delay").text.count(row) == 0  # they come when they are asked for
    assert client.get("/endpoints/delay?numbers=1").text.count(row) == 4
    for first, last, count in ((-90, 3600, 4), (0, 60, 1), (60, 180, 2)):
        asked = {"from": str(1000 * (BEGIN + first)), "to": str(1000 * (BEGIN + last)), "numbers": "1"}
        assert client.get("/endpoints/delay", params=asked).text.count(row) == count
    old = client.get("/endpoints/delay", params={"from": "2001-01-01", "to": "2001-01-02"}).text
    assert "No traffic in this time" in old
    assert client.get("/endpoints/delay?from=yesterday").status_code == 400


def test_an_endpoint_says_where_it_shows_the_newest_windows_of_a_time_only(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_views, "WINDOWS", 1)
    monkeypatch.setattr(endpoint_views, "MOST_WINDOWS", 2)
    monkeypatch.setattr(drifting, "WINDOWS", 1)
    row = '<td>stable</td><td class="n">'

    def shown(first: int, last: int | None) -> tuple[int, str]:
        asked = {"from": str(1000 * (BEGIN + first)), "numbers": "1"}
        asked |= {} if last is None else {"to": str(1000 * (BEGIN + last))}
        text = client.get("/endpoints/delay", params=asked).text
        told = re.search(r"The newest [^.]* of this time are shown", words_of(text))
        return text.count(row), told[0] if told else ""

    assert shown(0, 60) == (1, ""), "the oldest window, whatever came after it"
    assert shown(0, 120) == (2, "")
    assert shown(-90, 3600) == (2, "The newest 2 windows of this time are shown")
    assert shown(-90, None) == (2, "The newest 2 windows of this time are shown")
    whole = client.get("/endpoints/delay?numbers=1").text
    assert (whole.count(row), "The newest 1 window" in words_of(whole)) == (1, True)
    early = {"from": str(1000 * BEGIN), "to": str(1000 * (BEGIN + 60))}
    assert "No traffic" not in client.get("/endpoints/delay/drift", params=early).text


def test_an_endpoint_names_its_hosts_and_workers_and_what_each_serves(
    client: TestClient, project: Project
) -> None:
    with project.database.write() as connection:
        number = get_revision(connection, "delay").number
        for at, state, message in ((7, "ready", ""), (8, "failed", f"no memory {HOSTILE}")):
            worker = register_worker(
                connection, host=f"gpu-{at}", pid=4700 + at, url=f"http://gpu-{at}:8080", time_ms=now_ms()
            )
            report = WorkerRevision(
                endpoint="delay", revision=number, state=state, message=message, time_ms=now_ms()
            )
            report_revision(connection, worker, report)
    text = client.get("/endpoints/delay").text
    assert "<script>alert" not in text
    words = words_of(text.split('id="servers"')[1].split("</section>")[0])
    assert re.search(r"gpu-7 \d+ 4707 http://gpu-7:8080 ● ready", words)
    assert re.search(r"gpu-8 \d+ 4708 http://gpu-8:8080 ✕ failed no memory", words)


def test_the_list_of_endpoints_leads_to_the_versions_that_answer(client: TestClient) -> None:
    assert '<a href="/models/late/1">' in client.get("/endpoints").text


def test_drift_that_was_not_judged_is_no_feature_called_features() -> None:
    told: dict[str, Any] = {
        "kind": "drift", "endpoint": "d", "revision": 1, "version": 1, "route": "stable", "start_s": 0, "end_s": 1,
        "count": 0, "statistic": "psi", "statistic_value": math.nan, "breached": False, "sentence": "s",
        "observed": math.nan, "limit": 0.2, "unjudged": "no_reference",
    }  # fmt: skip
    names = ("features", "hour, wind", "wind")
    assert [one.finding.name for one in drift_rows([Finding(**told, name=name) for name in names])] == [
        "wind"
    ]
