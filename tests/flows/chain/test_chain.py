"""From a commit to a prediction and back: register, gate, promote, deploy, why, restore."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest

from penstock.base.errors import Conflict, Invalid, NotFound, Refused
from penstock.base.store.events import list_events
from penstock.flows.chain.graph import build_graph
from penstock.flows.chain.lineage import explain
from penstock.flows.chain.restoring import restore
from penstock.flows.ci import continuous
from penstock.flows.ci.continuous import run_ci
from penstock.flows.models.aliases import apply_promotion, delete_alias, plan_promotion
from penstock.flows.models.folders import fetch_model
from penstock.flows.models.judging import run_gate
from penstock.flows.models.registering import register_model
from penstock.flows.pipelines.execution import reproduce_and_record
from penstock.flows.pipelines.recording import PROCESS_TAG
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.flows.production.traffic.rolling_back import plan_rollback
from penstock.http.pages.telling.chains import sentence_of
from penstock.monitoring.profile import Profile
from penstock.monitoring.rowwise.learned import rows_of
from penstock.project.ci_reports import load_report
from penstock.registry.versions import get_version
from penstock.serving.deployments import get_revision
from penstock.serving.predictions.ids import PredictionId
from penstock.tracking.entities import Run
from penstock.tracking.run_names import new_run_id
from penstock.tracking.runs import create_run, get_run
from penstock.workspace import open_workspace
from projects import Sample, rows
from tables import table


def train(sample: Sample) -> str:
    reproduce_and_record(sample.project)
    return sample.commit("Train")


def deploy(sample: Sample) -> None:
    apply_deployment(sample.project, plan_deployment(sample.project, "delay", "late@champion"))


def test_a_version_carries_its_whole_provenance(trained: Sample) -> None:
    commit = trained.git.resolve("HEAD")
    version, is_new = register_model(trained.project)
    assert is_new
    origin = version.provenance
    assert (origin.commit, origin.dirty_digest) == (commit, None)
    assert set(origin.data) == {"data/raw.csv"}
    assert origin.run_id is not None
    assert origin.environment["polars"]
    assert version.profile_digest is not None
    profile = trained.project.artifacts.load(version.profile_digest, Profile.from_bytes)
    kept = rows_of(profile)
    assert kept is not None and set(kept.column_names) == set(profile.column_names)
    assert register_model(trained.project) == (version, False)


def test_rows_of_the_reference_are_kept_without_what_an_endpoint_redacts(trained: Sample) -> None:
    path = trained.root / "penstock.yaml"
    text = path.read_text().replace("monitor: {", "monitor: {payloads: {redact: [carrier]}, ")
    for changed, columns in (
        (text, {"hour", "wind"}),
        (text.replace("  name: late\n", "  name: late\n  reference_rows: 0\n"), None),
    ):
        assert path.read_text() != changed
        path.write_text(changed)
        trained.commit("Change what is kept")
        version, _ = register_model(open_workspace(trained.root, {"USER": "ada"}))
        assert version.profile_digest is not None
        profile = trained.project.artifacts.load(version.profile_digest, Profile.from_bytes)
        kept = rows_of(profile)
        assert "carrier" in profile.column_names
        assert (None if kept is None else set(kept.column_names)) == columns
        assert ("outliers" in profile.learned) == (columns is not None)


def test_a_model_changed_by_hand_is_not_registered(trained: Sample) -> None:
    (trained.root / "models/late/extra").write_text("x")
    with pytest.raises(Invalid, match="is not what stage `train` made"):
        register_model(trained.project)


def test_a_model_at_another_path_gets_neither_metrics_nor_reference_of_the_pipeline(trained: Sample) -> None:
    own, _ = register_model(trained.project, path="models/late")
    shutil.copytree(trained.root / "models/late", trained.root / "foreign")
    (trained.root / "foreign/notes.txt").write_text("from elsewhere")
    foreign, _ = register_model(trained.project, "elsewhere", "foreign")
    assert own.metrics and own.profile_digest is not None
    assert (foreign.path, foreign.metrics, foreign.profile_digest) == ("foreign", {}, None)


def test_the_reference_is_put_in_order_of_its_time_column(trained: Sample) -> None:
    settings = (trained.root / "penstock.yaml").read_text()
    trained.write("penstock.yaml", settings.replace("model:\n", "model:\n  time: nosuch\n", 1))
    with pytest.raises(Invalid, match="has no column 'nosuch'"):
        register_model(open_workspace(trained.root, {}))


def test_no_alias_without_a_passing_verdict_for_exactly_this_model(trained: Sample) -> None:
    register_model(trained.project)
    with pytest.raises(Refused, match="no gate has judged"):
        plan_promotion(trained.project, "late/1")
    assert run_gate(trained.project).passed
    plan = plan_promotion(trained.project, "late/1")
    settings = (trained.root / "penstock.yaml").read_text()
    trained.write("penstock.yaml", settings.replace("min: 0.6", "min: 0.61"))
    with pytest.raises(Refused, match="the gates changed"):
        plan_promotion(open_workspace(trained.root, {}), "late/1")
    apply_promotion(trained.project, plan)
    with pytest.raises(Conflict):
        apply_promotion(trained.project, plan)
    with pytest.raises(Refused, match="protected"):
        delete_alias(trained.project, "late", "champion")


def test_a_gate_that_refuses_says_why_in_the_promotion_too(sample: Sample) -> None:
    settings = (sample.root / "penstock.yaml").read_text()
    sample.write("penstock.yaml", settings.replace("min: 0.6", "min: 0.999"))
    project = open_workspace(sample.root, {})
    reproduce_and_record(project)
    register_model(project)
    assert not run_gate(project).passed
    with pytest.raises(Refused, match=r"its gate refused it: roc_auc is 0\.\d+, must be at least 0\.999"):
        plan_promotion(project, "late/1")
    with pytest.raises(Refused, match="late/1 cannot be deployed: its gate refused it"):
        plan_deployment(project, "delay", "late/1")


def test_deployments_are_planned_on_what_was_seen(released: Sample) -> None:
    deploy(released)
    plan = plan_deployment(released.project, "delay", "late/1")
    apply_deployment(released.project, plan)
    with pytest.raises(Conflict, match="is at revision 2"):
        apply_deployment(released.project, plan)
    with pytest.raises(Refused, match="never served another version"):
        plan_rollback(released.project, "delay")
    back = apply_deployment(released.project, plan_rollback(released.project, "delay", to=1))
    assert (back.number, back.stable, back.previous) == (3, 1, 2)
    with pytest.raises(NotFound, match="no revision 9"):
        plan_rollback(released.project, "delay", to=9)


def test_a_damaged_artifact_is_never_deployed(released: Sample) -> None:
    deploy(released)
    with released.project.database.read() as connection:
        version = get_version(connection, "late", 1)
    file = next(one for one in version.manifest.files if one.path == "model.skops")
    stored = released.root / ".penstock/artifacts/objects" / file.sha256[:2] / file.sha256[2:]
    stored.chmod(0o644)
    stored.write_bytes(b"x" * file.size)
    local = fetch_model(released.project, version)
    (local / "model.skops").write_bytes(b"damaged")
    with pytest.raises(Refused, match="does not match its digest"):
        plan_deployment(released.project, "delay", "late/1")


def test_the_chain_is_walked_both_ways(released: Sample) -> None:
    deploy(released)
    back = {link.kind for link in explain(released.project, "delay").links}
    assert {"deployment", "model version", "verdict", "run", "parameters", "commit", "data"} <= back
    forward = [link.kind for link in explain(released.project, "data/raw.csv").links]
    assert forward == ["data", "model version", "deployment"]
    commit = released.git.resolve("HEAD~1")
    assert [link.kind for link in explain(released.project, commit[:9]).links] == [
        "commit",
        "change",
        "run",
        "model version",
        "deployment",
        "verdict",
        "none",
    ]
    for subject in ("late/1", "late@champion"):
        assert explain(released.project, subject).version == "late/1"
    assert explain(released.project, "delay#1").kind == "deployment"
    for subject in ("nonsense", "delay#9", "delay#x"):
        with pytest.raises(NotFound, match="nothing is called"):
            explain(released.project, subject)


def test_what_is_explained_is_the_verdict_that_a_revision_went_out_on(released: Sample) -> None:
    deploy(released)
    with released.project.database.read() as connection:
        revision = get_revision(connection, "delay")

    def verdict_of(subject: str) -> str:
        return next(link.key for link in explain(released.project, subject).links if link.kind == "verdict")

    first = verdict_of("delay")
    assert run_gate(released.project).id != first
    assert (verdict_of("delay"), verdict_of("late/1")) == (first, first)
    never = PredictionId(revision.created_ms, revision.endpoint_id, revision.number, "stable", 1, 7).encode()
    found = explain(released.project, never)
    assert found.links[0].text.startswith("no record of it is kept"), found.links[0].text
    graph = build_graph(released.project, found)
    assert sentence_of(found, graph).startswith("No record of it is kept; its id alone names late/1")
    assert verdict_of(never) == first


def test_an_earlier_state_is_restored_and_has_nothing_to_reproduce(released: Sample, tmp_path: Path) -> None:
    deploy(released)
    old_data = (released.root / "data/raw.csv").read_text()
    released.write("data/raw.csv", rows(1200, seed=9))
    released.add("data/raw.csv")
    train(released)
    done = restore(released.project, "late/1", tmp_path / "back")
    assert (tmp_path / "back/data/raw.csv").read_text() == old_data
    again = open_workspace(done.root, {})
    assert reproduce_and_record(again).is_up_to_date
    with pytest.raises(Conflict, match="not empty"):
        restore(released.project, "late/1", tmp_path / "back")
    assert (tmp_path / "back/data/raw.csv").exists()


def test_uncommitted_code_is_restored_too(sample: Sample, tmp_path: Path) -> None:
    sample.write("params.yaml", "features: [hour, wind, carrier]\nstrength: 2.0\n")
    (sample.root / "notes ü.txt").write_text("new, not committed")
    reproduce_and_record(sample.project)
    version, _ = register_model(sample.project)
    assert version.provenance.dirty_digest is not None
    sample.git.run("checkout", "--quiet", "--", "params.yaml")
    restore(sample.project, "late/1", tmp_path / "back")
    assert "strength: 2.0" in (tmp_path / "back/params.yaml").read_text()
    assert (tmp_path / "back/notes ü.txt").read_text() == "new, not committed"


def test_ci_validates_a_commit_without_touching_the_tree(sample: Sample) -> None:
    (sample.root / "params.yaml").write_text("features: [nonsense]\n")
    before = sample.git.run("status", "--porcelain")
    report = run_ci(sample.project, "HEAD")
    assert report.passed, report.steps
    assert [step.status for step in report.steps] == ["passed"] * 5
    assert report.version == "late/1"
    assert sample.git.run("status", "--porcelain") == before
    assert sample.git.run("worktree", "list").count("\n") == 0
    assert load_report(sample.project) == report
    assert run_ci(sample.project, "HEAD").version == "late/1"


def test_what_ci_made_counts_as_clean_and_is_restored_with_its_metrics(
    sample: Sample, tmp_path: Path
) -> None:
    (sample.root / "metrics.json").write_text('{"roc_auc": 0.5}')
    (sample.root / "models").mkdir()
    (sample.root / "models/.gitignore").write_text("/late\n")
    (sample.root / "data/.gitignore").write_text("/raw.csv\n/test.csv\n/train.csv\n")
    sample.commit("Keep old metrics")
    report = run_ci(sample.project)
    with sample.project.database.read() as connection:
        version = get_version(connection, "late", 1)
    assert version.provenance.dirty_digest is None
    done = restore(sample.project, "late/1", tmp_path / "x" / ".." / "back")
    assert done.root == tmp_path / "back"
    assert json.loads((done.root / "metrics.json").read_text())["roc_auc"] == report.metrics["roc_auc"]
    assert reproduce_and_record(open_workspace(done.root, {})).is_up_to_date


@table("name", ["", "a/b", "<b>", "-x", "a b", "é", "x" * 129])
def test_an_endpoint_name_that_cannot_be_addressed_is_refused(sample: Sample, name: str) -> None:
    with pytest.raises(Invalid, match="cannot be an endpoint's name"):
        plan_deployment(sample.project, name, "late/1")


def test_ci_refuses_a_broken_delivery_and_registers_nothing(sample: Sample) -> None:
    sample.write("data/raw.csv", rows(1200, wind_unit=20.0))
    sample.add("data/raw.csv")
    sample.commit("Deliver wind in another unit")
    report = run_ci(sample.project, "HEAD")
    assert not report.passed
    assert report.version is None
    failed = [check for check in report.checks if check.status != "pass"]
    assert [check.kind for check in failed] == ["schema"]
    assert "wind" in failed[0].sentence
    assert [step.status for step in report.steps] == ["passed", "passed", "passed", "failed", "skipped"]


def test_ci_stops_at_failing_tests_and_keeps_their_output(sample: Sample) -> None:
    settings = (sample.root / "penstock.yaml").read_text()
    sample.write("penstock.yaml", settings.replace('tests: "true"', "tests: echo it is broken; exit 3"))
    sample.commit("Break the tests")
    report = run_ci(sample.project, "HEAD")
    assert [step.status for step in report.steps] == ["passed", "failed", "skipped", "skipped", "skipped"]
    assert report.steps[1].details == ("it is broken", "next: run the tests where you are")


def test_a_run_that_a_check_ends_has_not_passed(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(_tree: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(continuous, "_run_tests", end)
    with pytest.raises(KeyboardInterrupt):
        run_ci(sample.project, "HEAD")
    report = load_report(sample.project)
    assert (report.passed, report.steps[0].status) == (False, "failed")
    assert "it has not ended" in report.steps[0].sentence
    assert report.commit == sample.git.run("rev-parse", "HEAD").strip()


def test_every_decision_left_an_event_with_its_evidence(released: Sample) -> None:
    deploy(released)
    with released.project.database.read() as connection:
        events = list_events(connection)
    assert [event.kind for event in events] == [
        "gate.passed",
        "model.registered",
        "model.promoted",
        "policy.applied",
        "endpoint.deployed",
    ]
    assert events[2].cause["verdict"]
    assert {event.actor for event in events} == {"person:ada"}
    json.dumps([event.cause for event in events])


@table("name", ["metrics.json", "data/test.csv", "data/train.csv"])
def test_a_gate_judges_only_what_the_pipeline_made(trained: Sample, name: str) -> None:
    before = (trained.root / name).read_text()
    trained.write(name, '{"roc_auc": 0.999}')
    with pytest.raises(Invalid, match=f"{name} is not what stage"):
        run_gate(trained.project)
    trained.write(name, before)


def test_nothing_is_deployed_under_gates_that_changed(released: Sample) -> None:
    deploy(released)
    settings = (released.root / "penstock.yaml").read_text()
    released.write("penstock.yaml", settings.replace("min: 0.6", "min: 0.61"))
    with pytest.raises(Refused, match="the gates changed since it was judged"):
        plan_deployment(open_workspace(released.root, {}), "delay", "late/1")


def test_the_commit_of_a_version_leads_to_it(released: Sample) -> None:
    deploy(released)
    found = explain(released.project, released.git.resolve("HEAD"))
    assert found.version == "late/1"
    assert "deployment" in [link.kind for link in found.links]


def test_a_run_whose_process_is_gone_counts_as_killed(sample: Sample) -> None:
    run = Run(
        id=new_run_id(),
        experiment="e",
        name="n",
        status="RUNNING",
        start_ms=0,
        tags={PROCESS_TAG: f"{socket.gethostname()}:999999999"},
    )
    with sample.project.database.write() as connection:
        create_run(connection, run)
    reproduce_and_record(sample.project)
    with sample.project.database.read() as connection:
        assert get_run(connection, run.id).status == "KILLED"
