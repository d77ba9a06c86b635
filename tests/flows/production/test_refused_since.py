"""What a command says of a version whose gates changed, or refused it, after it went out."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from penstock.base.errors import Refused
from penstock.cli.main import cli
from penstock.flows.chain.lineage import explain
from penstock.flows.models.judging import run_gate_on
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.flows.production.traffic.rolling_back import plan_rollback
from penstock.project.project import Project
from penstock.workspace import open_workspace
from projects import Sample
from serving.fixtures import released_root, two_versions_root

__all__ = ["released_root", "two_versions_root"]


@pytest.fixture
def project(two_versions_root: Path, tmp_path: Path) -> Project:
    """`delay` serves `late/2`, before `late/1`; the gates ask for more since."""
    sample = Sample.copy(two_versions_root, tmp_path / "project")
    for ref in ("late/1", "late/2"):
        apply_deployment(sample.project, plan_deployment(sample.project, "delay", ref))
    sample.close()
    settings = (sample.root / "penstock.yaml").read_text()
    assert "min: 0.6}" in settings
    sample.write("penstock.yaml", settings.replace("min: 0.6}", "min: 0.999}"))
    return open_workspace(sample.root, {"USER": "ada"})


def test_a_refused_deployment_says_that_its_shadows_were_left_alone(project: Project) -> None:
    for flags, alone in ((["--shadow", "late/1"], "--shadow late/1"), (["--no-shadow"], "--no-shadow")):
        command = ["deploy", "delay", "--model", "late/2", *flags, "--force", "--reason", "now"]
        error = CliRunner().invoke(cli, ["-C", str(project.root), *command]).exception
        assert isinstance(error, Refused)
        assert error.message == (
            "late/2 cannot be deployed: the gates changed since it was judged; nothing of this was done: "
            "the shadows of delay stay as they are"
        )
        hint = f"penstock deploy delay {alone}, without --model and --canary, changes the shadows alone"
        assert (error.hint or "").endswith(hint)
    with pytest.raises(Refused) as caught:
        plan_deployment(project, "delay", "late/2", force=True, reason="now")
    assert "shadows" not in caught.value.message


def test_a_rollback_and_why_tell_of_a_newer_refusal(project: Project) -> None:
    assert not any("its gate refused it" in one for one in plan_rollback(project, "delay").warnings)
    assert not run_gate_on(project, "late/1").passed
    for to in (None, 2):
        plan = plan_rollback(project, "delay", to=to)
        assert plan.draft.stable == 1
        (told,) = [one for one in plan.warnings if "its gate refused it" in one]
        assert told.startswith("late/1 is gone back to though its gate refused it: roc_auc is ")
        assert told.endswith(": a rollback asks no gate")
    for subject in ("delay#2", "late/1"):
        told = [one.text for one in explain(project, subject).links if one.kind == "verdict"]
        assert [one.partition(",")[0] for one in told] == ["passed", "refused since"]
    told = [one.text for one in explain(project, "delay").links if one.kind == "verdict"]
    assert len(told) == 1, "late/2 was not judged again"
