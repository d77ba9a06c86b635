"""What pages, the API and `gate show` say of a version that CI held for a person, until it goes out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from penstock.cli.main import cli
from penstock.flows.ci.accepting import accept_commit
from penstock.flows.ci.releasing import hold
from penstock.flows.models.aliases import apply_promotion, plan_promotion
from penstock.flows.models.views import view_version
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.http.app import build_server_app
from penstock.processes.controller import ControllerLoop
from penstock.project.project import Project
from penstock.registry.versions import get_version
from projects import Sample


@pytest.fixture
def sample(two_versions_root: Path, tmp_path: Path) -> Iterator[Sample]:
    """`late/1` serves `delay`, without traffic; `late/2` was never out."""
    sample = Sample.copy(two_versions_root, tmp_path / "project")
    apply_deployment(sample.project, plan_deployment(sample.project, "delay", "late/1"))
    yield sample
    sample.close()


def words_of(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text))


def first_line(client: TestClient, address: str) -> str:
    return words_of(client.get(address).text.split('class="answer">')[1].split("</p>")[0])


def held(project: Project, why: str, commit: str) -> None:
    with project.database.read() as connection:
        versions = [get_version(connection, "late", 2)]
    hold(project, versions, why, commit)


def test_a_held_release_is_told_first_wherever_its_version_is_shown_until_it_goes_out(sample: Sample) -> None:
    project, commit = sample.project, sample.git.resolve("HEAD")
    client = TestClient(build_server_app(project, ControllerLoop(project)), follow_redirects=False)
    assert "held" not in first_line(client, "/")
    held(
        project,
        f"a key is trusted that was not; penstock ci accept {commit[:10]} --reason … lets it out",
        commit,
    )

    line = first_line(client, "/models/late/2")
    assert line.startswith("CI held late/2: a key is trusted that was not; penstock ci accept "), line
    page = client.get("/models/late/2").text
    assert "may go out: " not in words_of(page)
    assert f"<code>penstock ci accept {commit[:10]} --reason …</code>" in page
    assert 'class="state warn"' in page
    assert "Let it out all the same" in page
    assert "What speaks against it" in client.get("/models/late/2/promote").text
    for address in ("/models", "/models/late"):
        row = client.get(address).text.split('data-key="late/2"')[1].split("</tr>")[0]
        assert "held by CI" in row, address
    assert client.get("/api/penstock/v1/models/late/versions/2").json()["held"]["commit"] == commit
    line = first_line(client, "/")
    assert line.endswith("1 release is held and waits for a person: late/2."), line
    overview = client.get("/").text
    assert f"<code>penstock ci accept {commit[:10]} --reason …</code>" in overview
    assert '<li class="warn" data-key="event-' in overview  # it waits, it did not fail
    shown = CliRunner().invoke(cli, ["-C", str(sample.root), "gate", "show", "late/2"]).output
    assert "CI held late/2: a key is trusted" in shown, shown
    assert "It may go out" not in shown

    accept_commit(project, commit, "the key is Bob's")
    assert "accepted commit" in first_line(client, "/models/late/2")
    assert f"<code>penstock ci run --rev {commit[:10]} --deploy</code>" in client.get("/").text

    apply_promotion(project, plan_promotion(project, "late/2"))
    assert view_version(project, "late", 2).held is None
    assert "held" not in first_line(client, "/")
    assert "CI held" not in client.get("/models/late/2").text


def test_what_is_on_a_branch_that_is_never_released_waits_for_nobody(sample: Sample) -> None:
    project = sample.project
    client = TestClient(build_server_app(project, ControllerLoop(project)), follow_redirects=False)
    held(project, "commit 1234567890 is not on the default branch main", "1234567890")
    assert "held" not in first_line(client, "/")
    assert first_line(client, "/models/late/2").startswith("CI held late/2: commit 1234567890 is not on")
