"""What pages say of a version that was rolled back, and rolling back by clicking."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.http.app import build_server_app
from penstock.processes.controller import ControllerLoop
from penstock.project.project import Project
from penstock.registry.states import list_rolled_back
from penstock.registry.versions import get_version
from penstock.serving.deployments import get_revision
from projects import Sample

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def project(two_versions_root: Path, tmp_path: Path) -> Iterator[Project]:
    """`late/1` is stable on `delay`, `late/2` its canary."""
    sample = Sample.copy(two_versions_root, tmp_path / "project")
    apply_deployment(sample.project, plan_deployment(sample.project, "delay", "late/1"))
    apply_deployment(sample.project, plan_deployment(sample.project, "delay", "late/2", canary=20.0))
    yield sample.project
    sample.project.close()


def client_of(project: Project) -> TestClient:
    return TestClient(build_server_app(project, ControllerLoop(project)), follow_redirects=False)


def test_a_rollback_is_previewed_confirmed_and_never_green_afterwards(project: Project) -> None:
    client = client_of(project)
    with project.database.read() as connection:
        number = get_revision(connection, "delay").number
    preview = client.get("/endpoints/delay/rollback").text
    for words in (
        "late/2",
        "20 %",
        f"(revision {number + 1})",
        "late/2 counts as rolled back",
        "all traffic is with",
    ):
        assert words in re.sub(r"<[^>]*>", "", preview), words
    with project.database.read() as connection:
        assert get_revision(connection, "delay").number == number  # a preview changes nothing

    form = f"revision={number}&to=&reason=its+AUC+is+0.52"
    done = client.post("/endpoints/delay/rollback", content=form, headers=FORM)
    assert (done.status_code, done.headers["location"]) == (303, "/endpoints/delay")
    with project.database.read() as connection:
        revision = get_revision(connection, "delay")
        assert (revision.stable, revision.canary, revision.kind) == (1, None, "rolled_back")
        assert (revision.actor, revision.reason) == ("page", "its AUC is 0.52")
        assert ("late", 2) in list_rolled_back(connection)

    again = client.post("/endpoints/delay/rollback", content=form, headers=FORM)
    assert again.status_code == 409
    assert "nothing was changed" in again.text

    version = client.get("/models/late/2").text
    head = version[version.index("<h1>") : version.index("Verdict")]
    assert "↩" in head
    assert "may not go out: its AUC is 0.52" in head
    assert 'class="state good"' not in version
    chain = version[version.index('class="chain"') :]
    assert "↩ rollback" in chain.split("<li")[-1]  # the chain ends with how the story ended
    row = client.get("/models").text.split('data-key="late/2"')[1].split("</tr>")[0]
    assert "rolled back" in row
    assert 'class="state good"' not in row


def test_a_foreign_page_cannot_roll_back(project: Project) -> None:
    client = client_of(project)
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        answer = client.post("/endpoints/delay/rollback", content="revision=2", headers={**FORM, **headers})
        assert answer.status_code == 403
    with project.database.read() as connection:
        assert get_revision(connection, "delay").canary is not None


@pytest.mark.parametrize("form", ["", "revision=x", "revision=99", "revision=2&to=x"])
def test_a_form_that_was_not_made_here_changes_nothing(project: Project, form: str) -> None:
    answer = client_of(project).post("/endpoints/delay/rollback", content=form, headers=FORM)
    assert answer.status_code in {400, 404, 409}
    with project.database.read() as connection:
        assert get_revision(connection, "delay").canary is not None


def test_the_files_of_a_version_are_shown_and_kept_as_they_were_registered(project: Project) -> None:
    client = client_of(project)
    text = client.get("/models/late/1").text
    with project.database.read() as connection:
        files = {one.path: one for one in get_version(connection, "late", 1).manifest.files}
    for path in files:
        assert f'href="/models/late/1/files?path={quote(path, safe="")}"' in text
    shown = client.get("/models/late/1/files?path=MLmodel")
    assert "flavors:" in shown.text
    kept = client.get("/models/late/1/download?path=MLmodel")
    assert hashlib.sha256(kept.content).hexdigest() == files["MLmodel"].sha256
    assert kept.headers["content-disposition"].startswith("attachment")
    assert "It is not shown" in client.get("/models/late/1/files?path=model.skops").text
    for address in ("files?path=../x", "download?path=", "raw?path=MLmodel"):
        assert client.get(f"/models/late/1/{address}").status_code in {400, 404}, address
    assert client.get("/models/late/77/files?path=MLmodel").status_code == 404
