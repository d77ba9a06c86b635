"""Jenkins: a neutral job as a declarative Jenkinsfile. Source: jenkins.io "Pipeline Syntax".

The packages go into a virtual environment of the workspace, as agents share their Python.
"""

from __future__ import annotations

import shlex

from penstock.ci.jobs import ENVIRONMENT, JUNIT_FILE, SIGNING_KEY, Job
from penstock.ci.render.quoting import any_character

PIPELINE_FILE = "Jenkinsfile"
_SUBMODULES = "git submodule update --init --recursive"


def render_jenkins(job: Job) -> str:
    """Render a pipeline of two stages and its report; same job, same bytes."""
    where = "" if job.root == "." else f"{job.root}/"
    pages = ",".join(_pattern(where + name) for name in job.pages)
    install = (f'python{job.python} -m venv "$WORKSPACE/{ENVIRONMENT}"', *job.install)
    lines = [
        "// Made by `penstock ci init jenkins`; run it again after changing penstock.yaml.",
        "// Let the agents know these variables: without the shared store a build knows no champion to",
        f"// compare with, and what it registers is gone with it: {', '.join(job.secrets)}.",
        f"// {SIGNING_KEY} stays with the branch {job.branch}: other branches and pull requests of a multibranch job do not see it.",
        "pipeline {",
        "    agent any",
        "    options {",
        f"        timeout(time: {job.timeout_min}, unit: 'MINUTES')",
        "        disableConcurrentBuilds(abortPrevious: true)",
        "    }",
        *_triggers(job),
        "    environment {",
        f'        PATH = "${{env.WORKSPACE}}/{ENVIRONMENT}/bin:${{env.PATH}}"',
        "    }",
        "    stages {",
        *(_stage("Submodules", (_SUBMODULES,), ".") if job.has_submodules else ()),
        *_stage("Install", _without_key(install), job.root),
        *_validation(job),
        "    }",
        "    post {",
        "        always {",
        *_shell(_without_key(job.reports), job.root, "            "),
        f"            junit testResults: {_quote(_pattern(where + JUNIT_FILE))}, allowEmptyResults: true",
        f"            archiveArtifacts artifacts: {_quote(pages)}, allowEmptyArchive: true",
        "        }",
        "    }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _triggers(job: Job) -> list[str]:
    if job.schedule is None:
        return []
    return ["    triggers {", f"        cron({_quote(f'TZ=UTC{chr(10)}{job.schedule}')})", "    }"]


def _validation(job: Job) -> list[str]:
    """Return the stage that decides; where data are watched there are two, of which one is left out."""
    here = shlex.quote(job.branch)
    withheld = (
        f'if [ "${{BRANCH_NAME:-"$PENSTOCK_BRANCH"}}" != "$PENSTOCK_BRANCH" ]; then unset {SIGNING_KEY}; fi'
    )
    validate = f"PENSTOCK_BRANCH={here}; {withheld}; {job.validate}"
    if not job.watches_data:
        return _stage("Validate", (validate,), job.root)
    new = f"{validate} {job.takes_new_data}"
    begun = "anyOf { triggeredBy 'TimerTrigger'; triggeredBy 'RemoteCause' }"
    return [
        *_stage("Validate", (validate,), job.root, f"not {{ {begun} }}"),
        *_stage("Validate new data", (new,), job.root, begun),
    ]


def _pattern(path: str) -> str:
    return any_character(path, r"\*?,")


def _without_key(commands: tuple[str, ...]) -> tuple[str, ...]:
    """Hide the key to sign with in the shell: an agent's own variables come through a step's environment."""
    return tuple(f"unset {SIGNING_KEY}; {one}" for one in commands)


def _stage(name: str, commands: tuple[str, ...], root: str, when: str | None = None) -> list[str]:
    return [
        f"        stage({_quote(name)}) {{",
        *([f"            when {{ {when} }}"] if when else []),
        "            steps {",
        *_shell(commands, root, "                "),
        "            }",
        "        }",
    ]


def _shell(commands: tuple[str, ...], root: str, margin: str) -> list[str]:
    inside = [f"{margin}sh {_quote(command)}" for command in commands]
    if root == ".":
        return inside
    return [f"{margin}dir({_quote(root)}) {{", *(f"    {line}" for line in inside), f"{margin}}}"]


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"
