"""Write a CI system's file for a project: planned as text, applied unless it would lose edits."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from penstock.base.errors import Conflict
from penstock.base.files import write_atomic
from penstock.ci.jobs import validation_job
from penstock.ci.render.github import WORKFLOW_FILE, render_github
from penstock.project.project import Project
from penstock.project.worktree import require_git

REQUIREMENTS = "requirements.txt"


@dataclass(frozen=True)
class CiFilePlan:
    """A file to write; `before` is what stands there now."""

    path: Path
    relative: str
    text: str
    before: str | None


def plan_ci_file(project: Project, system: str) -> CiFilePlan:
    """Plan the file of a CI system for the git repository the project lies in.

    Raises:
        Invalid: the project is not in git.
    """
    git_root = require_git(project)
    has_requirements = (project.root / REQUIREMENTS).is_file()
    job = validation_job(
        python=".".join(platform.python_version_tuple()[:2]),
        requirement=f"-r {REQUIREMENTS}" if has_requirements else "'penstock[all]'",
        has_remote=project.data.config.get("core", "remote") is not None,
        root=project.root.relative_to(git_root).as_posix(),
    )
    renderers = {"github": (WORKFLOW_FILE, render_github)}
    relative, render = renderers[system]
    path = git_root / relative
    return CiFilePlan(path, relative, render(job), path.read_text() if path.is_file() else None)


def apply_ci_file(plan: CiFilePlan, *, force: bool = False) -> None:
    """Write the file.

    Raises:
        Conflict: another text stands there and `force` was not given.
    """
    if plan.before not in (None, plan.text) and not force:
        raise Conflict(
            f"{plan.relative} exists with other content",
            code="ci.file_exists",
            hint="look at --dry-run, then use --force",
            path=str(plan.path),
        )
    write_atomic(plan.path, plan.text.encode())
