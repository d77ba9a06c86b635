"""`penstock repro`: run what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Unpack

import click

from penstock.cli.data.targets import TARGETS
from penstock.cli.ending import end_as_interrupted
from penstock.cli.output import Session, can_ask, is_terminal, json_option, pass_session
from penstock.cli.pipelines.recovering import tell_recovered
from penstock.cli.pipelines.reproduce_flags import (
    ExecutorFlags,
    ExtentFlags,
    ReproduceFlags,
    executor_options,
    reproduce_options,
)

if TYPE_CHECKING:
    from penstock.flows.pipelines.execution import Reproduction
    from penstock.pipeline.executors.role import Executor
    from penstock.pipeline.graph import Extent
    from penstock.pipeline.running.reproducing import ReproduceOptions, StageResult

UP_TO_DATE = "Data and pipelines are up to date."
LOGS = "penstock-logs"
"""Where, below `.dvc/tmp`, what the commands of stages printed last is kept."""


class ReproFlags(ReproduceFlags):
    """How the pipeline is brought up to date, and what `repro` alone may be told."""

    use_glob: bool
    no_commit: bool
    no_run_cache: bool
    jobs: int


@click.command()
@TARGETS
@reproduce_options(force="Run stages that are up to date too.")
@click.option("--glob", "use_glob", is_flag=True, help="Take names with wildcards in TARGETS.")
@click.option("--no-commit", is_flag=True, help="Do not put outputs into the cache.")
@click.option("--no-run-cache", is_flag=True, help="Run even where an earlier run had the same inputs.")
@click.option("-j", "--jobs", type=click.IntRange(1), default=1, help="Run this many stages at once.")
@executor_options
@json_option
@pass_session
def repro(session: Session, /, targets: tuple[str, ...], **flags: Unpack[ReproFlags]) -> None:
    """Run the pipeline's stages whose inputs changed, and record the run.

    A target is a stage, a dvc.yaml, DIR/dvc.yaml:STAGE, a pointer or an output. Without targets it is the
    dvc.yaml of the current directory.
    """
    from dataclasses import replace

    from penstock.cli.pipelines.narrating import narrating
    from penstock.flows.pipelines.looking import find_recorded, looked
    from penstock.workspace import open_workspace

    if flags["interactive"] and flags["jobs"] > 1:
        raise click.UsageError("--interactive asks about one stage at a time: it does not go with --jobs")
    end_as_interrupted()  # what runs is ended too
    dry = flags["dry"]
    options = _options(targets, flags)
    if flags["interactive"]:
        options = replace(options, confirm=asker())
    project = open_workspace(session.directory)
    try:
        tell_recovered(session, project)
        if options.selection is not None:
            base = session.directory.relative_to(project.root).as_posix()
            options = replace(options, selection=replace(options.selection, base="" if base == "." else base))
        if flags["pull"]:
            from penstock.flows.pipelines.pulling import bringer  # the remotes, only for it

            options = replace(options, bring=bringer(project.data, session.note, with_runs=options.run_cache))
        logs = project.data.dvc_dir / "tmp" / LOGS
        with narrating(session, options.jobs, project.root) as watcher, executing(flags) as executor:
            options = replace(options, dry=dry, logs=logs, executor=executor)
            with looked(project, options) as look:
                if not (dry or session.as_json) and (known := find_recorded(project, look, watcher)):
                    session.emit({}, lambda: f"{UP_TO_DATE}\nRun {known}")
                    return
                from penstock.flows.pipelines.execution import carry_out  # what a run takes

                done = carry_out(project, look, options, watcher)
    finally:
        project.close()
    tell_untold(session, done)
    session.emit(_document(done), lambda: _text(done, dry=dry))


def _options(targets: tuple[str, ...], flags: ReproFlags) -> ReproduceOptions:
    from penstock.pipeline.running.reproducing import ReproduceOptions
    from penstock.pipeline.targets import Selection

    if flags["keep_going"] and flags["ignore_errors"]:
        raise click.UsageError("--keep-going and --ignore-errors exclude each other")
    selection = Selection(targets, "", flags["recursive"], flags["use_glob"])
    return ReproduceOptions(
        None if flags["all_pipelines"] else selection,
        extent_of(flags),
        force=flags["force"],
        force_downstream=flags["force_downstream"],
        run_cache=not flags["no_run_cache"],
        commit=not flags["no_commit"],
        allow_missing=flags["allow_missing"],
        on_error="keep going" if flags["keep_going"] else "ignore" if flags["ignore_errors"] else "stop",
        jobs=flags["jobs"],
    )


def tell_untold(session: Session, done: Reproduction) -> None:
    """Warn where OpenLineage's events were not delivered."""
    if done.untold is not None:
        session.note(f"warning: OpenLineage's events were not delivered: {done.untold}")


@contextmanager
def executing(flags: ExecutorFlags) -> Iterator[Executor | None]:
    """Yield who runs the commands; None is this machine.

    Raises:
        NotFound, Unavailable: as `open_executor`.
    """
    if flags["executor"] == "local":
        if flags["address"] is not None:
            raise click.UsageError("--address goes with an --executor that has a cluster")
        yield None
        return
    from penstock.pipeline.executors.catalogue import open_executor

    executor = open_executor(flags["executor"], flags["address"])
    end_as_interrupted()  # a library may have taken the signals
    try:
        yield executor
    finally:
        executor.close()


def extent_of(flags: ExtentFlags) -> Extent:
    """Return what goes along with the targets."""
    if flags["pipeline"]:
        return "pipeline"
    if flags["single"]:
        return "single"
    return "downstream" if flags["downstream"] else "upstream"


def asker() -> Callable[[str], bool]:
    """Return what asks a person before each stage; a mistake where there is no terminal."""
    if not (can_ask() and is_terminal()):
        raise click.UsageError("--interactive needs a terminal to ask on")
    return lambda stage: click.confirm(f"Reproduce {stage}?", err=True)


def would(results: Sequence[StageResult]) -> str:
    """Return what would be done, in sentences: a frozen stage does not run."""
    told = {
        "would run": "Would run",
        "would record": "Would record",
        "would fail": "Would fail, being frozen",
    }
    found = {what: [one.stage for one in results if one.action == what] for what in told}
    lines = [f"{told[what]}: {', '.join(names)}." for what, names in found.items() if names]
    return "\n".join(lines) or "Nothing would run."


def _document(done: Reproduction) -> dict[str, Any]:
    return {
        "run": done.run.id if done.run else None,
        "up_to_date": done.is_up_to_date,
        "stages": [
            {
                "name": item.stage,
                "action": item.action,
                "seconds": round(item.seconds, 3),
                "reasons": item.reasons,
            }
            for item in done.results
        ],
        "metrics": dict(done.run.metrics) if done.run else {},
    }


def _text(done: Reproduction, *, dry: bool) -> str:
    changed = [item.stage for item in done.results if item.action not in {"up to date", "frozen"}]
    if not changed:
        text = UP_TO_DATE
    elif dry:
        text = would(done.results)
    else:
        text = "Recorded: git add dvc.lock, and what it names, to keep this state."
    return f"{text}\nRun {done.run.id}" if done.run else text
