"""The files of CI systems are valid, safe, stable, install what the project needs, and their steps really run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from penstock import __version__
from penstock.base.errors import Conflict, Refused
from penstock.ci.installing import Declared, plan_installation
from penstock.ci.jobs import Job
from penstock.ci.render.gitlab import render_gitlab
from penstock.ci.render.jenkins import render_jenkins
from penstock.flows.ci.files import RENDERERS, apply_ci_file, plan_ci_file
from projects import Sample
from servers.forking import run_penstock

SCHEMAS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}
LAST = f"python -m pip install 'penstock[all]=={__version__}'"
ODD = Job(
    python="3.11",
    timeout_min=60,
    install=("echo \"a: b\" 'c' # d", "printf '%s\\n' \\$HOME"),
    validate="penstock ci run --rev HEAD",
    root="my models",
    secrets=("PENSTOCK_STORE",),
)


@pytest.mark.slow
def test_the_files_keep_their_systems_schemas(sample: Sample) -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    for system, schema in SCHEMAS.items():
        plan = plan_ci_file(sample.project, system)
        apply_ci_file(plan)
        done = subprocess.run(
            [checker, "--builtin-schema", schema, plan.path], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_token_can_only_read_and_nothing_of_an_event_reaches_a_shell(sample: Sample) -> None:
    workflow = yaml.safe_load(plan_ci_file(sample.project, "github").text)
    assert workflow["permissions"] == {"contents": "read"}
    steps = workflow["jobs"]["validate"]["steps"]
    assert steps[0]["with"]["persist-credentials"] is False
    assert not any("${{" in step.get("run", "") for step in steps)


def test_a_file_changed_by_hand_is_kept(sample: Sample) -> None:
    for system in RENDERERS:
        plan = plan_ci_file(sample.project, system)
        apply_ci_file(plan)
        plan.path.write_text(plan.text + "# mine\n")
        again = plan_ci_file(sample.project, system)
        assert again.text == plan.text
        with pytest.raises(Conflict):
            apply_ci_file(again)
        assert plan.path.read_text().endswith("# mine\n")
        apply_ci_file(again, force=True)
        assert plan.path.read_text() == plan.text


def test_a_machine_installs_what_the_repository_names() -> None:
    pip = "python -m pip install"
    cases: list[tuple[Declared, list[str]]] = [
        (Declared(frozenset()), []),
        (Declared(frozenset({"requirements.txt"})), [f"{pip} -r requirements.txt"]),
        (
            Declared(frozenset({"requirements.txt", "requirements-dev.txt"})),
            [f"{pip} -r requirements.txt", f"{pip} -r requirements-dev.txt"],
        ),
        (Declared(frozenset({"pyproject.toml"})), []),
        (Declared(frozenset({"pyproject.toml"}), is_package=True), [f"{pip} ."]),
        (
            Declared(frozenset({"pyproject.toml"}), is_package=True, extras=("docs", "test")),
            [f"{pip} '.[test]'"],
        ),
        (
            Declared(frozenset({"pyproject.toml", "requirements.txt"}), is_package=True),
            [f"{pip} -r requirements.txt", f"{pip} ."],
        ),
        (Declared(frozenset({"environment.yml"})), ["conda env update --name base --file environment.yml"]),
    ]
    for declared, expected in cases:
        planned = plan_installation(declared, f"penstock[all]=={__version__}")
        assert list(planned.commands) == [*expected, LAST]
        assert bool(planned.notes) == (not expected or "environment.yml" in declared.files)
    locked = plan_installation(
        Declared(frozenset({"uv.lock", "pyproject.toml"}), is_package=True), "penstock"
    )
    assert "uv export --frozen" in locked.commands[1]
    assert locked.commands[-2:] == (f"{pip} --no-deps .", f"{pip} penstock")
    own = plan_installation(Declared(frozenset({"uv.lock"})), "penstock", own="make env\n./more")
    assert own.commands == ("make env", "./more", f"{pip} penstock")


def test_the_projects_own_words_and_files_are_read(sample: Sample) -> None:
    note = " ".join(plan_ci_file(sample.project, "github").notes)
    assert "ci.install" in note
    (sample.root / "pyproject.toml").write_text("[project\n")
    with pytest.raises(Refused, match="cannot be read"):
        plan_ci_file(sample.project, "github")
    (sample.root / "pyproject.toml").write_text(
        "[project]\nname = 'p'\n[project.optional-dependencies]\ndev = []\n"
    )
    assert "pip install '.[dev]'" in plan_ci_file(sample.project, "gitlab").text


def test_a_remote_that_a_hosted_runner_cannot_reach_is_refused(sample: Sample, tmp_path: Path) -> None:
    remote = ("remote", "add", "-d", "storage", str(tmp_path / "storage"))
    assert run_penstock(sample.root, *remote).returncode == 0
    for system in RENDERERS:
        done = run_penstock(sample.root, "ci", "init", system)
        assert done.returncode == 1
        assert "cannot reach" in done.stderr
        assert "--self-hosted" in done.stderr
        assert not (sample.root / RENDERERS[system][0]).exists()
    done = run_penstock(sample.root, "ci", "init", "github", "--self-hosted", "--dry-run")
    assert "runs-on: self-hosted" in done.stdout
    assert run_penstock(sample.root, "remote", "modify", "storage", "url", "s3://b/p").returncode == 0
    assert run_penstock(sample.root, "ci", "init", "gitlab").returncode == 0


def test_odd_commands_and_places_survive_their_quoting() -> None:
    pipeline = yaml.safe_load(render_gitlab(ODD))["penstock"]
    assert pipeline["before_script"] == ['cd "my models"', *ODD.install]
    assert pipeline["artifacts"]["paths"] == ["my models/penstock-report.md"]
    groovy = render_jenkins(ODD)
    assert """sh 'echo "a: b" \\'c\\' # d'""" in groovy
    assert """sh 'printf \\'%s\\\\n\\' \\\\$HOME'""" in groovy
    assert groovy.count("dir('my models') {") == 3
    assert groovy.count("{") == groovy.count("}")


def steps_of(system: str, text: str) -> list[str]:
    """Return the shell lines of a file but the installation, in the order that a runner takes them."""
    if system == "github":
        steps = yaml.safe_load(text)["jobs"]["validate"]["steps"]
        return [step["run"] for step in steps if "run" in step and step["name"] != "Install"]
    if system == "gitlab":
        job = yaml.safe_load(text)["penstock"]
        return ["\n".join(job["script"]), "\n".join(job["after_script"])]
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("sh '")]
    return [line[4:-1].replace("\\'", "'").replace("\\\\", "\\") for line in lines if "penstock ci" in line]


@pytest.mark.slow
def test_the_steps_run_in_a_clone_as_they_stand(sample: Sample, tmp_path: Path) -> None:
    """Every command of each file but the installation, with bash as a runner does; not the systems themselves."""
    penstock = Path(sys.executable).with_name("penstock")
    assert run_penstock(sample.root, "remote", "add", "-d", "storage", tmp_path / "storage").returncode == 0
    assert run_penstock(sample.root, "push").returncode == 0
    sample.commit("Name the remote")
    for system in RENDERERS:
        clone = tmp_path / system
        subprocess.run(["git", "clone", "--quiet", str(sample.root), str(clone)], check=True)
        summary = tmp_path / f"{system}.md"
        environment = {
            **os.environ,
            "PATH": f"{penstock.parent}:{os.environ['PATH']}",
            "GITHUB_STEP_SUMMARY": str(summary),
        }
        plan = plan_ci_file(sample.project, system, is_self_hosted=True)
        for step in steps_of(system, plan.text):
            script = tmp_path / "step.sh"
            script.write_text(step)
            command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
            done = subprocess.run(
                command, cwd=clone, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
        assert "✅ sample: passed" in (clone / "penstock-report.md").read_text()
        assert summary.exists() == (system == "github")
        assert 'failures="0"' in (clone / "penstock-junit.xml").read_text()
