"""One truth about what watches an endpoint: the store's; the file is where it is written."""

from __future__ import annotations

import html
import re
import sqlite3

import numpy as np
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from flows.production.endpoints import Looking, World
from penstock.base.errors import Invalid, NotFound, Unavailable
from penstock.base.store import connection as connection_module
from penstock.flows.production import policing
from penstock.flows.production.checking import check_guardrails
from penstock.flows.production.controlling.responding import Controller
from penstock.flows.production.overview import overview, view_endpoint
from penstock.flows.production.policing import FileFollower, apply_policies, compare_file, plan_policies
from penstock.flows.setup.checking import check_project
from penstock.http.app import build_server_app
from penstock.monitoring.policies import Policy, find_policy, list_policies, policies
from penstock.monitoring.profile import Profile
from penstock.project.project import Project
from penstock.project.settings import load_project_settings
from penstock.registry.versions import get_version
from servers.forking import run_penstock

FILE = """\
project: world
endpoints:
  delay:
    model: m@champion
    rollout: {min_requests: 55, hold_s: 0}
    monitor: {window_s: 1, flush_s: 0.2}
    guardrails:
      - errors: {max_ratio: 0.02}
"""


def held(world: World) -> Policy | None:
    with world.project.database.read() as connection:
        return find_policy(connection, "delay")


def write(world: World, text: str) -> None:
    (world.root / "penstock.yaml").write_text(text)
    world.project.go_by(load_project_settings(world.root))


def test_a_changed_file_is_applied_by_the_running_controller_and_an_event_says_what_changed(
    world: World,
) -> None:
    """`min_requests: 500` written while `up` runs: the next look goes by it, and so does every reader."""
    (world.root / "penstock.yaml").write_text(FILE)
    world.deploy(1)
    world.controller.tick()
    first = held(world)
    assert first is not None
    assert (first.number, first.settings.rollout.min_requests) == (1, 55)
    (world.root / "penstock.yaml").write_text(FILE.replace("55", "500"))
    world.controller.tick()
    world.controller.tick()
    second = held(world)
    assert second is not None
    assert (second.number, second.settings.rollout.min_requests) == (2, 500)
    said = [one.summary for one in world.events("policy.applied")]
    assert said[1:] == ["policy 2 of delay holds now: rollout.min_requests 55 → 500"]


def test_a_wrong_file_keeps_the_policy_that_holds_and_says_once_where_it_is_wrong(world: World) -> None:
    world.version(4, profile=Profile.of({"hour": np.arange(9.0)}))
    (world.root / "penstock.yaml").write_text(FILE)
    world.deploy(4)
    world.controller.tick()
    for wrong, words in (
        (FILE.replace("max_ratio", "max_rati"), "penstock.yaml:8: unknown key `max_rati`"),
        (FILE + "      - drift: {features: [nosuch], psi_max: 0.2}\n", "penstock.yaml:9: a drift guardrail names 'nosuch'"),
        (FILE + "      - quality: {metric: f7, max_drop: 0.2}\n", "penstock.yaml:9: metric must be one of"),
    ):  # fmt: skip
        (world.root / "penstock.yaml").write_text(wrong)
        world.controller.tick()
        world.controller.tick()
        assert words in world.controller.problems["penstock.yaml"]
        assert words in world.events("policy.refused")[-1].summary
    assert len(world.events("policy.refused")) == 3
    now = held(world)
    assert now is not None
    assert now.number == 1
    (world.root / "penstock.yaml").write_text(FILE)
    world.controller.tick()
    assert world.controller.problems == {}
    (world.root / "penstock.yaml").unlink()
    world.controller.tick()
    world.controller.tick()
    assert "cannot be read any more" in world.controller.problems["penstock.yaml"]
    assert len(world.events("policy.refused")) == 4
    (world.root / "penstock.yaml").write_text(FILE)
    world.controller.tick()
    assert world.controller.problems == {}


def test_policies_are_numbered_and_never_changed_and_the_same_one_is_not_written_again(world: World) -> None:
    world.deploy(1)
    write(world, FILE)
    assert [one.number for one in apply_policies(world.project, plan_policies(world.project))] == [1]
    assert apply_policies(world.project, plan_policies(world.project)) == []
    assert compare_file(world.project) == {}
    write(world, FILE.replace("0.02", "0.03"))
    assert compare_file(world.project).keys() == {"delay"}
    (change,) = plan_policies(world.project, "delay")
    assert change.changes == ("guardrails.0.errors.max_ratio 0.02 → 0.03",)
    apply_policies(world.project, [change])
    with world.project.database.read() as connection:
        rows = connection.execute(policies.select().order_by(policies.c.number)).all()
        assert [row.body["endpoint"]["guardrails"][0]["errors"]["max_ratio"] for row in rows] == [0.02, 0.03]
        assert list_policies(connection).readable["delay"].number == 2


def test_an_endpoint_that_is_not_deployed_or_not_written_of_has_no_policy_to_apply(world: World) -> None:
    write(world, FILE)
    with pytest.raises(NotFound, match="there is no deployed endpoint"):
        plan_policies(world.project, "delay")
    world.deploy(1)
    write(world, "project: world\n")
    with pytest.raises(NotFound, match="says nothing of"):
        plan_policies(world.project, "delay")
    assert plan_policies(world.project) == []


def test_before_a_deployment_it_is_said_what_will_not_be_judged(world: World) -> None:
    write(
        world,
        FILE.replace("hold_s: 0", "hold_s: 0, unjudged: hold")
        + "      - drift: {psi_max: 0.2}\n      - quality: {metric: roc_auc, max_drop: 0.1}\n",
    )
    settings = world.project.settings.endpoints["delay"]
    with world.project.database.read() as connection:
        version = get_version(connection, "m", 1)
    outputs = frozenset({"prediction"})
    warned = check_guardrails(world.project, "delay", settings, version, outputs, is_canary=True)
    assert [one.partition(": ")[2] for one in warned[:2]] == [
        "the version was registered without a reference profile",
        "the model has no output `probability`, which roc_auc needs",
    ]
    assert "will not advance" in warned[2]
    assert "nothing guards other" in check_guardrails(world.project, "other", None, version)[0]


def test_a_redacted_name_that_is_no_input_is_told_in_the_right_words_and_holds_no_canary(
    world: World,
) -> None:
    """A table may well have the column: what a version knows are the inputs of its model."""
    world.version(4, profile=Profile.of({"hour": np.arange(9.0)}))
    text = FILE.replace("monitor: {", "monitor: {payloads: {redact: [customer id]}, ", 1)
    assert text != FILE
    write(world, text)
    settings = world.project.settings.endpoints["delay"]
    with world.project.database.read() as connection:
        version = get_version(connection, "m", 4)
    told = check_guardrails(world.project, "delay", settings, version, is_canary=True)
    (said,) = [one for one in told if "customer id" in one]
    assert said.startswith("payloads redact 'customer id', which is none of the inputs and outputs of m/4")
    assert not any("will not advance" in one for one in told)


def test_a_feature_that_does_not_exist_is_an_error_where_it_is_written(world: World) -> None:
    world.version(4, profile=Profile.of({"hour": np.arange(9.0)}))
    write(world, FILE + "      - drift: {features: [nosuch], psi_max: 0.2}\n")
    world.deploy(4)
    with pytest.raises(Invalid) as caught:
        plan_policies(world.project)
    assert (caught.value.code, caught.value.fields["line"]) == ("settings.feature_unknown", 9)
    assert caught.value.hint == "known features: hour"


def test_what_names_no_input_or_no_metric_of_the_model_is_told_before_it_is_watched(world: World) -> None:
    world.version(4, profile=Profile.of({"hour": np.arange(9.0)}), rmse=3.0)
    write(
        world,
        FILE.replace("monitor: {", "monitor: {slices: [{feature: carier}], ", 1)
        + "      - freshness: {column: made, max_age_s: 60}\n      - quality: {metric: roc_auc, max_drop: 0.1}\n",
    )
    settings = world.project.settings.endpoints["delay"]
    assert settings.monitor.slices
    with world.project.database.read() as connection:
        version = get_version(connection, "m", 4)
    said = " ".join(check_guardrails(world.project, "delay", settings, version))
    for words in ("no feature 'made'", "monitor.slices: the reference profile has no feature 'carier'"):
        assert words in said
    assert "roc_auc is a metric of classes, and the model answers numbers: its metrics are rmse" in said


def test_a_rule_on_a_version_that_is_not_registered_is_told_where_the_file_is_taken_over(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    rule = "    traffic: {rules: [{parameter: country, equals: DE, version: VERSION}]}\n"
    world.deploy(1)
    write(world, FILE + rule.replace("VERSION", "2"))
    assert not any("traffic.rules" in one for one in plan_policies(world.project, "delay")[0].warnings)
    write(world, FILE + rule.replace("VERSION", "9"))
    (change,) = plan_policies(world.project, "delay")
    (told,) = [one for one in change.warnings if "traffic.rules" in one]
    assert told.startswith("traffic.rules name m/9, and its requests go by shares without it: there is no")
    follower = FileFollower(world.project)
    for _ in range(2):
        follower.follow()
    assert [one.getMessage() for one in caplog.records].count(f"endpoint delay: {told}") == 1
    assert held(world) is not None, "it is a warning"


def test_an_endpoint_that_the_file_does_not_name_any_more_is_told_everywhere(world: World) -> None:
    (world.root / "penstock.yaml").write_text(FILE)
    world.deploy(1)
    world.controller.tick()
    assert compare_file(world.project) == {}
    (world.root / "penstock.yaml").write_text(FILE.replace("  delay:", "  late:"))
    world.controller.tick()
    words = (
        "penstock.yaml does not name it, and policy 1 goes on watching it: it is changed only where the file names it "
        "under `endpoints:`; late of the file is not deployed: penstock deploy"
    )
    assert [one.summary for one in world.events("policy.kept")] == [f"delay: {words}"]
    for command in (
        ("endpoint", "list"), ("endpoint", "show", "delay"), ("endpoint", "apply"), ("monitor", "status"),
    ):  # fmt: skip
        done = run_penstock(world.root, *command)
        assert done.returncode == 0, done.stderr
        assert words in done.stdout + done.stderr, command
    world.project.go_by(load_project_settings(world.root))
    client = TestClient(build_server_app(world.project, Looking(world)))
    for page in ("/", "/endpoints/delay"):
        shown = re.sub(r"<[^>]*>", "", html.unescape(client.get(page).text))
        assert words in shown, page
    checks = [one for one in check_project(world.project, {}) if one.part == "endpoints"]
    assert f"delay: {words}" in [one.sentence for one in checks]
    (world.root / "penstock.yaml").unlink()
    assert compare_file(world.project) == {}


def test_a_server_that_waits_for_the_lease_goes_by_the_file_and_one_damaged_policy_hides_no_note(
    world: World,
) -> None:
    (world.root / "penstock.yaml").write_text(FILE)
    world.deploy(1)
    world.deploy(1, endpoint="other")
    world.controller.tick()
    waiting = Project(world.project.places, load_project_settings(world.root), "controller")
    controller = Controller(waiting)
    assert controller.tick() == 0
    (world.root / "penstock.yaml").write_text(FILE.replace("55", "56").replace("  delay:", "  late:"))
    world.controller.tick()
    assert controller.tick() == 0
    (note,) = view_endpoint(waiting, "delay").notes
    assert "penstock.yaml does not name it" in note
    world.policy(endpoint="other")
    with world.project.database.write() as connection:
        connection.execute(
            policies.update().where(policies.c.endpoint == "other").values(body={"endpoint": 1})
        )
    assert {one.name: bool(one.notes) for one in overview(waiting)} == {"delay": True, "other": False}
    waiting.close()


def test_what_the_store_would_not_take_of_it_is_told_at_the_next_look(world: World) -> None:
    write(world, FILE)
    world.deploy(1)
    follower = FileFollower(world.project)
    follower.follow()
    (world.root / "penstock.yaml").write_text(FILE.replace("  delay:", "  late:"))
    with world.project.database.write() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER away BEFORE INSERT ON events WHEN NEW.kind = 'policy.kept' "
            "BEGIN SELECT RAISE(ABORT, 'away'); END"
        )
    with pytest.raises(sa.exc.IntegrityError, match="away"):
        follower.follow()
    with world.project.database.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER away")
    for _ in range(2):
        follower.follow()
    assert len(world.events("policy.kept")) == 1


def test_a_store_that_is_locked_while_the_file_changes_takes_it_when_it_is_free(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "BUSY_TIMEOUT_S", 0.01)
    write(world, FILE)
    world.deploy(1)
    project = Project(world.project.places, load_project_settings(world.root), "controller")
    follower = FileFollower(project)
    follower.follow()
    (world.root / "penstock.yaml").write_text(FILE.replace("55", "500"))
    other = sqlite3.connect(world.root / ".penstock" / "penstock.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for _ in range(2):
        with pytest.raises(Unavailable):
            follower.follow()
    other.execute("COMMIT")
    other.close()
    follower.follow()
    assert (policy := held(world)) is not None
    assert policy.settings.rollout.min_requests == 500
    assert (follower.problem, world.events("policy.refused")) == ("", [])
    project.close()


def test_that_a_file_is_wrong_is_told_when_the_store_takes_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "BUSY_TIMEOUT_S", 0.01)
    write(world, FILE)
    world.deploy(1)
    project = Project(world.project.places, load_project_settings(world.root), "controller")
    follower = FileFollower(project)
    follower.follow()
    (world.root / "penstock.yaml").write_text(FILE.replace("max_ratio", "max_rate"))
    other = sqlite3.connect(world.root / ".penstock" / "penstock.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable):
        follower.follow()
    other.execute("COMMIT")
    other.close()
    for _ in range(2):
        follower.follow()
    assert "max_rate" in follower.problem
    assert len(world.events("policy.refused")) == 1
    project.close()


def test_artifacts_that_are_away_are_told_and_the_file_is_compared_with_them_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> tuple[str, ...]:
        raise Unavailable("the artifacts are away", code="storage.unavailable")

    monkeypatch.setattr(policing, "AWAY_S", 0.0)
    write(world, FILE)
    world.deploy(1)
    follower = FileFollower(world.project)
    with monkeypatch.context() as broken:
        broken.setattr(policing, "check_guardrails", away)
        for _ in range(2):
            follower.follow()
    assert (follower.problem, len(world.events("policy.refused"))) == ("the artifacts are away", 1)
    follower.follow()
    assert (follower.problem, held(world) is not None) == ("", True)
