"""One CI run: a commit in a clean tree is tested, reproduced, judged and registered, and reported on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import msgspec

from penstock.base.clock import now_ms
from penstock.base.errors import NotFound, PenstockError, Refused, told_of_system
from penstock.base.numbers import counted
from penstock.base.running import name_process
from penstock.ci.report import CheckReport, CiReport, StepReport, StepStatus
from penstock.flows.ci.branches import Pushed, branch_of, why_not_on_default
from penstock.flows.ci.changes import changes_of, list_unjudged
from penstock.flows.ci.new_data import take_new_data
from penstock.flows.ci.plots import draw_plots
from penstock.flows.ci.releasing import gate_changes, hold, release, why_held
from penstock.flows.models.evidence.made import is_seen, unseen_stages
from penstock.flows.models.judging import run_gate
from penstock.flows.models.registering import register_model
from penstock.flows.pipelines.execution import reproduce_and_record
from penstock.flows.sources.bring import bring_outputs
from penstock.flows.tracked.versioning import push, raise_failures
from penstock.pipeline.lockfile import LOCK_FILE
from penstock.pipeline.process import run_command
from penstock.pipeline.running.reproducing import MADE, ReproduceOptions, Watcher
from penstock.project.ci_reports import save_report
from penstock.project.project import Project
from penstock.project.worktree import clean_worktree, require_git
from penstock.registry.aliases import find_alias
from penstock.registry.documents.origins import never_seen
from penstock.registry.entities import CheckResult, ModelVersion, Verdict
from penstock.registry.versions import get_version

KEPT_LINES = 40


@dataclass
class _Progress:
    """What the run found so far; turned into the report at its end."""

    steps: list[StepReport] = field(default_factory=list)
    verdict: Verdict | None = None
    checks: list[CheckResult] = field(default_factory=list)
    versions: list[ModelVersion] = field(default_factory=list)
    is_new: bool = False
    released: tuple[str, ...] = ()
    held: str | None = None
    run_id: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def has_failed(self) -> bool:
        return any(step.status == "failed" for step in self.steps)


class _Outcome(NamedTuple):
    """How a step that could be made ended."""

    sentence: str
    status: StepStatus = "passed"
    details: tuple[str, ...] = ()


OnStep = Callable[[StepReport], None]


UNFINISHED = StepReport(
    name="run",
    status="failed",
    seconds=0.0,
    sentence="it has not ended: it is under way, or it was killed, or a check ended the process",
)
"""What the report of a run says until the run has ended."""


def run_ci(
    project: Project,
    revision: str = "HEAD",
    *,
    push_outputs: bool = False,
    deploy: bool = False,
    new_data: bool = False,
    pushed: Pushed | None = None,
    on_step: OnStep | None = None,
    watcher: Watcher | None = None,
) -> CiReport:
    """Validate a commit and return the report, which is also kept for `ci report`.

    The steps are data, tests, pipeline, gate, register and, when asked for, push and deploy; after a failure the
    rest is skipped. A failure is in the report, not raised. Nothing in the user's tree changes.

    Args:
        deploy: do with what passed what `ci.deploy` of the commit's penstock.yaml says, where the commit is on the
            default branch and nothing speaks against it; else the report says why it is held.
        new_data: bring the imports of `ci.on.data` to what their sources hold now, in the run's own tree.
        pushed: where the commit was pushed to, as far as that is known.

    Raises:
        NotFound: no such revision, or no commit at all.
        Invalid: not in git, or no penstock repository at that commit.
    """
    require_git(project)
    pushed = pushed or Pushed()
    if project.git.head() is None and revision == "HEAD":
        raise NotFound(
            "there is no commit yet: a CI run validates one",
            code="ci.no_commit",
            hint="git add -A && git commit",
        )
    commit = project.git.resolve(revision)
    started_ms = pushed.began_ms or now_ms()
    branch = pushed.branch or branch_of(project.git, revision, pushed)
    unjudged = list_unjudged(project, commit, pushed) if pushed.branch is None else ()
    progress = _Progress()
    with clean_worktree(project, commit, "ci") as tree:
        run = _Run(tree, progress, on_step or (lambda step: None))
        champion = _champion_of(tree)
        begun = msgspec.structs.replace(
            _report(tree, progress, champion, commit, started_ms),
            passed=False, branch=branch, unjudged=unjudged, steps=(UNFINISHED,), process=name_process(),
        )  # fmt: skip
        save_report(project, begun)
        run.step("data", lambda: _bring_data(project, tree))
        if new_data:
            run.step("new data", lambda: _Outcome(take_new_data(tree)))
        run.step("tests", lambda: _run_tests(tree))
        lets_out = deploy and tree.settings.ci.deploy != "none"
        must_see = lets_out or _asks_who_made_it(tree)
        run.step("pipeline", lambda: _reproduce(tree, progress, watcher, must_see=must_see))
        run.step("gate", lambda: _judge(tree, progress, commit))
        run.step("register", lambda: _register(tree, progress))
        if push_outputs:
            run.step("push", lambda: _push(tree))
        if lets_out:
            run.step("deploy", lambda: _deploy(tree, progress, commit, pushed))
        plots = draw_plots(project, tree, champion)
        report = msgspec.structs.replace(
            _report(tree, progress, champion, commit, started_ms),
            branch=branch, unjudged=unjudged, changes=changes_of(tree, commit, champion),
            plots=plots.names, plots_problem=plots.problem,
        )  # fmt: skip
    try:
        save_report(project, report)
    except OSError as error:  # what was released is released, and has to be told
        lost = _not_kept(error)
        run.on_step(lost)
        return msgspec.structs.replace(report, steps=(*report.steps, lost))
    return report


def _not_kept(error: OSError) -> StepReport:
    return StepReport(
        name="report",
        status="failed",
        seconds=0.0,
        sentence=f"the report could not be kept: {told_of_system(error).message}",
    )


def judge_tree(tree: Project, started_ms: int, on_step: OnStep) -> CiReport:
    """Judge and register what a pipeline made in a working tree, and return the report, which is also kept.

    The steps are data, pipeline (nothing should be left to run), gate and register; a failure is in the report.
    """
    progress = _Progress()
    run, champion = _Run(tree, progress, on_step), _champion_of(tree)
    run.step("data", lambda: _bring_data(tree, tree))
    run.step("pipeline", lambda: _reproduce(tree, progress, None))
    run.step("gate", lambda: _judge(tree, progress, tree.git.head() or ""))
    run.step("register", lambda: _register(tree, progress))
    report = _report(tree, progress, champion, tree.git.head() or "", started_ms)
    save_report(tree, report)
    return report


@dataclass
class _Run:
    tree: Project
    progress: _Progress
    on_step: OnStep

    def step(self, name: str, work: Callable[[], _Outcome]) -> None:
        """Make one step and note how it ended; skip it when an earlier one failed."""
        began = time.monotonic()
        if self.progress.has_failed:
            outcome = _Outcome("an earlier step failed", "skipped")
        else:
            try:
                outcome = work()
            except PenstockError as error:
                outcome = _failed(error)
            except OSError as error:  # such as a full disk
                outcome = _failed(told_of_system(error))
        report = StepReport(
            name=name,
            status=outcome.status,
            seconds=time.monotonic() - began,
            sentence=self._told(outcome.sentence),
            details=tuple(map(self._told, outcome.details)),
        )
        self.progress.steps.append(report)
        self.on_step(report)

    def _told(self, text: str) -> str:
        """Return a text with paths as they are in the repository: the run's own tree is gone when it is read."""
        return text.replace(f"{self.tree.root}/", "")


def _failed(error: PenstockError) -> _Outcome:
    output = error.fields.get("output")
    details = tuple(str(line) for line in output) if isinstance(output, list) else ()
    if error.hint:
        details = (*details, f"next: {error.hint}")
    return _Outcome(error.message, "failed", details)


def _bring_data(project: Project, tree: Project) -> _Outcome:
    brought = bring_outputs(tree, project.data)
    sentence = (
        f"{brought.output_count} tracked paths in place, {counted(brought.fetched_count, 'object')} fetched"
    )
    if brought.absent:
        sentence += f"; to be made again: {', '.join(brought.absent)}"
    return _Outcome("; ".join([sentence, *brought.undetermined, *brought.passed_over]))


def _run_tests(tree: Project) -> _Outcome:
    command = tree.settings.ci.tests
    if command is None:
        return _Outcome("penstock.yaml names no tests (`ci: {tests: …}`)", "skipped")
    lines: list[str] = []
    code = run_command("ci.tests", command, tree.root, lines.append)
    if code != 0:
        raise Refused(
            f"`{command}` exited with {code}",
            code="ci.tests_failed",
            hint="run the tests where you are",
            output=lines[-KEPT_LINES:],
        )
    return _Outcome(lines[-1].strip("= ") if lines else f"`{command}` passed")


def _asks_who_made_it(tree: Project) -> bool:
    """Say whether a gate asks for the stage that made a model: what nobody saw run would fail it."""
    gates = [*tree.settings.gates, *(gate for one in tree.settings.all_models for gate in one.gates or ())]
    return any(gate.kind == "provenance" and "stage" in gate.settings.require for gate in gates)


def _reproduce(
    tree: Project, progress: _Progress, watcher: Watcher | None, *, must_see: bool = False
) -> _Outcome:
    """Bring the pipeline up to date.

    Args:
        must_see: take no result that no recorded run made, such as one that was committed by hand: its stage runs.
    """
    unseen = unseen_stages(tree)
    options = ReproduceOptions(is_seen=partial(is_seen, tree) if must_see else None)
    done = reproduce_and_record(tree, options, watcher)
    ran = [item.stage for item in done.results if item.action == "ran"]
    restored = sum(item.action == "restored" for item in done.results)
    kept = len(done.results) - len(ran) - restored
    progress.run_id = done.run.id if done.run else None
    progress.metrics = dict(done.run.metrics) if done.run else {}
    words = [f"ran {', '.join(ran)}" if ran else "nothing had to run"]
    words += [f"{restored} restored from earlier runs"] if restored else []
    words += [f"{kept} unchanged"] if kept else []
    if anew := [item.stage for item in done.results if item.stage in unseen and item.action in MADE]:
        words.append(f"no recorded run had made what {LOCK_FILE} says of {', '.join(anew)}")
    if left := unseen_stages(tree):
        words.append(never_seen(left))
    if not done.is_up_to_date and tree.git.run("status", "--porcelain", "--", f"*{LOCK_FILE}"):
        words.append(
            f"{LOCK_FILE} of the commit is not in step and stays as it is: penstock repro, git commit"
        )
    words += [f"OpenLineage's events were not delivered: {done.untold}"] if done.untold else []
    return _Outcome("; ".join(words))


def _judge(tree: Project, progress: _Progress, commit: str) -> _Outcome:
    names: list[str | None] = [one.name for one in tree.settings.all_models]
    verdicts = [run_gate(tree, name=name) for name in names or [None]]
    progress.verdict = next((one for one in verdicts if one.blocking), verdicts[0])
    progress.checks = [check for one in verdicts for check in one.checks]
    changes = tuple(
        dict.fromkeys(told for one in verdicts for told in gate_changes(tree, one.model, commit))
    )  # a commit brings its own gates
    if progress.verdict.blocking:
        return _Outcome(progress.verdict.blocking[0].sentence, "failed", changes)
    sentence = "; ".join(
        one.summary if len(verdicts) == 1 else f"{one.model}: {one.summary}" for one in verdicts
    )
    compared = [one.model for one in verdicts if any(check.kind == "champion" for check in one.checks)]
    if compared:
        with tree.database.read() as connection:
            if any(find_alias(connection, name, "champion") is None for name in compared):
                sentence = _warn_of_empty_store(tree, sentence)
    return _Outcome("; ".join((sentence, *changes)))


def _warn_of_empty_store(tree: Project, sentence: str) -> str:
    """Say so where a shared store is missing: the comparison with the champion was none."""
    is_local = tree.places.store_url.startswith("sqlite")
    return (
        f"{sentence}; this store knows no champion (PENSTOCK_STORE names a shared one)"
        if is_local
        else sentence
    )


def _register(tree: Project, progress: _Progress) -> _Outcome:
    names: list[str | None] = [one.name for one in tree.settings.all_models]
    done = [register_model(tree, name) for name in names or [None]]
    progress.versions, progress.is_new = [one for one, _ in done], done[0][1]
    words = [f"{one.ref} registered" if is_new else f"this is {one.ref} already" for one, is_new in done]
    return _Outcome("; ".join(words))


def _deploy(tree: Project, progress: _Progress, commit: str, pushed: Pushed) -> _Outcome:
    why = why_not_on_default(tree.git, commit, pushed)
    why = why or why_held(tree, progress.versions, commit)
    if why is not None:
        progress.held = why
        hold(tree, progress.versions, why, commit)
        return _Outcome(f"not released: {why}", "skipped")
    reason = f"commit {commit[:10]} passed its gate"
    progress.released = tuple(release(tree, progress.versions, reason, commit))
    return _Outcome("; ".join(progress.released) or "it is deployed already")


def _push(tree: Project) -> _Outcome:
    report = push(tree.data)
    raise_failures(report, "pushed")
    return _Outcome(f"{counted(report.done, 'object')} pushed")


def _champion_of(tree: Project) -> ModelVersion | None:
    """Return the champion that a commit is compared with: the one before it may become that itself."""
    model = next(iter(tree.settings.all_models), None)
    if model is None:
        return None
    with tree.database.read() as connection:
        alias = find_alias(connection, model.name, "champion")
        return get_version(connection, model.name, alias.version) if alias else None


def _report(
    tree: Project, progress: _Progress, champion: ModelVersion | None, commit: str, started_ms: int
) -> CiReport:
    return CiReport(
        project=tree.settings.project,
        commit=commit,
        subject=tree.git.run("log", "-1", "--format=%s", commit),
        started_ms=started_ms,
        passed=not progress.has_failed,
        steps=tuple(progress.steps),
        checks=tuple(
            CheckReport(
                kind=check.kind,
                name=check.name,
                status=check.status,
                severity="warn" if check.waiver is not None else check.severity,
                sentence=check.sentence,
            )
            for check in progress.checks
        ),
        metrics=progress.metrics,
        champion=champion.ref if champion else None,
        champion_metrics=champion.metrics if champion else {},
        version=progress.versions[0].ref if progress.versions else None,
        released=progress.released,
        held=progress.held,
        is_new_version=progress.is_new,
        verdict_id=progress.verdict.id if progress.verdict else None,
        run_id=progress.run_id,
    )
