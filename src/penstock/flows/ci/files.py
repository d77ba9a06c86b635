"""Write a CI system's file for a project: planned as text, applied unless it would lose edits."""

from __future__ import annotations

import platform
import re
import shlex
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from penstock.base import yaml12
from penstock.base.errors import Conflict, Refused
from penstock.base.files import write_atomic
from penstock.base.git import find_git_root
from penstock.ci import kubeflow
from penstock.ci.cron import numeric_cron
from penstock.ci.installing import Declared, Installation, brings_penstock, plan_installation
from penstock.ci.jobs import AwsRole, Job, validation_job
from penstock.ci.render import github, gitlab, jenkins
from penstock.ci.sealing import is_unedited, seal_text
from penstock.flows.ci.branches import default_name
from penstock.flows.ci.kubeflow import compile_pipeline
from penstock.flows.ci.origin import EXAMPLE, MARK, UNREACHABLE, penstock_requirement
from penstock.pipeline.plots.definitions import load_definitions
from penstock.project.project import Project
from penstock.project.settings import TriggerSettings
from penstock.project.worktree import require_git

JOB_RENDERERS: dict[str, tuple[str, Callable[[Job], str]]] = {
    "github": (github.WORKFLOW_FILE, github.render_github),
    "gitlab": (gitlab.PIPELINE_FILE, gitlab.render_gitlab),
    "jenkins": (jenkins.PIPELINE_FILE, jenkins.render_jenkins),
    "github-forks": (github.FORKS_FILE, github.render_forks),
}
"""CI systems that run a job, by name: where their file lies in the repository, and what writes it."""
FILES = {name: relative for name, (relative, _) in JOB_RENDERERS.items()} | {
    "kubeflow": kubeflow.PIPELINE_FILE
}
"""Every file that `ci init` writes into the repository, by the system's name."""
DATA_NOTES = {
    "github": "GitHub sees no data: who changes them posts the event penstock-data to the repository's /dispatches",
    "gitlab": "GitLab sees no data: who changes them posts a pipeline trigger token (Settings > CI/CD)",
    "jenkins": "Jenkins sees no data: who changes them calls the job's URL (Trigger builds remotely)",
}
COMMENTED = frozenset({"github", "gitlab"})
NO_COMMENT = (
    "Penstock is installed from a file of the repository or of this machine, which the job that comments reports has not: "
    "it is left out"
)
RELEASE = "`penstock ci run --rev HEAD --deploy` after the merge, in a job of the default branch alone, or penstock ci init hook"
"""How what passed goes live: the files validate every push, and a release is decided by who writes the job for it."""
_WHERE = re.compile(
    r"""working-directory: (?P<github>".+")$|- (?P<gitlab>"cd .+")$|^ +dir\((?P<jenkins>'.+')\) \{$""",
    re.MULTILINE,
)
"""How each renderer says where the project lies; those of a project in the root say nothing, or `.`."""
_PYTHON = ".".join(platform.python_version_tuple()[:2])


@dataclass(frozen=True)
class CiFilePlan:
    """A file to write; `before` is what stands there now, `notes` what its reader should know.

    `belongs_to` is where another project of the repository lies whose file stands there.
    """

    path: Path
    relative: str
    text: str
    before: str | None
    notes: tuple[str, ...] = ()
    is_program: bool = False
    belongs_to: str | None = None


def plan_ci_file(
    project: Project, system: str, *, is_self_hosted: bool = False, is_shown: bool = False
) -> CiFilePlan:
    """Plan the file of a CI system for the git repository the project lies in.

    Args:
        system: a name of `FILES`.
        is_self_hosted: the runners are machines that see what this one sees.
        is_shown: it is only looked at: `MARK` stands where a machine would not know how it gets Penstock.

    Raises:
        Invalid: the project is not in git.
        Refused: a hosted runner could not reach the default remote, or where Penstock came from; Kubeflow's components have
            no remote to meet on, or no stages; a job that only comments has no way to Penstock.
    """
    git_root = require_git(project)
    remote = project.data.config.get("core", "remote")
    if remote is not None and not is_self_hosted:
        _require_reachable(project, remote)
    path = git_root / FILES[system]
    before = path.read_text() if path.is_file() else None
    has_image = system == "kubeflow" and project.settings.ci.image is not None  # what is needed is in it
    if has_image:
        installation = Installation(())
    else:
        installation = _installation(project, is_self_hosted=is_self_hosted, is_shown=is_shown)
    if system == "kubeflow":
        text, notes = compile_pipeline(
            project, git_root, installation, _PYTHON, has_remote=remote is not None
        )
        return CiFilePlan(path, FILES[system], seal_text(text), before, (*notes, *_told_of_releases(project)))
    if system == "github-forks":
        _require_program(installation)
    triggers, oidc = project.settings.ci.on, project.settings.ci.oidc
    job = validation_job(
        python=_PYTHON,
        install=installation,
        has_remote=remote is not None,
        root=project.root.relative_to(git_root).as_posix(),
        is_self_hosted=is_self_hosted,
        schedule=triggers.schedule,
        watches_data=bool(triggers.sources),
        role=None if oidc is None else AwsRole(oidc.role, oidc.region),
    )
    has_submodules = (git_root / ".gitmodules").is_file()
    job = replace(
        job,
        has_plots=bool(load_definitions(project.data)),
        has_submodules=has_submodules,
        branch=default_name(project.git),
    )
    relative, render = JOB_RENDERERS[system]
    notes = (*installation.notes, *_told_of_triggers(system, triggers))
    if system != "github-forks":
        notes += _told_of_releases(project)
    if installation.program is None and system in COMMENTED:
        notes += (NO_COMMENT,)
    if has_submodules:
        notes += ("submodules that are private need credentials of their own on the runner",)
    other = _project_of(before) if before is not None and is_unedited(before) else job.root
    belongs_to = other if other != job.root and system != "github-forks" else None
    return CiFilePlan(path, relative, seal_text(render(job)), before, notes, belongs_to=belongs_to)


def _project_of(text: str) -> str:
    """Return where in the repository the project of a written file lies."""
    found = _WHERE.search(text)
    if found is None:
        return "."
    if found["jenkins"]:
        return re.sub(r"\\(.)", r"\1", found["jenkins"][1:-1])
    told = str(yaml12.load(found["github"] or found["gitlab"]))
    if found["github"]:
        return told.replace("${{ '${{' }}", "${{")
    return shlex.split(told)[-1].removeprefix("./")


def _told_of_releases(project: Project) -> tuple[str, ...]:
    deploy = project.settings.ci.deploy
    if deploy == "none":
        return ()
    return (f"ci.deploy is {deploy}, and this file only validates: nothing goes live. Next: {RELEASE}",)


def _told_of_triggers(system: str, triggers: TriggerSettings) -> list[str]:
    """Return what a CI system's file cannot say by itself of runs that no push begins."""
    notes = []
    if triggers.schedule and system == "gitlab":
        cron = numeric_cron(triggers.schedule)
        notes.append(
            f"GitLab keeps schedules in its pages: Build > Pipeline schedules, interval `{cron}`, UTC"
        )
    if triggers.sources and system in DATA_NOTES:
        notes.append(DATA_NOTES[system])
        if triggers.schedule is None:
            notes.append("with `ci.on.schedule` too, data that nobody tells of are looked at then")
    return notes


def installation_of(project: Project, *, is_self_hosted: bool = False) -> Installation:
    """Return how another machine gets the project's packages and Penstock as it runs here.

    Raises:
        Refused: pyproject.toml cannot be read; Penstock came from a place that another machine does not see.
    """
    own = project.settings.ci.install
    penstock = None
    if not brings_penstock(own):
        penstock = penstock_requirement(
            project.root, find_git_root(project.root), is_self_hosted=is_self_hosted
        )
    return plan_installation(_declared(project.root), penstock, own=own)


def _installation(project: Project, *, is_self_hosted: bool, is_shown: bool) -> Installation:
    """Return an installation for a CI file; one that is shown has `MARK` where none can be told."""
    try:
        return installation_of(project, is_self_hosted=is_self_hosted)
    except Refused as error:
        if error.code != UNREACHABLE:
            raise
        if not is_shown:
            error.hint = f"{error.hint}; --dry-run shows the file meanwhile"
            raise
        own = project.settings.ci.install
        found = plan_installation(_declared(project.root), f"penstock[all] @ {MARK}", own=own)
        note = f"replace {MARK}: {error.message}; or {error.hint}"
        return replace(found, notes=(*found.notes, note))


def needs_git(root: Path, installation: Installation) -> bool:
    """Whether what an installation asks for comes from a Git repository: a command says so, or a file that one reads."""
    waiting = [word for command in installation.commands for word in _files_of(command)]
    if any("git+" in command for command in installation.commands):
        return True
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen or not (root / name).is_file():
            continue
        seen.add(name)
        lines = [line.strip() for line in (root / name).read_text("utf-8", "replace").splitlines()]
        told = [line for line in lines if not line.startswith("#")]
        if any("git+" in line or (name == "uv.lock" and "git = " in line) for line in told):
            return True
        for line in told:
            option, _, other = line.replace("=", " ", 1).partition(" ")
            if option in {"-r", "--requirement", "-c", "--constraint"}:
                waiting.append(str(Path(name).parent / other.strip()))
    return False


def _files_of(command: str) -> list[str]:
    """Return the files of a project that a command may read."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    named = [word.rpartition("=")[2] for word in words]
    if any(word == "." or word.startswith(".[") for word in words):
        named.append("pyproject.toml")
    if words[:1] == ["uv"]:
        named.append("uv.lock")
    return named


def _require_program(installation: Installation) -> None:
    if installation.program is None:
        raise Refused(
            NO_COMMENT,
            code="ci.no_program",
            hint=f"say in `ci: {{install: …}}` of penstock.yaml how a machine gets it without the repository, such as {EXAMPLE}",
        )


def apply_ci_file(plan: CiFilePlan, *, force: bool = False) -> None:
    """Write the file.

    Raises:
        Conflict: a text that `ci init` did not write stands there, or that of another project, and `force` was not given.
    """
    if plan.belongs_to is not None and not force:
        where = "the root" if plan.belongs_to == "." else plan.belongs_to
        raise Conflict(
            f"{plan.relative} validates the project in {where} of this repository",
            code="ci.other_project",
            hint="one file holds one project: put what --dry-run prints beside it by hand, under another name",
            path=str(plan.path),
        )
    if plan.before not in (None, plan.text) and not is_unedited(plan.before or "") and not force:
        raise Conflict(
            f"{plan.relative} exists with other content: it was edited, or something else wrote it",
            code="ci.file_exists",
            hint="look at --dry-run, then use --force",
            path=str(plan.path),
        )
    write_atomic(plan.path, plan.text.encode(), mode=0o755 if plan.is_program else None)


def _require_reachable(project: Project, remote: str) -> None:
    url = project.data.config.remotes().get(remote, {}).get("url", "")
    if "://" in url and not url.startswith("file://"):
        return
    raise Refused(
        f"the default remote {remote} is a directory of this machine ({url}), which a hosted runner cannot reach",
        code="ci.unreachable_remote",
        hint=f"penstock remote modify {shlex.quote(remote)} url s3://…, or --self-hosted where the runner is this machine",
        remote=remote,
    )


def _declared(root: Path) -> Declared:
    files = frozenset(path.name for path in root.iterdir() if path.is_file())
    if "pyproject.toml" not in files:
        return Declared(files)
    try:
        described = tomllib.loads((root / "pyproject.toml").read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused(
            f"pyproject.toml cannot be read: {error}",
            code="ci.bad_pyproject",
            hint="mend it, or set ci.install in penstock.yaml",
        ) from error
    package = described.get("project")
    extras = package.get("optional-dependencies", {}) if isinstance(package, dict) else {}
    return Declared(files, package is not None, tuple(extras))
