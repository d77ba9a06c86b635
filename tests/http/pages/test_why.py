"""The chain as a page: a sentence first, then a graph both ways, red where something was rolled back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from penstock.base.errors import Refused
from penstock.flows.chain.graph import build_graph
from penstock.flows.chain.lineage import explain
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.flows.production.traffic.rolling_back import plan_rollback
from penstock.http.app import build_server_app
from penstock.processes.controller import ControllerLoop
from penstock.project.project import Project
from penstock.registry.versions import get_version
from penstock.serving.deployments import get_revision
from penstock.serving.predictions.ids import PredictionId
from penstock.tracking.entities import Run
from penstock.tracking.runs import create_run
from projects import Sample

HOSTILE = "<script>alert(1)</script>\u202e"


@pytest.fixture(scope="module")
def project(two_versions_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """`late/2` was a canary on `delay` and was rolled back."""
    sample = Sample.copy(two_versions_root, tmp_path_factory.mktemp("why") / "project")
    apply_deployment(sample.project, plan_deployment(sample.project, "delay", "late/1"))
    apply_deployment(sample.project, plan_deployment(sample.project, "delay", "late/2", canary=20.0))
    apply_deployment(sample.project, plan_rollback(sample.project, "delay", reason="its AUC is 0.52"))
    yield sample.project
    sample.close()


@pytest.fixture(scope="module")
def client(project: Project) -> TestClient:
    return TestClient(build_server_app(project, ControllerLoop(project)), follow_redirects=False)


def test_after_a_canary_was_rolled_back_no_other_version_was_stable(project: Project) -> None:
    with pytest.raises(
        Refused, match=r"no other version of endpoint delay was stable \(version 2 was a canary\)"
    ):
        plan_rollback(project, "delay")


def test_everything_that_why_explains_has_a_page_with_a_sentence_and_a_graph(
    project: Project, client: TestClient
) -> None:
    with project.database.read() as connection:
        run_id = get_version(connection, "late", 2).provenance.run_id
        endpoint_id = get_revision(connection, "delay").endpoint_id
    assert run_id is not None
    content = explain(project, "data/raw.csv").links[0].key
    prediction = PredictionId(1_700_000_000_000, endpoint_id, 2, "canary", 1, 1).encode()
    kinds = {}
    for subject in (
        prediction, "late/2", "late@champion", "delay", "delay#2", run_id, run_id[:8], "data/raw.csv",
        "data/raw.csv.dvc", project.git.resolve("HEAD"), "HEAD", "models/late", "data/test.csv", content[:9],
    ):  # fmt: skip
        answer = client.get(f"/why/{quote(subject, safe='')}")
        assert answer.status_code == 200, subject
        sentence = re.sub("<[^>]*>", "", answer.text.split('class="answer">')[1].split("</p>")[0])
        assert sentence.strip().endswith("."), sentence
        assert "late/" in sentence, sentence
        assert '<svg class="graph"' in answer.text, subject
        for href in re.findall(r'<a href="([^"]+)" class="node"', answer.text):
            led = client.get(href)
            assert led.status_code == 200, href
        kinds[explain(project, subject).kind] = sentence
    assert set(kinds) == {
        "prediction",
        "model version",
        "endpoint",
        "deployment",
        "run",
        "data",
        "commit",
        "output",
        "content",
    }


def test_a_rollback_is_told_first_and_red_both_ways(project: Project, client: TestClient) -> None:
    with project.database.read() as connection:
        canary = get_revision(connection, "delay").number - 1
    for subject in ("late/2", "data/raw.csv", "HEAD", f"delay%23{canary}"):
        text = client.get(f"/why/{subject}").text
        sentence = re.sub("<[^>]*>", "", text.split('class="answer">')[1].split("</p>")[0])
        assert sentence.strip().startswith("↩ rolled back late/2 was rolled back: its AUC is 0.52"), sentence
        assert text.count('class="box bad') >= 2
        assert 'class="edge bad"' in text
    good = client.get("/why/late/1").text
    assert 'class="box bad' not in good
    assert 'class="box good' in good


def test_the_graph_leads_from_data_to_what_became_of_it_and_back(project: Project) -> None:
    graph = build_graph(project, explain(project, "late/2"))
    before: dict[str, set[str]] = {}
    for one, other in graph.edges:
        before.setdefault(other, set()).add(one)

    def origins(at: str) -> set[str]:
        found = set(before.get(at, ()))
        return found | {far for one in found for far in origins(one)}

    kinds = {graph.nodes[one].kind for one in origins("rollback:late/2")}
    assert kinds == {"deployment", "verdict", "model version", "run", "commit", "data"}
    assert build_graph(project, explain(project, "data/raw.csv")).edges.keys() >= {
        edge for edge in graph.edges if edge[0].startswith("data:data/raw.csv")
    }


def test_a_run_that_made_nothing_and_is_called_badly_has_a_page_too(
    project: Project, client: TestClient
) -> None:
    run_id = "e" * 32
    with project.database.write() as connection:
        create_run(
            connection,
            Run(
                id=run_id,
                experiment="x",
                name=HOSTILE,
                status="FINISHED",
                start_ms=1,
                commit="a" * 40,
                inputs={HOSTILE: "md5:00", "data/2024": "md5:01"},
            ),
        )
    for subject in (run_id, quote(HOSTILE, safe=""), "data/2024"):
        text = client.get(f"/why/{subject}").text
        assert "<script>alert" not in text
        assert "\u202e" not in text
    assert "no version" in client.get("/why/data/2024").text
