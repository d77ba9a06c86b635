"""CI with no service: the hook of a bare git repository, and what it does with a push.

A push waits for the run, so that who pushes sees the report; pushes at once are taken one after the other. The hook
comes after git has taken the push: it refuses a deployment, not the commits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from penstock.base.clock import now_ms
from penstock.base.errors import Invalid, NotFound, PenstockError, told_of_system
from penstock.base.files import locked, write_atomic
from penstock.base.git import Git
from penstock.base.running import name_process
from penstock.ci.hook import HOOK_FILE, MARK, render_hook
from penstock.ci.report import CiReport, StepReport
from penstock.data.git.hooks import own_program
from penstock.flows.ci.branches import BRANCH, Pushed
from penstock.flows.ci.continuous import UNFINISHED, OnStep, run_ci
from penstock.flows.ci.files import CiFilePlan
from penstock.project.ci_reports import save_report
from penstock.project.project import Project
from penstock.project.worktree import require_git

HOOK_NOTE = "ci/hook"
WAIT_S = 24 * 3600.0


def plan_hook(project: Project, bare: Path | None) -> CiFilePlan:
    """Plan the hook of a bare repository, by default the one that `origin` names.

    Raises:
        NotFound: there is no such repository, or no origin.
        Invalid: it is not bare, or the project is not in git.
    """
    root = require_git(project)
    origin = Git(root).run("config", "--get", "remote.origin.url", check=False).strip()
    if bare is None and not origin:
        raise NotFound(
            "git has no remote called origin here, and no bare repository was named",
            code="ci.no_origin",
            hint="git clone --bare . DIR, then penstock ci init hook DIR",
        )
    place = bare or Path(origin)
    place = (root / place).resolve()
    if not place.is_dir():
        raise NotFound(
            f"there is no repository at {place}",
            code="ci.no_bare_repository",
            hint="git clone --bare . DIR, then penstock ci init hook DIR",
        )
    git = Git(place)
    if git.run("rev-parse", "--is-bare-repository", check=False).strip() != "true":
        raise Invalid(
            f"{place} is not a bare repository: pushes go to one",
            code="ci.not_bare",
            hint="git clone --bare . DIR, then penstock ci init hook DIR",
        )
    path = place / HOOK_FILE
    text = render_hook(own_program(), project.root, place)
    notes = [] if project.settings.ci.deploy != "none" else [
        "what passes is registered and not deployed: write `ci: {deploy: rollout}` into penstock.yaml for that"
    ]  # fmt: skip
    before = path.read_text() if path.is_file() else None
    ours = before if before is None or MARK not in before else text
    return CiFilePlan(path, str(path), text, ours, tuple(notes), is_program=True)


def keep_hook(project: Project, plan: CiFilePlan) -> None:
    """Note in the project where its hook was written, so that `find_hook` knows one that `origin` does not name."""
    write_atomic(project.home / HOOK_NOTE, str(plan.path).encode())


def find_hook(project: Project) -> CiFilePlan | None:
    """Return the hook that validates pushes from here, as it is and as it would be written now; None without one."""
    places = [
        Path(Git(require_git(project)).run("config", "--get", "remote.origin.url", check=False).strip())
    ]
    note = project.home / HOOK_NOTE
    if note.is_file():
        places.insert(0, Path(note.read_text()).parent.parent)
    for place in places:
        try:
            plan = plan_hook(project, place)
            text = plan.path.read_text()
        except (PenstockError, OSError):
            continue
        if MARK in text:
            is_ours = f"\n# {project.root}\n" in text  # that of another clone's project is not ours to judge
            return replace(plan, before=text, text=plan.text if is_ours else text)
    return None


def how_again(project: Project, report: CiReport, *, is_default: bool) -> str | None:
    """Say how the same commit is validated again where its data were missing: git pushes nothing twice."""
    lacks_data = any(step.name == "data" and step.status == "failed" for step in report.steps)
    if not lacks_data:
        return None
    command = f"penstock ci run --rev {report.commit[:10]}{' --deploy' if is_default else ''}"
    return (
        "after penstock push, git commit --allow-empty and git push validate it again; "
        f"or, in {project.root} on this machine: {command}"
    )


def receive_push(
    project: Project,
    bare: Path,
    lines: Iterable[str],
    *,
    on_step: OnStep,
    on_begin: Callable[[str, str], None],
) -> Iterator[tuple[CiReport, str | None]]:
    """Validate what a push brought, a branch at a time; yield each report, which is kept too, and how to try again.

    Args:
        lines: what git tells the hook: the old commit, the new one and the ref, of each ref.
        on_begin: is told branch and commit.

    Raises:
        Conflict: another run takes more than a day.
    """
    default = Git(bare).run("symbolic-ref", "--quiet", "HEAD", check=False).strip()
    for line in lines:
        words = line.split()
        if len(words) != 3 or not words[2].startswith(BRANCH) or not words[1].strip("0"):
            continue
        _, commit, ref = words
        branch = ref.removeprefix(BRANCH)
        on_begin(branch, commit)
        started_ms = now_ms()
        with locked(project.home / "ci" / "lock", wait_s=WAIT_S, holder_hint="another push is validated"):
            try:
                # a run that is killed before it begins has its report too
                save_report(project, _unfinished(project, commit, branch, started_ms))
                project.git.run("fetch", "--quiet", "--no-tags", str(bare), ref)
                report = run_ci(
                    project,
                    commit,
                    deploy=ref == default,
                    pushed=Pushed(branch, str(bare), began_ms=started_ms),
                    on_step=on_step,
                )
            except (PenstockError, OSError) as error:
                told = error if isinstance(error, PenstockError) else told_of_system(error)
                report = _failed(project, commit, branch, started_ms, told)
                with suppress(OSError):  # who pushes is told all the same
                    save_report(project, report)
                on_step(report.steps[0])
        yield report, how_again(project, report, is_default=ref == default)


def _unfinished(project: Project, commit: str, branch: str, started_ms: int) -> CiReport:
    return CiReport(
        project=project.readable_settings.project,
        commit=commit,
        subject="",
        started_ms=started_ms,
        passed=False,
        steps=(UNFINISHED,),
        branch=branch,
        process=name_process(),
    )


def _failed(project: Project, commit: str, branch: str, started_ms: int, error: PenstockError) -> CiReport:
    """Return the report of a run that could not begin, such as on a commit with a wrong penstock.yaml."""
    subject = project.git.run("log", "-1", "--format=%s", commit, check=False).strip()
    step = StepReport(
        name="settings",
        status="failed",
        seconds=(now_ms() - started_ms) / 1000,
        sentence=error.message,
        details=(error.hint,) if error.hint else (),
    )
    return CiReport(
        project=project.readable_settings.project,
        commit=commit,
        subject=subject,
        started_ms=started_ms,
        passed=False,
        steps=(step,),
        branch=branch,
    )
