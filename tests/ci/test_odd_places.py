"""Whatever a project's directory is called, the lines of CI files find it; and who sees the key to sign with."""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from penstock.ci.jobs import SIGNING_KEY, Job
from penstock.ci.render.github import render_github
from penstock.ci.render.gitlab import render_gitlab
from penstock.ci.render.jenkins import render_jenkins
from penstock.flows.ci.files import JOB_RENDERERS, _project_of
from tables import table

PLACES = (
    "teams/text ü",
    "a b/it's",
    'say "x"',
    "$HOME/`id`$(id)",
    "back\\slash\\n",
    "-rf",
    "teams/😀 模",
    "a[1]/{b,c}*?",
    "#x: y, !z",
    "${{ github.token }}",
    "%41 & ; | > ~",
)
SEEN = f'echo "<${SIGNING_KEY}>"'
JOB = Job(
    python="3.11",
    timeout_min=60,
    install=("pwd -P",),
    validate=SEEN,
    root=".",
    secrets=("PENSTOCK_STORE", SIGNING_KEY),
    program="true",
)
SHELLS = [one for one in ("sh", "bash", "dash", "busybox") if shutil.which(one)]


def run(script: str, place: Path, shell: str = "sh", **variables: str) -> str:
    """Run lines as a runner does, from the repository's root, and return what they print."""
    command = [shell, *(["sh"] if shell == "busybox" else []), "-ec", script]
    environment = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "LC_ALL": "C.UTF-8", **variables}
    return subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def groovy(word: str) -> str:
    """Read a text of Groovy between single quotes."""
    return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), word)


def finds(pattern: str, file: Path, root: Path) -> bool:
    """Say whether a pattern means a file; in Python's own, `[]` stand for a set, as a bracket of its own does."""
    known = "".join(f"[{one}]" if one in "[" else one for one in pattern)
    return file in [root / one for one in glob.glob(known, root_dir=root)]


@table("name", PLACES)
def test_the_lines_of_gitlab_find_a_project_of_any_name(name: str, tmp_path: Path) -> None:
    place = tmp_path / "repository" / name
    place.mkdir(parents=True)
    job = yaml.safe_load(render_gitlab(replace(JOB, root=name)))["penstock"]
    for shell in SHELLS:
        assert run("\n".join(job["before_script"]), tmp_path / "repository", shell) == str(place)
    (place / "penstock-report.md").touch()
    (pattern,) = job["artifacts"]["paths"]
    assert finds(pattern, place / "penstock-report.md", tmp_path / "repository")
    assert "$" not in pattern
    comment = yaml.safe_load(render_gitlab(replace(JOB, root=name)))["penstock-comment"]["script"][1]
    told = run(comment.replace("penstock ci comment", "ls"), tmp_path / "repository")
    assert told.endswith("penstock-report.md")


@table("name", PLACES)
def test_github_and_jenkins_are_told_a_project_of_any_name(name: str) -> None:
    workflow = yaml.safe_load(render_github(replace(JOB, root=name)))["jobs"]["validate"]
    told = workflow["defaults"]["run"]["working-directory"]
    assert told.replace("${{ '${{' }}", "${{") == name
    assert re.sub(r"\$\{\{ '\$\{\{' \}\}", "", told).count("${{") == 0
    paths = workflow["steps"][-1]["with"]["path"].splitlines()
    plain = [re.sub(r"\\(.)", r"\1", one).removeprefix("./") for one in paths]
    assert plain == [f"{name}/penstock-report.md", f"{name}/penstock-junit.xml"]
    text = render_jenkins(replace(JOB, root=name))
    places = re.findall(r"dir\('((?:[^'\\]|\\.)*)'\) \{", text)
    assert {groovy(one) for one in places} == {name}


@table("name", (*PLACES, "."))
def test_whose_file_stands_there_is_read_back_from_any_name(name: str) -> None:
    for system in ("github", "gitlab", "jenkins"):
        assert _project_of(JOB_RENDERERS[system][1](replace(JOB, root=name))) == name, system


def test_branches_are_no_patterns_and_emoji_stay_whole() -> None:
    for branch, told in (("a+b", "a\\+b"), ("!x", "\\!x"), ("schön 😀", "schön 😀"), ("o'dd\"", "o'dd\"")):
        assert yaml.safe_load(render_github(replace(JOB, branch=branch)))[True]["push"]["branches"] == [told]


def test_no_job_of_a_pull_request_sees_the_key_to_sign_with() -> None:
    job = yaml.safe_load(render_github(JOB))["jobs"]["validate"]
    assert SIGNING_KEY not in job["env"]
    (step,) = [one for one in job["steps"] if SIGNING_KEY in one.get("env", {})]
    assert step["name"] == "Validate"
    given = f"${{{{ github.event_name != 'pull_request' && secrets.{SIGNING_KEY} || '' }}}}"
    assert step["env"] == {SIGNING_KEY: given}


@pytest.mark.parametrize("shell", SHELLS)
def test_an_unprotected_branch_does_not_see_the_key(shell: str, tmp_path: Path) -> None:
    lines = yaml.safe_load(render_gitlab(replace(JOB, install=(SEEN,))))["penstock"]
    script = "\n".join([*lines["before_script"], *lines["script"]])
    after = "\n".join([f"penstock() {{ {SEEN} >&2; }}; exec 2>&1", *lines["after_script"]])
    for protected, seen in (({}, "<>"), ({"CI_COMMIT_REF_PROTECTED": "true"}, "<secret>")):
        for one in (script, after):
            said = run(one, tmp_path, shell, **{SIGNING_KEY: "secret"}, **protected)
            assert set(said.splitlines()) == {seen}


@pytest.mark.parametrize("shell", SHELLS)
def test_another_branch_of_jenkins_does_not_see_the_key(shell: str, tmp_path: Path) -> None:
    text = render_jenkins(replace(JOB, branch="it's $main", install=(SEEN,)))
    install, validate = text.partition("stage('Validate')")[::2]
    validate, post = validate.split("post {")
    assert "penstock ci report" in post
    for told in re.findall(r"sh '((?:[^'\\]|\\.)*)'", install + post):
        script = f"penstock() {{ {SEEN} >&2; }}; exec 2>&1; {groovy(told)}"
        if "-m venv" not in told:
            assert run(script, tmp_path, shell, **{SIGNING_KEY: "secret"}) == "<>", told
    (line,) = [one.strip() for one in validate.splitlines() if SIGNING_KEY in one and "sh '" in one]
    for branch, seen in (
        ({}, "<secret>"),
        ({"BRANCH_NAME": "it's $main"}, "<secret>"),
        ({"BRANCH_NAME": "PR-7"}, "<>"),
    ):
        assert run(groovy(line[4:-1]), tmp_path, shell, **{SIGNING_KEY: "secret"}, **branch) == seen
