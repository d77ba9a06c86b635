"""A server that a proxy gives a folder of its own: every link of a page begins with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from penstock.base.errors import Invalid
from penstock.http.app import build_server_app
from penstock.http.prefix import parse_prefix
from penstock.processes.controller import ControllerLoop
from projects import Sample

PAGES = (
    "/",
    "/models",
    "/models/late/1",
    "/runs",
    "/endpoints/delay",
    "/lineage/late/1",
    "/why",
    "/nothing",
    "/endpoints",
    "/experiments",
    "/events",
    "/models/late",
)


def test_every_link_begins_with_the_prefix_and_leads_somewhere(released_root: Path) -> None:
    project = Sample(released_root).project
    app = build_server_app(project, ControllerLoop(project), prefix="/pen/stock")
    client = TestClient(app, follow_redirects=False)
    links: set[str] = set()
    for page in PAGES:
        answer = client.get(f"/pen/stock{page}")
        found = re.findall(r'(?:href|src|action)="(/[^"]*)"', answer.text)
        assert found
        assert all(link.startswith("/pen/stock/") for link in found), (page, found)
        links |= set(found)
    for link in sorted(links):
        assert client.get(link.replace("&amp;", "&")).status_code in {200, 303}, link
    assert client.get("/pen/stock/why?subject=late/1").headers["location"] == "/pen/stock/why/late/1"
    for prefix in ("", "/pen/stock"):  # a proxy may take it off, and MLflow's client keeps it
        assert client.get(f"{prefix}/health").status_code == 200
        assert client.get(f"{prefix}/api/2.0/mlflow/experiments/get?experiment_id=0").status_code == 200
    assert client.get("/pen/stockade").status_code == 404
    project.close()


@pytest.mark.parametrize("text", ["penstock", "/", "/a/", "//a", "/a//b", "/../a", "/a?b", "/a b", "/\u00e9"])
def test_what_is_no_prefix_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="no prefix"):
        parse_prefix(text)
