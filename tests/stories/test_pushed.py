"""A push to a local bare repository: bad data leave production as it is, a good one is live with no other command."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from penstock.base.errors import Conflict
from penstock.cli.main import cli
from penstock.flows.ci import hook
from penstock.flows.ci.hook import receive_push
from penstock.flows.tracked import versioning
from penstock.serving.deployments import get_revision, list_revisions
from penstock.workspace import open_workspace
from projects import Sample, rows
from stories.office import Office


@pytest.fixture
def office(released: Sample, tmp_path: Path) -> Office:
    """The sample, released, with a remote for data and a hook that deploys."""
    return Office.open(released, tmp_path)


def test_numbers_that_were_written_by_hand_reach_no_champion(office: Office) -> None:
    true = json.loads((office.at_work.root / "metrics.json").read_text())
    assert CliRunner().invoke(cli, ["-C", str(office.at_work.root), "pull"]).exit_code == 0
    settings = office.at_work.root / "penstock.yaml"
    settings.write_text(settings.read_text().replace("deploy: rollout", "deploy: promote"))
    office.at_work.write("metrics.json", '{"roc_auc": 0.999}')
    done = CliRunner().invoke(cli, ["-C", str(office.at_work.root), "commit", "-f", "train"])
    assert done.exit_code == 0, done.output
    shown = office.push("Better numbers")
    assert "no recorded run had made what dvc.lock says of train" in shown, shown
    office.accept_and_run()
    version = json.loads(office.penstock("--json", "model", "show", f"late/{office.champion()}"))
    assert version["metrics"]["roc_auc"] == pytest.approx(true["roc_auc"])
    assert version["provenance"]["unseen"] == []


def test_a_push_with_bad_data_changes_nothing_and_a_good_one_is_live(office: Office) -> None:
    office.data(rows(1200, seed=3, wind_unit=40.0))
    shown = office.push("Wind in other units")
    assert "refused: gate: data/train.csv: wind: " in shown, shown
    project = open_workspace(office.home, {"USER": "ada"})
    with project.database.read() as connection:
        assert [one.stable for one in list_revisions(connection, "delay")] == [1]
    first = json.loads(office.penstock("--json", "ci", "log"))
    assert [(one["passed"], one["branch"]) for one in first] == [(False, "main")]
    assert "schema" in [one["kind"] for one in first[0]["checks"] if one["status"] == "fail"]

    office.data(rows(1600, seed=0))
    shown = office.push_by_hook("More flights")
    assert "passed: delay gives late/2 20 % of its traffic" in shown, shown
    with project.database.read() as connection:
        revision = get_revision(connection, "delay")
    assert (revision.stable, revision.canary.version if revision.canary else None, revision.actor) == (
        1,
        2,
        "ci",
    )
    lines = office.penstock("ci", "log").splitlines()
    assert ["passed" in lines[1], "refused" in lines[2]] == [True, True], lines
    assert "wind" in office.penstock("ci", "log", first[0]["commit"][:8])

    settings = office.at_work.root / "penstock.yaml"
    settings.write_text(settings.read_text().replace("deploy: rollout", "deploy: full"))
    shown = office.push("Not on the default branch", branch="trial")
    assert "passed: late/3 registered. More: " in shown, shown
    shown = office.push("For everybody at once")
    assert "not released: ci.deploy was raised: rollout → full; penstock ci accept" in shown, shown
    office.accept_and_run()
    with project.database.read() as connection:
        assert get_revision(connection, "delay").stable == 4

    office.at_work.write("penstock.yaml", "project: [")
    shown = office.push("Break the settings")
    assert "refused: settings: " in shown, shown
    assert "not valid YAML" in office.penstock("ci", "log")
    project.close()


def test_a_hook_that_is_killed_before_it_fetched_the_commit_has_its_report(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_words: object, **_named: object) -> str:
        raise Killed

    project = open_workspace(office.home, {"USER": "ada"})
    head = project.git.resolve("HEAD")
    line = f"{'0' * 40} {head} refs/heads/main"
    receiving = receive_push(
        project, office.home, [line], on_step=lambda step: None, on_begin=lambda branch, commit: None
    )
    monkeypatch.setattr(hook, "run_ci", kill)
    with pytest.raises(Killed):
        list(receiving)
    monkeypatch.undo()
    (told,) = json.loads(office.penstock("--json", "ci", "log"))
    assert (told["commit"], told["branch"], told["passed"]) == (head, "main", False)
    assert "it has not ended" in told["steps"][0]["sentence"]
    project.close()


def test_no_commit_opens_the_door_itself_through_the_hook_or_by_hand(office: Office) -> None:
    settings = office.at_work.root / "penstock.yaml"
    meant = settings.read_text().replace("deploy: rollout", "deploy: promote")
    start, end = meant.index("gates:"), meant.index("endpoints:")
    first = office.at_work.git.head()

    settings.write_text(meant[:start] + "gates: []\n" + meant[end:])
    shown = office.push("Judge by nothing")
    removed = "not released: 3 gates were removed: metric roc_auc, schema data/train.csv, champion roc_auc"
    assert removed in shown, shown
    assert "promote by hand: penstock promote late/" in shown, shown
    assert office.champion() == 1
    assert "release held" in office.penstock("log") or "ci.held" in office.penstock("log")

    settings.write_text(meant.replace("min: 0.6", "min: 0.5"))
    office.data(rows(1600, seed=0))
    shown = office.push("Ask for less, of more flights")
    assert "not released: lets more pass: metric roc_auc (min 0.6 → 0.5); penstock ci accept" in shown, shown
    settings.write_text(settings.read_text() + "trusted_keys: ['ed25519:" + "A" * 43 + "= mallory']\n")
    shown = office.push("Trust one more")
    assert "a key is trusted that was not: ed25519:AAAA" in shown, shown
    assert office.champion() == 1
    office.accept_and_run()
    champion = office.champion()
    assert champion > 1

    def by_hand(revision: str) -> dict[str, Any]:
        office.hook_git("fetch", "--quiet", str(office.bare), "main", "trial")
        done = CliRunner().invoke(
            cli, ["-C", str(office.home), "--json", "ci", "run", "--rev", revision, "--deploy"]
        )
        assert done.exit_code == 6, done.output
        report: dict[str, Any] = json.loads(done.stdout)
        assert (report["passed"], report["steps"][-1]["status"]) == (True, "skipped")
        return report

    head = office.at_work.git.head()
    office.data(rows(1400, seed=0))
    office.push("A trial", branch="trial")
    trial = office.at_work.git.head() or ""
    assert by_hand(trial)["held"] == f"commit {trial[:10]} is not on the default branch main"
    assert "is older than" in by_hand(f"{head}~1")["held"]  # accepted or not
    office.at_work.git.run("push", "--quiet", "--force", "origin", f"{first}:refs/heads/main")  # by the hook
    held = json.loads(office.penstock("--json", "ci", "log"))[0]
    assert (held["commit"], "is older than" in held["held"]) == (first, True), held
    assert office.champion() == champion


def test_who_pushes_before_the_data_is_told_how_to_validate_the_same_commit_again(office: Office) -> None:
    settings = office.at_work.root / "penstock.yaml"
    settings.write_text(settings.read_text().replace("deploy: rollout", "deploy: promote"))
    office.at_work.write("data/raw.csv", rows(1600, seed=0))
    office.at_work.add("data/raw.csv")
    shown = office.push("Data stay here", with_data=False)
    commit = (office.at_work.git.head() or "")[:10]
    for words in (
        "data/raw.csv is neither in the cache nor on the remote",
        "next: penstock push data/raw.csv, where it was added",
        "git commit --allow-empty and git push validate it again",
        f"penstock ci run --rev {commit} --deploy",
    ):
        assert words in shown, shown
    versioning.push(office.at_work.project.data)
    office.penstock("ci", "run", "--rev", commit, "--deploy")
    assert office.champion() == 2


def test_a_hook_of_somebody_else_stays_and_ours_is_written_again(office: Office) -> None:
    hook = office.bare / "hooks/post-receive"
    assert os.access(hook, os.X_OK)
    office.penstock("ci", "init", "hook", str(office.bare))
    hook.write_text("#!/bin/sh\necho mine\n")
    refused = CliRunner().invoke(cli, ["-C", str(office.home), "ci", "init", "hook"])
    assert isinstance(refused.exception, Conflict)
    office.penstock("ci", "init", "hook", "--force")
    assert "ci receive" in hook.read_text()
    for place, said in (
        (office.at_work.root, "is not a bare repository"),
        (Path("/nowhere"), "there is no repository"),
    ):
        wrong = CliRunner().invoke(cli, ["-C", str(office.home), "ci", "init", "hook", str(place)])
        assert said in str(wrong.exception)
