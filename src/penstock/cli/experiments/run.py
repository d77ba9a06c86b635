"""`penstock exp run`: one experiment, a sweep of them, or what waits in the queue."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

import click

from penstock.base.errors import PenstockError
from penstock.cli.data.targets import TARGETS
from penstock.cli.ending import end_as_interrupted
from penstock.cli.output import EXIT_FAILED, Session, json_option, pass_session
from penstock.cli.pipelines.narrating import Narrator
from penstock.cli.pipelines.recovering import tell_recovered
from penstock.cli.pipelines.repro import (
    LOGS,
    asker,
    executing,
    extent_of,
    tell_untold,
    would,
)
from penstock.cli.pipelines.reproduce_flags import ReproduceFlags, executor_options, reproduce_options

if TYPE_CHECKING:
    from penstock.flows.experiments.request import Request
    from penstock.flows.experiments.running import Company, Ran
    from penstock.flows.experiments.sweeping import Outcome
    from penstock.pipeline.overriding.overrides import Override
    from penstock.pipeline.running.reproducing import StageResult
    from penstock.pipeline.stage import Stage
    from penstock.project.project import Project


CALLED = "penstock.called"


class ExperimentFlags(ReproduceFlags):
    """How the pipeline is brought up to date, and what the experiment is called."""

    name: str | None
    copy_paths: tuple[str, ...]
    message: str
    no_hydra: bool
    search: str | None
    metric: str | None
    direction: str
    seed: int


class _Titled(Narrator):
    """Tells of experiments that run at once: each line says which stage it is of."""

    def printed(self, stage: Stage, line: str) -> None:
        """Pass the command's output on."""
        super().printed(stage, f"{stage.address}: {line}")

    def finished(self, result: StageResult) -> None:
        """Say what became of the stage, where something did."""
        if result.action not in {"up to date", "frozen"}:
            super().finished(result)


class _Remembered(click.Command):
    """A command that knows how it was called, to tell it in a hint."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note the words before they are taken apart."""
        ctx.meta[CALLED] = shlex.join(args)
        return super().parse_args(ctx, args)


@click.command(cls=_Remembered)
@TARGETS
@reproduce_options(force="Run stages that are up to date too; replace the name's experiment.")
@click.option("-n", "--name", help="The experiment's name; without it, one nobody has.")
@click.option(
    "-S",
    "--set-param",
    "set_param",
    multiple=True,
    metavar="[FILE:]NAME=VALUE",
    help="Set a parameter; +NAME=VALUE adds one, ~NAME takes one away, NAME=A,B tries several values.",
)
@click.option(
    "--search",
    metavar="random:N|optuna:N",
    help="Try N experiments with values of -S, which may be interval(LOW,HIGH), instead of all: drawn, or chosen by"
    " what those before gave.",
)
@click.option("--metric", help="What --search optuna:N looks for: a metric of the runs.")
@click.option(
    "--direction",
    type=click.Choice(["maximize", "minimize"]),
    default="maximize",
    show_default=True,
    help="Which way that metric is better.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Draw the same again for the same seed.")
@click.option("--queue", is_flag=True, help="Keep the experiment for --run-all.")
@click.option("--run-all", is_flag=True, help="Run all that waits in the queue, each in a tree of its own.")
@click.option("-j", "--jobs", type=click.IntRange(1), default=1, help="Run this many experiments at once.")
@click.option("--temp", is_flag=True, help="Run in a tree of its own instead of the workspace.")
@click.option("-C", "--copy-paths", multiple=True, help="Copy what git does not have into that tree.")
@click.option("-m", "--message", default="", help="The message of the experiment's commit.")
@click.option("--no-hydra", is_flag=True, help="Accepted for DVC's sake: no configuration is composed.")
@executor_options
@json_option
@pass_session
def run(
    session: Session,
    /,
    targets: tuple[str, ...],
    set_param: tuple[str, ...],
    queue: bool,
    run_all: bool,
    temp: bool,
    jobs: int,
    **flags: Unpack[ExperimentFlags],
) -> None:
    """Run the pipeline as an experiment, with parameters set for it, and keep the result under a name.

    The workspace holds the result afterwards, unless --temp or --queue is given or parameters have several values:
    then each experiment runs in a tree of its own, and `exp apply` brings one's result here.
    """
    from dataclasses import replace

    from penstock.flows.experiments.saving import baseline_of, name_experiment
    from penstock.pipeline.overriding.overrides import combine
    from penstock.workspace import open_workspace

    if run_all and (queue or set_param or targets or flags["name"]):
        raise click.UsageError("--run-all runs what is queued: it takes no targets, name or parameters")
    if flags["interactive"] and (queue or run_all or temp):
        raise click.UsageError("--interactive goes with experiments in the workspace")
    chosen = combine(set_param) if flags["search"] is None else []
    learns = flags["search"] is not None and _learns(flags, queue=queue or run_all)
    project = open_workspace(session.directory)
    end_as_interrupted()  # the workspace is put back too
    try:
        tell_recovered(session, project)
        if learns:
            from penstock.cli.experiments.searching import search_and_tell, searched_document, searched_text

            watcher = _Titled(session) if jobs > 1 else Narrator(session)
            with executing(flags) as executor:
                company = replace(_company(session, project, watcher), executor=executor)
                done = search_and_tell(
                    session,
                    project,
                    _request(session, project, targets, flags),
                    set_param,
                    flags,
                    company,
                    jobs=jobs,
                )
            told = [_outcome(one) for one in done.outcomes]
            session.emit(searched_document(done, told), lambda: searched_text(done, flags["metric"] or ""))
            return
        if flags["search"] is not None:
            chosen = _drawn(session, project, set_param, flags["search"], flags["seed"])
        request = _request(session, project, targets, flags)
        if run_all or queue or temp or len(chosen) > 1:
            _apart(
                session,
                project,
                request,
                [] if run_all else chosen,
                flags,
                queue=queue,
                only=not run_all,
                jobs=jobs,
            )
            return
        baseline = baseline_of(project)
        name = name_experiment(project.git, baseline, flags["name"], force=flags["force"])
        _here(session, project, (name, baseline), request, chosen[0], flags)
    except PenstockError as error:
        error.hint = _again(error.hint, is_queued=run_all)
        raise
    finally:
        project.close()


def _learns(flags: ExperimentFlags, *, queue: bool) -> bool:
    from penstock.cli.experiments.searching import learns_from  # what a search takes

    return learns_from(flags, queue=queue)


def _drawn(
    session: Session, project: Project, set_param: tuple[str, ...], search: str, seed: int
) -> list[tuple[Override, ...]]:
    """Draw experiments; fewer than asked for are told.

    Raises:
        NotFound, Conflict, Invalid: as `changed_parameters`, `parse_search` and `draw_overrides`; or nothing is to be drawn.
    """
    from penstock.flows.experiments.running import changed_parameters, present_value
    from penstock.pipeline.overriding.drawing import (
        draw_overrides,
        parse_dimension,
        parse_search,
        require_several,
        told_fewer,
    )

    count = parse_search(search).number
    given = [parse_dimension(text, present_value(project.root)) for text in set_param]
    drawn = draw_overrides(given, count, seed)
    changed_parameters(project.root, drawn[0])  # a name that is not there is the likelier mistake
    require_several(drawn, count)
    if len(drawn) < count:
        session.note(told_fewer(given, len(drawn), count))
    return drawn


def _again(hint: str | None, *, is_queued: bool) -> str | None:
    """Return a hint that names the experiment to be run again, where it named a reproduction: the parameters are gone."""
    before, found, _ = (hint or "").partition("then penstock repro ")
    if not found:
        return hint
    if is_queued:
        return f"{before}then penstock exp run with its parameters, which penstock exp show lists"
    return f"{before}then penstock exp run {click.get_current_context().meta[CALLED]}".rstrip()


def _here(
    session: Session,
    project: Project,
    experiment: tuple[str, str],
    request: Request,
    overrides: Sequence[Override],
    flags: ExperimentFlags,
) -> None:
    from dataclasses import replace

    from penstock.flows.experiments.running import run_in_workspace

    company = _company(session, project, Narrator(session, root=project.root))
    if flags["interactive"]:
        company = replace(company, confirm=asker())
    with executing(flags) as executor:
        company = replace(company, executor=executor)
        name, baseline = experiment
        ran = run_in_workspace(
            project, name, request, overrides, company, baseline=baseline, dry=flags["dry"]
        )
    if ran.experiment is None:
        session.emit(_document(ran), would(ran.reproduction.results))
        return
    tell_untold(session, ran.reproduction)
    session.emit(
        _document(ran),
        f"Ran experiment {ran.name} ({ran.experiment.commit[:7]}); its results are in your workspace.",
    )


def _apart(
    session: Session,
    project: Project,
    request: Request,
    chosen: Sequence[tuple[Override, ...]],
    flags: ExperimentFlags,
    *,
    queue: bool,
    only: bool,
    jobs: int,
) -> None:
    """Queue experiments, and run them, or with `only` false all that wait, unless they are just to be queued."""
    from dataclasses import replace

    from penstock.flows.experiments.planning import enqueue_all
    from penstock.flows.experiments.queueing import list_waiting
    from penstock.flows.experiments.sweeping import run_all

    if flags["dry"]:
        raise click.UsageError("--dry goes with one experiment in the workspace")
    queued = enqueue_all(project, request, chosen, flags["name"]) if only else []
    if queue:
        document = [{"name": job.name, "rev": job.start} for job in queued]
        lines = [f"Queued experiment {job.name} ({job.start[:7]})." for job in queued]
        session.emit(document, "\n".join([*lines, "Run them with penstock exp run --run-all."]))
        return
    names = {job.name for job in queued}
    waiting = [one for one in list_waiting(project.git, "queue") if not only or one.job.name in names]
    if not waiting:
        session.emit([], "No experiment waits.")
        return
    watcher = _Titled(session) if len(waiting) > 1 and jobs > 1 else Narrator(session)

    def tell(outcome: Outcome) -> None:
        if outcome.ran is not None:
            tell_untold(session, outcome.ran.reproduction)
        if outcome.error is not None:
            session.note(f"Experiment {outcome.job.name} failed: {outcome.error.message}")

    company = _company(session, project, watcher)
    with executing(flags) as executor:
        company = replace(company, executor=executor)
        outcomes = run_all(project, waiting, company, jobs=jobs, on_done=tell)
    if len(outcomes) == 1 and outcomes[0].error is not None:
        raise outcomes[0].error
    session.emit([_outcome(one) for one in outcomes], lambda: _told(outcomes))
    if any(one.error for one in outcomes):
        raise click.exceptions.Exit(EXIT_FAILED)


def _told(outcomes: Sequence[Outcome]) -> str:
    ran = [one.ran for one in outcomes if one.ran is not None]
    failed = [one.job.name for one in outcomes if one.error is not None]
    lines = []
    if ran:
        names = ", ".join(one.name for one in ran)
        lines += [f"Ran {len(ran)} experiment{'s' if len(ran) > 1 else ''}: {names}."]
        lines += [f"Bring one's results here with penstock exp apply {shlex.quote(ran[0].name)}."]
    if failed:
        lines += [
            f"Failed: {', '.join(failed)}. penstock exp show lists them, penstock exp remove drops them."
        ]
    return "\n".join(lines)


def _request(session: Session, project: Project, targets: tuple[str, ...], flags: ExperimentFlags) -> Request:
    from penstock.flows.experiments.request import Request

    if flags["keep_going"] and flags["ignore_errors"]:
        raise click.UsageError("--keep-going and --ignore-errors exclude each other")
    base = session.directory.relative_to(project.root).as_posix()
    return Request(
        targets=targets,
        base="" if base == "." else base,
        recursive=flags["recursive"],
        everything=flags["all_pipelines"],
        extent=extent_of(flags),
        force=flags["force"],
        force_downstream=flags["force_downstream"],
        pull=flags["pull"],
        allow_missing=flags["allow_missing"],
        on_error="keep going" if flags["keep_going"] else "ignore" if flags["ignore_errors"] else "stop",
        copies=tuple(f"{base}/{path}" for path in flags["copy_paths"]),
        message=flags["message"],
    )


def _company(session: Session, project: Project, watcher: Narrator) -> Company:
    from penstock.flows.experiments.running import Company

    def bring(repo: Any) -> Any:
        from penstock.flows.pipelines.pulling import bringer  # the remotes, only for it

        return bringer(repo, session.note, with_runs=True)

    return Company(watcher, bring, logs=project.data.dvc_dir / "tmp" / LOGS)


def _document(ran: Ran) -> dict[str, Any]:
    done = ran.reproduction
    return {
        "name": ran.name,
        "rev": ran.experiment.commit if ran.experiment else None,
        "run": done.run.id if done.run else None,
        "stages": [{"name": item.stage, "action": item.action} for item in done.results],
        "metrics": dict(done.run.metrics) if done.run else {},
    }


def _outcome(one: Outcome) -> dict[str, Any]:
    if one.ran is not None:
        return _document(one.ran)
    error = {"code": one.error.code, "message": one.error.message} if one.error else None
    return {"name": one.job.name, "rev": None, "error": error}
