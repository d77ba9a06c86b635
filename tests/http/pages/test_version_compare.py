"""Versions of a model beside each other: what differs, live below offline, what was rolled back never the best."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import msgspec
import pytest
from starlette.testclient import TestClient

from penstock.flows.chain.outings import LiveOn, Outing
from penstock.flows.models.views import view_version
from penstock.http.app import build_server_app
from penstock.http.pages.telling.comparing import numbers_row, texts_row
from penstock.http.pages.version_compare_views import Told, compare_versions
from penstock.processes.controller import ControllerLoop
from penstock.project.project import Project
from penstock.records.signature import Column, Signature
from penstock.registry.aliases import move_alias
from penstock.registry.entities import AliasMove
from penstock.registry.states import VersionState
from projects import Sample


@pytest.fixture(scope="module")
def project(two_versions_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    sample = Sample.copy(two_versions_root, tmp_path_factory.mktemp("compared") / "project")
    yield sample.project
    sample.close()


@pytest.fixture(scope="module")
def client(project: Project) -> TestClient:
    return TestClient(build_server_app(project, ControllerLoop(project)), follow_redirects=False)


def words_of(text: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text.partition("<main")[2])).split())


def test_versions_are_chosen_on_the_models_page_and_compared(client: TestClient) -> None:
    page = client.get("/models/late").text
    assert 'action="/models/late/compare"' in page
    assert re.findall(r'name="versions" value="(\d+)"', page) == ["2", "1"]
    told = words_of(client.get("/models/late/compare?versions=2&versions=1").text)
    assert "2 versions differ in" in told
    assert "production state" in told
    assert "offline roc_auc" in told


def test_every_address_that_the_tutorial_names_is_a_page(client: TestClient) -> None:
    """It told people to write `?versions=1,2` behind another page, which refuses it."""
    text = (Path(__file__).parents[3] / "docs" / "tutorial.md").read_text()
    addresses = re.findall(r"`(/[a-z][^`\s]*)`", text)
    assert len(addresses) > 4
    assert not re.findall(r"`\?[^`]*`", text)  # a query without its page
    for address in addresses:
        assert client.get(address.replace("flight-delay", "late")).status_code == 200, address


def test_versions_are_named_by_number_or_alias_each_once(client: TestClient) -> None:
    page = client.get("/models/late/compare?versions=1,champion,2,01").text
    assert re.findall(r'<th><a href="/models/late/(\d)"', page) == ["1", "2", "1", "2"]
    for query, status, words in (
        ("?versions=nope,1", 400, "'versions' names versions by number or alias, such as 1,2, not 'nope'"),
        ("?versions=1,9", 404, "There is no model version late/9"),
        ("?versions=1", 200, "Two versions at least"),
        ("", 200, "Two versions at least"),
    ):
        answer = client.get(f"/models/late/compare{query}")
        assert answer.status_code == status
        assert words in words_of(answer.text)
    assert client.get("/models/nope/compare?versions=1,2").status_code == 404


def test_an_alias_that_is_called_as_the_page_keeps_its_address(client: TestClient, project: Project) -> None:
    with project.database.write() as connection:
        move = AliasMove(
            model="late", name="compare", version=2, previous=None, time_ms=1, actor="test", verdict_id=None
        )
        move_alias(connection, move, expected=None)
    assert client.get("/models/late/compare").headers["location"] == "/models/late/2"


def test_the_rows_tell_features_live_numbers_and_checks_and_what_was_rolled_back_is_best_of_nothing(
    project: Project,
) -> None:
    plain = Signature((Column("carrier", "BYTES"), Column("hour", "INT64")), ())
    pixels = Column("pixels", "FP32", required=False, shape=(-1, 8))
    cheat = Signature((*plain.inputs, Column("dep_delay", "FP64", required=False), pixels), ())
    first, second = (view_version(project, "late", one) for one in (1, 2))
    bad = VersionState(
        model="late",
        number=2,
        digest="",
        state="rolled_back",
        time_ms=1,
        actor="controller",
        reason="it cheated",
    )
    first = msgspec.structs.replace(
        first, version=msgspec.structs.replace(first.version, metrics={"roc_auc": 0.7})
    )
    second = msgspec.structs.replace(
        second, rolled_back=bad, version=msgspec.structs.replace(second.version, metrics={"roc_auc": 0.9})
    )
    told = [
        Told(
            first,
            Outing(
                standing="live", live=(LiveOn(endpoint="delay", label_count=500, metrics={"roc_auc": 0.68}),)
            ),
            {"depth": "3"},
            plain,
        ),
        Told(
            second,
            Outing(
                standing="rolled back",
                live=(LiveOn(endpoint="delay", label_count=500, metrics={"roc_auc": 0.52}),),
            ),
            {"depth": "4"},
            cheat,
        ),
    ]
    rows = {(one.kind, one.name): one for one in compare_versions(told)}
    assert rows["feature", "dep_delay"].texts == ("–", "FP64, may be missing")
    assert rows["feature", "pixels"].texts == ("–", "FP32, values may be missing")
    assert not rows["feature", "hour"].differs
    assert rows["parameter", "depth"].texts == ("3", "4")
    assert rows["offline", "roc_auc"].texts == ("0.7000", "0.9000")
    assert rows["live", "roc_auc"].texts == ("0.6800", "0.5200")
    assert rows["offline", "roc_auc"].best == rows["live", "roc_auc"].best == frozenset()
    assert list(rows).index(("live", "roc_auc")) == list(rows).index(("offline", "roc_auc")) + 1
    assert rows["production", "state"].texts == ("live", "rolled back")
    kept = [replace(one, view=msgspec.structs.replace(one.view, rolled_back=None)) for one in told]
    best = {(one.kind, one.name): one.best for one in compare_versions(kept)}
    assert (best["offline", "roc_auc"], best["live", "roc_auc"]) == ({1}, {0})


def test_versions_of_one_commit_with_other_changes_differ(project: Project) -> None:
    told = []
    for number, digest in ((1, "1f" * 32), (2, "2e" * 32), (2, None)):
        view = view_version(project, "late", number)
        origin = msgspec.structs.replace(view.version.provenance, commit="c" * 40, dirty_digest=digest)
        version = msgspec.structs.replace(view.version, provenance=origin)
        told.append(Told(msgspec.structs.replace(view, version=version), Outing(), {}, None))
    rows = {(one.kind, one.name): one for one in compare_versions(told)}
    assert not rows["code", "commit"].differs
    changes = rows["code", "uncommitted changes"]
    assert (changes.differs, changes.texts) == (True, ("yes, 1f1f1f1f", "yes, 2e2e2e2e", "no"))


def test_rows_of_numbers_share_their_decimals_and_know_no_best_where_nobody_does() -> None:
    assert numbers_row("metric", "x", [1.5, None], loss=True, never_best=[False, False]).texts == (
        "1.500",
        "–",
    )
    assert numbers_row("metric", "x", [1.0, 2.0], loss=None, never_best=[False, False]).best == frozenset()
    assert numbers_row("metric", "x", [1.0, 1.0, 2.0], loss=True, never_best=[False] * 3).best == {0, 1}
    assert texts_row("data", "x", ['["a"]', '["a", "b"]']).texts == ("1 in common", "1 in common and b")
