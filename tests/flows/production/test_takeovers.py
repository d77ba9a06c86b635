"""A version that is to answer all requests must take those that clients send; what refuses them all is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression
from starlette.testclient import TestClient

import penstock
from flows.production.endpoints import World
from penstock.base.clock import format_ms, now_ms
from penstock.base.errors import Invalid
from penstock.base.git import Git
from penstock.base.store.events import list_events
from penstock.cli.main import cli
from penstock.cli.production.monitor import _render
from penstock.data.verbs.creation import init_repository
from penstock.flows.chain.lineage import explain
from penstock.flows.models.judging import run_gate_on
from penstock.flows.models.registering import register_model
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.overview import overview
from penstock.flows.production.revising import apply_deployment, preview_changes
from penstock.flows.production.traffic.rolling_back import plan_rollback
from penstock.http.app import build_server_app
from penstock.monitoring.policies import PolicyBody, put_policy
from penstock.monitoring.refusals import Refusal, add_refusals
from penstock.monitoring.settings import EndpointSettings, RuleSettings, TrafficSettings
from penstock.processes.controller import ControllerLoop
from penstock.project.project import Project
from penstock.serving.predictions.ids import PredictionId
from penstock.serving.workers import WorkerRevision, register_worker, report_revision
from penstock.workspace import open_workspace

FRAME = pl.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "z": [1.0, 0.0, 1.0, 0.0]})
LATE = [0, 0, 1, 1]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A model with versions that take `x`, `x` again, `x` and `z`, and one array."""
    Git(tmp_path).run("init", "--quiet")
    init_repository(tmp_path)
    made = open_workspace(tmp_path, {})
    one = FRAME.select("x")
    for number, inputs in enumerate((one, one, FRAME, FRAME.to_numpy()), 1):
        path = f"m{number}"
        model = LogisticRegression(C=number).fit(inputs, LATE)
        penstock.save_model(model, str(tmp_path / path), inputs)
        assert register_model(made, "m", path)[0].number == number
    yield made
    made.close()


def test_a_full_deployment_that_requires_what_clients_do_not_send_is_refused_unless_it_is_forced(
    project: Project,
) -> None:
    apply_deployment(project, plan_deployment(project, "e", "m/1"))
    for reference in ("m/3", "m/4"):
        for canary in (None, 10.0):
            with pytest.raises(Invalid, match="which requests for the stable version do not carry") as caught:
                plan_deployment(project, "e", reference, canary=canary)
            assert caught.value.code == "serving.signature_mismatch"
            assert ("--force" in (caught.value.hint or "")) == (canary is None)
    asked = ["-C", str(project.root), "deploy", "e", "--model", "m/3", "--dry-run"]
    shown = CliRunner().invoke(cli, asked)
    assert shown.exit_code != 0 and "requires z" in str(shown.exception), shown.output
    shown = CliRunner().invoke(cli, [*asked, "--force", "--reason", "clients send z from today"])
    assert shown.exit_code == 0 and "these requests will be refused" in shown.output, shown.output
    apply_deployment(project, plan_deployment(project, "e", "m/2"))
    assert not any("refused" in one for one in plan_rollback(project, "e").warnings)
    forced = plan_deployment(project, "e", "m/3", force=True, reason="clients send z from today")
    apply_deployment(project, forced)
    assert plan_rollback(project, "e").warnings == (), "who sends x and z may ask for x"
    apply_deployment(project, plan_deployment(project, "e", "m/2"))
    back = plan_rollback(project, "e", to=3)
    assert back.warnings[0].startswith("m/3 requires z")
    with project.database.read() as connection:
        assert back.warnings[0] in preview_changes(connection, back)


def test_a_version_of_another_model_than_the_file_declares_is_told_where_it_is_deployed(
    project: Project,
) -> None:
    (project.root / "penstock.yaml").write_text(
        "project: p\nendpoints: {e: {model: other@champion}, f: {model: m/1}}\n", encoding="utf-8"
    )
    words = "penstock.yaml declares e with other@champion, and m/1 is of another model"

    def said(*asked: str) -> str:
        done = CliRunner().invoke(cli, ["-C", str(project.root), "deploy", *asked, "--no-wait"])
        assert done.exit_code == 0, done.output
        return " ".join(done.output.split())

    assert words in said("e", "--model", "m/1", "--dry-run")
    assert words in said("e", "--model", "m/1")
    assert "m/2 is of another model" in said("e", "--model", "m/2", "--canary", "10")
    assert "of another model" not in said("f", "--model", "m/1")
    assert "of another model" not in said("f", "--model", "m/2")
    assert "of another model" not in said("g", "--model", "m/1"), "nothing declares it"
    (project.root / "penstock.yaml").unlink()
    told = said("e", "--model", "m/1")
    assert "policy 1 declares e with other@champion, and m/1 is of another model" in told, (
        "the policy holds on"
    )


def test_a_versions_page_asks_what_a_deployment_asks_and_names_the_endpoint(project: Project) -> None:
    apply_deployment(project, plan_deployment(project, "e", "m/1"))
    gates = "project: p\nmodel: {name: m, path: m1, gates: [size: {max_mb: 10}]}\n"
    (project.root / "penstock.yaml").write_text(gates, encoding="utf-8")
    project = open_workspace(project.root, {})
    for reference in ("m/2", "m/3"):
        assert run_gate_on(project, reference).passed
    client = TestClient(build_server_app(project, ControllerLoop(project)))
    taken = client.get("/models/m/2").text
    assert "m/2 may go out" in taken
    assert "penstock deploy e --model m/2 --canary 5" in taken
    refused = client.get("/models/m/3").text
    assert "m/3 may not go out to e: it requires z, which requests for the stable version" in refused
    assert "penstock deploy" not in refused
    assert "deploy the version to its own endpoint" in refused
    preview = client.get("/models/m/3/promote").text
    assert "would not take it: m/3 requires z" in preview
    assert "penstock deploy" not in preview
    assert "penstock deploy e --model m@champion" in client.get("/models/m/2/promote").text


def test_rules_that_send_to_versions_which_serve_no_share_are_listed_told_and_named_by_why(
    project: Project,
) -> None:
    rules = (
        RuleSettings(parameter="country", equals="DE", version=2),
        RuleSettings(header="x-tenant", equals=("a", "b"), version=2),
    )
    kept = "rules keep sending requests to m/2 (country = DE; header x-tenant = a or b)"
    for number in (1, 2):
        apply_deployment(project, plan_deployment(project, "e", f"m/{number}"))
    settings = EndpointSettings(model="m@champion", traffic=TrafficSettings(rules=rules))
    with project.database.write() as connection:
        put_policy(connection, "e", PolicyBody(endpoint=settings), "person:test")
    assert kept not in plan_deployment(project, "e", "m/2").warnings
    assert kept in plan_deployment(project, "e", "m/1").warnings
    here = ["-C", str(project.root), "--json"]
    back = json.loads(CliRunner().invoke(cli, [*here, "rollback", "e", "--no-wait"]).stdout)
    assert (back["summary"], back["warnings"]) == ("e is back at m/1", [kept])
    with project.database.read() as connection:
        told = list_events(connection, subject="endpoint:e", limit=1)[0].summary
    assert told.endswith(f"; {kept}"), told
    shown = json.loads(CliRunner().invoke(cli, [*here, "endpoint", "show", "e"]).stdout)
    assert [(one["ref"], one["when"]) for one in shown["rules"]] == [
        ("m/2", "country = DE"),
        ("m/2", "header x-tenant = a or b"),
    ]
    text = CliRunner().invoke(cli, [*here[:2], "endpoint", "show", "e"]).stdout
    assert "rule      country = DE: m/2\nrule      header x-tenant = a or b: m/2\n" in text
    (listed,) = json.loads(CliRunner().invoke(cli, [*here, "endpoint", "list"]).stdout)
    assert listed["rules"] == shown["rules"]
    text = CliRunner().invoke(cli, [*here[:2], "endpoint", "list"]).stdout
    assert text.strip().endswith("country = DE: m/2; header x-tenant = a or b: m/2")
    for version, words in (
        (
            2,
            "version 2 by a rule of the endpoint (country = DE; header x-tenant = a or b), or asked for directly",
        ),
        (3, "asked for version 3 directly"),
    ):
        asked = PredictionId(now_ms(), back["endpoint_id"], version, "direct", 1, 1).encode()
        assert explain(project, asked).links[0].text.endswith(words)
    before = PredictionId(back["created_ms"] - 3_600_000, back["endpoint_id"], 2, "direct", 1, 1).encode()
    assert explain(project, before).links[0].text.endswith("asked for version 2 directly")


def test_rules_on_versions_that_cannot_answer_are_told_where_a_version_is_deployed(project: Project) -> None:
    rules = tuple(
        RuleSettings(parameter="country", equals=str(number), version=number) for number in (9, 3, 2)
    )
    apply_deployment(project, plan_deployment(project, "e", "m/1"))
    settings = EndpointSettings(model="m@champion", traffic=TrafficSettings(rules=rules))
    with project.database.write() as connection:
        put_policy(connection, "e", PolicyBody(endpoint=settings), "person:test")
    for plan in (plan_deployment(project, "e", "m/2"), plan_deployment(project, "e", "m/2", canary=10)):
        told = [one for one in plan.warnings if one.startswith("traffic.rules")]
        assert len(told) == 2
        assert told[0].startswith(
            "traffic.rules name m/9, and its requests go by shares without it: there is no"
        )
        assert told[1].startswith(
            "traffic.rules name m/3, and its requests go by shares without it: m/3 requires z"
        )


def test_endpoints_are_listed_whatever_became_of_the_policy_of_one(project: Project) -> None:
    for name in ("e", "plain"):
        apply_deployment(project, plan_deployment(project, name, "m/1"))
    asked = ["-C", str(project.root), "--json", "endpoint", "list"]
    assert [one["rules"] for one in json.loads(CliRunner().invoke(cli, asked).stdout)] == [[], []]
    assert "rules" not in CliRunner().invoke(cli, [*asked[:2], *asked[3:]]).stdout
    with project.database.write() as connection:
        put_policy(connection, "e", PolicyBody(endpoint=EndpointSettings(model="m@champion")), "person:test")
        connection.exec_driver_sql("UPDATE policies SET body = '{}' WHERE endpoint = 'e'")
    listed = json.loads(CliRunner().invoke(cli, asked).stdout)
    assert [(one["endpoint"], one["rules"]) for one in listed] == [("e", None), ("plain", [])]
    assert "cannot be read" in CliRunner().invoke(cli, [*asked[:2], *asked[3:]]).stdout


def test_an_endpoint_that_refuses_all_requests_since_its_revision_is_not_called_idle(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.version(1)
    world.version(2)
    world.policy()
    world.deploy(1)

    def refuse(count: int) -> None:
        with world.project.database.write() as connection:
            add_refusals(connection, {Refusal.at("delay", now_ms(), "serving.missing_input"): count})

    def say_ready(revision: int) -> None:
        with world.project.database.write() as connection:
            worker = register_worker(connection, host="h", pid=1, url="http://h", time_ms=now_ms())
            said = WorkerRevision(endpoint="delay", revision=revision, state="ready", message="", time_ms=1)
            report_revision(connection, worker, said)

    say_ready(1)
    refuse(9)
    (view,) = overview(world.project)
    since = f"revision 1, which began {format_ms(view.since_ms)}"
    words = f"refuses all requests: 9 × serving.missing_input since {since}; each answer names the input"
    assert (view.health, view.health_reason) == ("refusing", words)
    world.controller.tick()
    assert world.open_alerts() == [], "nothing was ever answered here: no revision is to blame"
    world.traffic("stable", 500)
    assert overview(world.project)[0].health == "healthy"

    world.deploy(2)
    say_ready(2)
    (view,) = overview(world.project)
    since = f"revision 2, which began {format_ms(view.since_ms)}"
    words = f"refuses all requests: 9 × serving.missing_input since {since}; each answer names the input"
    assert (view.health, view.health_reason) == ("refusing", words)
    assert f"refusing: {words}" in _render(view)
    page = TestClient(build_server_app(world.project, ControllerLoop(world.project))).get("/endpoints/delay")
    assert words in page.text
    client = TestClient(build_server_app(world.project, ControllerLoop(world.project)))
    live = client.get("/models/m/2").text
    assert f"m/2 is live: it is meant to answer 100 % of delay. But delay {words}." in live
    home = client.get("/")
    assert "1 of 1 endpoint needs you: delay refuses all requests." in home.text
    monkeypatch.chdir(world.project.root)
    assert f"health    refusing: {words}" in CliRunner().invoke(cli, ["endpoint", "show", "delay"]).output
    world.controller.tick()
    (alert,) = world.open_alerts()
    assert alert.summary.endswith(f"it {words}")
    world.traffic("stable", 500)
    world.controller.tick()
    assert [one for one in world.open_alerts() if one.clean_ms is None] == []
