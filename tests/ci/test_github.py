"""The workflow is valid, safe, stable, and its steps really run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from penstock.base.errors import Conflict
from penstock.flows.ci.files import apply_ci_file, plan_ci_file
from projects import Sample
from servers.forking import run_penstock

pytestmark = pytest.mark.slow


def test_the_workflow_keeps_githubs_schema(sample: Sample) -> None:
    plan = plan_ci_file(sample.project, "github")
    apply_ci_file(plan)
    checker = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [checker, "--builtin-schema", "vendor.github-workflows", plan.path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_token_can_only_read_and_nothing_of_an_event_reaches_a_shell(sample: Sample) -> None:
    text = plan_ci_file(sample.project, "github").text
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    steps = workflow["jobs"]["validate"]["steps"]
    assert steps[0]["with"]["persist-credentials"] is False
    assert not any("${{" in step.get("run", "") for step in steps)


def test_a_file_changed_by_hand_is_kept(sample: Sample) -> None:
    plan = plan_ci_file(sample.project, "github")
    apply_ci_file(plan)
    plan.path.write_text(plan.text + "# mine\n")
    again = plan_ci_file(sample.project, "github")
    assert again.text == plan.text
    with pytest.raises(Conflict):
        apply_ci_file(again)
    assert plan.path.read_text().endswith("# mine\n")
    apply_ci_file(again, force=True)
    assert plan.path.read_text() == plan.text


def test_the_steps_run_in_a_clone_as_they_stand(sample: Sample, tmp_path: Path) -> None:
    """Every `run` of the workflow but the installation, with bash as a runner does; not GitHub itself."""
    remote = tmp_path / "storage"
    penstock = Path(sys.executable).with_name("penstock")
    assert run_penstock(sample.root, "remote", "add", "-d", "storage", remote).returncode == 0
    assert run_penstock(sample.root, "push").returncode == 0
    sample.commit("Name the remote")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(sample.root), str(clone)], check=True)
    workflow = yaml.safe_load(plan_ci_file(sample.project, "github").text)
    summary = tmp_path / "summary.md"
    environment = {
        **os.environ,
        "PATH": f"{penstock.parent}:{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    for step in workflow["jobs"]["validate"]["steps"]:
        if "run" in step and step["name"] != "Install":
            script = tmp_path / "step.sh"
            script.write_text(step["run"])
            command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
            done = subprocess.run(
                command, cwd=clone, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
    assert "✅ sample: passed" in summary.read_text()
