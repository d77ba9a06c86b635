"""Who may edit penstock.yaml cannot lift a refusal by it: taking the gates away, or another name, opens no door."""

from __future__ import annotations

import json

from click.testing import CliRunner, Result

from attacks.test_forged_verdicts import doors
from penstock.base.errors import Refused
from penstock.cli.main import cli
from penstock.flows.models.aliases import plan_promotion
from penstock.flows.models.registering import register_model
from penstock.flows.production.deploying import plan_deployment
from penstock.project.project import Project
from penstock.workspace import open_workspace
from projects import PENSTOCK_YAML, Sample

_BEGIN, _END = PENSTOCK_YAML.index("gates:"), PENSTOCK_YAML.index("endpoints:")


def with_gates(gates: str) -> str:
    """Return the settings of the sample with other gates."""
    return PENSTOCK_YAML[:_BEGIN] + gates + PENSTOCK_YAML[_END:]


STRICT = with_gates("gates: [{metric: {name: roc_auc, min: 0.999}}]\n")
NONE = with_gates("")


def refuse(sample: Sample) -> None:
    """Judge `late/1` under gates that it does not pass."""
    sample.write("penstock.yaml", STRICT)
    assert penstock(sample, "gate", "run", "late/1").exit_code == 1


def penstock(sample: Sample, *words: str) -> Result:
    return CliRunner().invoke(cli, ["-C", str(sample.root), *words])


def said(project: Project) -> dict[str, str]:
    """Return what each door answers; `open` where it lets `late/1` through."""
    answers = {}
    for name, door in doors(project).items():
        try:
            door()
        except Refused as error:
            answers[name] = error.message
        else:
            answers[name] = "open"
    return answers


def test_gates_that_are_taken_away_lift_no_refusal_at_any_door(released: Sample) -> None:
    refuse(released)
    for settings in (NONE, with_gates("gates: []\n"), None):
        if settings is None:
            (released.root / "penstock.yaml").unlink()
        else:
            released.write("penstock.yaml", settings)
            assert penstock(released, "gate", "run", "late/1").exit_code == 0, (
                "judging by nothing lifts nothing"
            )
        project = open_workspace(released.root)
        for door, answer in said(project).items():
            assert "its gate refused it: roc_auc is" in answer, (door, settings)
        project.close()


def test_another_name_without_gates_lifts_no_refusal_of_the_same_files(released: Sample) -> None:
    refuse(released)
    sneaky = "models: [{name: sneaky, path: models/late, gates: []}]\n"
    released.write("penstock.yaml", STRICT.replace("endpoints:", f"{sneaky}endpoints:"))
    project = open_workspace(released.root)
    version, _ = register_model(project, "sneaky", "models/late")
    for door in (
        lambda: plan_promotion(project, version.ref),
        lambda: plan_deployment(project, "delay", version.ref),
    ):
        try:
            door()
        except Refused as error:
            assert "the same files were refused as late: roc_auc is" in error.message
        else:
            raise AssertionError("a door is open")
    project.close()


def test_a_person_answers_for_a_refused_version_once_for_all_doors(released: Sample) -> None:
    refuse(released)
    released.write("penstock.yaml", NONE)
    ran = penstock(released, "promote", "late/1", "--force", "--reason", "the table was wrong")
    assert ran.exit_code == 0, ran.output
    assert "its gate refused it: roc_auc is" in ran.output
    assert "judged by no gate" not in ran.output
    (event,) = json.loads(penstock(released, "log", "--kind", "model.cleared", "--json").output)
    assert event["summary"] == "late/1 may go out though its gate refused it: the table was wrong"
    project = open_workspace(released.root)
    assert set(said(project).values()) == {"open"}
    project.close()
    refuse(released)
    released.write("penstock.yaml", NONE)
    project = open_workspace(released.root)
    assert "open" not in said(project).values(), "a later refusal asks for an answer of its own"
    project.close()


def test_force_opens_nothing_where_gates_are_set(released: Sample) -> None:
    refuse(released)
    ran = penstock(released, "promote", "late/1", "--force", "--reason", "please")
    assert "its gate refused it" in str(ran.exception)


def test_what_passed_gates_that_were_taken_away_is_not_called_unjudged(released: Sample) -> None:
    released.write("penstock.yaml", NONE)
    project = open_workspace(released.root)
    (warning,) = plan_promotion(project, "late/1").warnings
    assert warning == "late/1: no gates are set for it now; it passed those that were: 3 of 3 checks passed"
    project.close()
