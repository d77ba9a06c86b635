"""Offline numbers that were measured on different held-out rows: told as such, and none of them is better or best."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from flows.production.endpoints import World
from penstock.base.clock import now_ms
from penstock.flows.chain.comparable import why_incomparable
from penstock.http.app import build_server_app
from penstock.processes.controller import ControllerLoop
from penstock.project.project import Project
from penstock.registry.entities import Manifest, ModelVersion, Provenance, Verdict
from penstock.registry.verdicts import add_verdict
from penstock.registry.versions import add_version, get_version
from projects import Sample


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """`m/1`, the champion, and `m/2` were made from other data than `m/3`."""
    world = World(tmp_path_factory.mktemp("comparable") / "world")
    for number, (data, value) in enumerate((("a", 0.7), ("a", 0.72), ("b", 0.8)), start=1):
        draft = ModelVersion(
            model="m", number=0, digest=f"{number:064x}", created_ms=0, actor="ci", path="m",
            manifest=Manifest(()), provenance=Provenance(data={"data/raw.csv": data * 32}), metrics={"roc_auc": value},
        )  # fmt: skip
        with world.project.database.write() as connection:
            assert add_version(connection, draft).number == number
    world.alias(1)
    yield world
    world.project.close()


@pytest.fixture(scope="module")
def client(world: World) -> TestClient:
    return TestClient(build_server_app(world.project, ControllerLoop(world.project)))


def words_of(client: TestClient, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, address
    main = answer.text.partition('<main id="main">')[2].partition("</main>")[0]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", main)).split())


def test_a_version_of_other_data_is_not_better_than_the_champion(client: TestClient) -> None:
    page = words_of(client, "/models/m/3")
    assert "Not comparable offline: they are of held-out rows of different data" in page
    assert "better" not in page
    assert "+0.1" in page
    assert "↑ better" in words_of(client, "/models/m/2")
    assert "Not comparable" not in words_of(client, "/models/m/2")


def test_none_of_versions_of_other_data_is_the_best_of_a_comparison(client: TestClient) -> None:
    page = words_of(client, "/models/m/compare?versions=1,3")
    assert "Not comparable offline: they are of held-out rows of different data" in page
    assert 'best"' not in client.get("/models/m/compare?versions=1,3").text
    assert "Not comparable" not in words_of(client, "/models/m/compare?versions=1,2")
    assert 'best"' in client.get("/models/m/compare?versions=1,2").text


def test_a_preview_of_a_champion_says_it_too(client: TestClient) -> None:
    assert "Not comparable offline" in words_of(client, "/models/m/3/promote")
    assert "Not comparable offline" not in words_of(client, "/models/m/2/promote")


def test_the_held_out_table_that_verdicts_name_goes_before_the_data(
    two_versions_root: Path, tmp_path: Path
) -> None:
    sample = Sample.copy(two_versions_root, tmp_path / "project")
    project: Project = sample.project
    (table,) = {one.test for one in project.readable_settings.all_models}
    assert table is not None
    with project.database.read() as connection:
        versions = [get_version(connection, "late", number) for number in (1, 2)]
        assert why_incomparable(project, connection, versions) == ""
    verdict = Verdict(
        id="later", model="late", model_digest=versions[1].digest, settings_digest="s",
        data={table: "sha256:other"}, passed=True, checks=(), created_ms=now_ms() + 1000, actor="ci",
    )  # fmt: skip
    with project.database.write() as connection:
        add_verdict(connection, verdict)
    with project.database.read() as connection:
        assert "different held-out data" in why_incomparable(project, connection, versions)
    sample.close()
