"""A revision is explained with each version that takes part in it, and with those that it took out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from penstock.cli.main import cli
from penstock.flows.chain.lineage import explain
from penstock.flows.chain.links import Link
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.flows.production.traffic.rolling_back import plan_rollback
from penstock.flows.production.traffic.shadowing import plan_shadows
from penstock.http.app import build_server_app
from penstock.processes.controller import ControllerLoop
from projects import Sample


@pytest.fixture(scope="module")
def sample(two_versions_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """`delay`: 2 serves `late/1`, 3 has `late/2` beside it as a canary, 4 took it out, 5 has it as a shadow."""
    made = Sample.copy(two_versions_root, tmp_path_factory.mktemp("revisions") / "project")
    project = made.project
    apply_deployment(project, plan_deployment(project, "delay", "late/1"))
    apply_deployment(project, plan_deployment(project, "delay", "late/2", canary=30.0, reason="the new one"))
    apply_deployment(project, plan_rollback(project, "delay", reason="its AUC is 0.52"))
    apply_deployment(project, plan_shadows(project, "delay", ["late/2"]))
    yield made
    made.close()


def by_version(links: tuple[Link, ...]) -> dict[str, list[Link]]:
    """Return the links behind each version that is told of."""
    found: dict[str, list[Link]] = {}
    for link in links:
        if link.kind in {"model version", "taken out"}:
            found[link.key] = []
        if found:
            found[list(found)[-1]].append(link)
    return found


def test_a_canary_is_explained_as_whole_as_the_stable_version(sample: Sample) -> None:
    found = by_version(explain(sample.project, "delay#3").links)
    assert list(found) == ["late/1", "late/2"]
    whole = {"model version", "verdict", "run", "parameters", "commit", "data"}
    for ref, role in (("late/1", "stable"), ("late/2", "canary with 30 %")):
        assert {one.kind for one in found[ref]} - {"rollback"} == whole
        assert found[ref][0].text.startswith(f"{role}, sha256 ")
        assert found[ref][0].details["role"] == role
    runs = {ref: next(one.key for one in links if one.kind == "run") for ref, links in found.items()}
    assert runs["late/1"] != runs["late/2"]


def test_a_revision_names_what_its_change_took_out(sample: Sample) -> None:
    found = by_version(explain(sample.project, "delay#4").links)
    assert list(found) == ["late/1", "late/2"]
    out, back = found["late/2"]
    assert (out.kind, out.text) == ("taken out", "it was canary with 30 % in delay#3")
    assert back.kind == "rollback" and "its AUC is 0.52" in back.text
    for subject in ("delay#2", "delay#3", "delay#5"):
        assert not [one for one in explain(sample.project, subject).links if one.kind == "taken out"]


def test_shadows_are_named(sample: Sample) -> None:
    for subject in ("delay#5", "delay"):
        found = by_version(explain(sample.project, subject).links)
        assert list(found) == ["late/1", "late/2"]
        assert found["late/2"][0].text.startswith("shadow, sha256 ")
        assert {one.kind for one in found["late/2"]} == {"model version", "rollback"}


def test_text_json_and_page_say_the_same(sample: Sample) -> None:
    why = ["-C", str(sample.root), "why"]
    text = CliRunner().invoke(cli, [*why, "delay#3"]).output
    assert re.search(r"model version +late/2 +canary with 30 %, sha256", text), text
    text = CliRunner().invoke(cli, [*why, "delay#4"]).output
    assert re.search(r"taken out +late/2 +it was canary with 30 % in delay#3", text), text
    document = json.loads(CliRunner().invoke(cli, [*why, "delay#3", "--json"]).output)
    assert document["version"] == "late/1", "the stable version is what it leads to, and what restore brings"
    told = [one["key"] for one in document["links"] if one["kind"] == "model version"]
    assert told == ["late/1", "late/2"]
    client = TestClient(build_server_app(sample.project, ControllerLoop(sample.project)))
    page = client.get("/why/delay%233").text
    assert "canary with 30 %, sha256" in page
    page = client.get("/why/delay%234").text
    assert "It took late/2 out." in page
    assert "it was canary with 30 % in delay#3" in page
    assert 'href="/models/late/2"' in page
