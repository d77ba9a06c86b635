"""One verdict is spoken of: the one a version went out on, or the one that the doors ask, never another of the same files."""

from __future__ import annotations

import json
import re

from click.testing import CliRunner
from starlette.testclient import TestClient

from penstock.cli.main import cli
from penstock.flows.chain.lineage import explain
from penstock.flows.models.judging import run_gate
from penstock.flows.models.registering import register_model
from penstock.flows.models.views import view_version
from penstock.http.app import build_server_app
from penstock.http.pages.telling.formatting import short_id
from penstock.processes.controller import ControllerLoop
from penstock.project.project import Project
from penstock.registry.entities import Verdict
from penstock.workspace import open_workspace
from projects import PENSTOCK_YAML, Sample

GATES = "gates:\n  - metric: {name: roc_auc, min: %s}\n"


def ask(sample: Sample, least: float) -> None:
    begin, end = PENSTOCK_YAML.index("gates:"), PENSTOCK_YAML.index("endpoints:")
    sample.write("penstock.yaml", PENSTOCK_YAML[:begin] + GATES % least + PENSTOCK_YAML[end:])


def judged(sample: Sample, least: float) -> Verdict:
    ask(sample, least)
    project = open_workspace(sample.root, {"USER": "ada"})
    verdict = run_gate(project)
    project.close()
    return verdict


def page_of(project: Project, ref: str) -> str:
    client = TestClient(build_server_app(project, ControllerLoop(project)))
    page = client.get(f"/models/{ref}").text
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


def test_what_is_shown_of_a_verdict_and_what_the_doors_say_are_of_the_same_one(released: Sample) -> None:
    show = ["-C", str(released.root), "gate", "show", "late/1"]
    old, other = judged(released, 0.6), judged(released, 0.61)
    ask(released, 0.6)
    shown = CliRunner().invoke(cli, show).output
    assert f"(verdict {old.id})" in shown
    assert f"by other gates, which no door asks: verdict {other.id}" in shown
    assert "It may go out" in shown
    assert "opens no door" not in shown
    ask(released, 0.62)
    shown = CliRunner().invoke(cli, show).output
    assert f"(verdict {other.id})" in shown
    assert "it opens no door until the gate is run again" in shown
    assert "It may not go out: the gates changed since it was judged." in shown
    refused = judged(released, 0.99)
    document = json.loads(CliRunner().invoke(cli, [*show, "--json"]).output)
    assert (document["id"], document["gates_are_current"], document["may_go_out"]) == (
        refused.id,
        True,
        False,
    )
    released.write(
        "penstock.yaml", re.sub(r"gates:\n.*\n", "", (released.root / "penstock.yaml").read_text())
    )
    shown = CliRunner().invoke(cli, show).output
    assert "No gates are set now: what they refused stays refused." in shown
    assert "opens no door" not in shown
    assert "It may not go out: its gate refused it" in shown


def test_versions_with_the_same_files_each_show_the_verdict_that_they_went_out_on(released: Sample) -> None:
    first = view_version(released.project, "late", 1).verdict
    assert first is not None
    released.close()
    later = judged(released, 0.61)
    released.commit("Ask for more")
    project = open_workspace(released.root, {"USER": "ada"})
    second, is_new = register_model(project)
    assert (second.ref, is_new) == ("late/2", True)
    one, two = view_version(project, "late", 1), view_version(project, "late", 2)
    assert one.version.digest == two.version.digest
    assert (one.verdict and one.verdict.id, two.verdict and two.verdict.id) == (first.id, later.id)
    page = page_of(project, "late/1")
    assert "Verdict that it went out on" in page
    first_id, later_id = short_id(first.id), short_id(later.id)
    assert page.index(first_id) < page.index("Judged again since") < page.index(later_id)
    assert "for late/2 , which has the same files" in page
    page = page_of(project, "late/2")
    assert later_id in page
    assert first_id not in page
    assert "Judged again since" not in page
    commits = [known.version.provenance.commit or "" for known in (one, two)]
    assert all(text[:10] in page and text not in page for text in commits), page
    for ref, verdict in (("late/1", first), ("late/2", later)):
        links = explain(project, ref).links
        assert [link.key for link in links if link.kind == "verdict"] == [verdict.id]
    project.close()
