"""Commands that the components of a Kubeflow pipeline run: one stage on a machine of its own, and the gate after all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from penstock.cli.ending import end_as_interrupted
from penstock.cli.output import EXIT_FAILED, Session, pass_session

if TYPE_CHECKING:
    from penstock.ci.report import StepReport

_FILE = click.Path(dir_okay=False, path_type=Path)
_GIVEN = click.option(
    "--given", multiple=True, type=_FILE, help="The state after a stage before; may be repeated."
)
_CALL = click.option("--executor-input", "call", help="What Kubeflow tells its components, as JSON.")


@click.command("stage")
@click.argument("target", metavar="STAGE")
@_GIVEN
@click.option("--made", type=_FILE, required=True, help="Where to write the state after the stage.")
@_CALL
@pass_session
def ci_stage(session: Session, target: str, given: tuple[Path, ...], made: Path, call: str | None) -> None:
    """Run STAGE in a clean clone: bring its inputs from the remote, push what it made.

    It is what a component of the pipeline runs that `penstock ci init kubeflow` writes; an earlier run of the same
    inputs is taken from the run cache.
    """
    from penstock.cli.pipelines.narrating import Narrator
    from penstock.flows.ci.components import run_component
    from penstock.workspace import open_workspace

    end_as_interrupted()
    base = session.directory
    project = open_workspace(base)
    try:
        done = run_component(
            project, target, [base / path for path in given], base / made, Narrator(session), session.note
        )
    finally:
        project.close()
    _tell_kubeflow(call)
    results = [{"stage": item.stage, "action": item.action} for item in done.results]
    session.emit({"results": results}, f"{target}: {', '.join(item.action for item in done.results)}")


@click.command("finish")
@_GIVEN
@click.option("--made", type=_FILE, required=True, help="Where to write the report, as Markdown.")
@_CALL
@pass_session
@click.pass_context
def ci_finish(
    context: click.Context, session: Session, given: tuple[Path, ...], made: Path, call: str | None
) -> None:
    """Judge and register what the stages of a pipeline made elsewhere; exit 1 when the gate refuses it.

    It is the last component of the pipeline that `penstock ci init kubeflow` writes.
    """
    import msgspec

    from penstock.base.files import write_atomic
    from penstock.ci.report import render_markdown
    from penstock.flows.ci.components import finish_components
    from penstock.workspace import open_workspace

    def on_step(step: StepReport) -> None:
        session.note(f"{step.status:7} {step.name}: {step.sentence} ({step.seconds:.1f} s)")

    end_as_interrupted()
    base = session.directory
    project = open_workspace(base)
    try:
        report = finish_components(project, [base / path for path in given], on_step)
    finally:
        project.close()
    write_atomic(base / made, render_markdown(report).encode())
    _tell_kubeflow(call)
    session.emit(msgspec.to_builtins(report), lambda: render_markdown(report))
    if not report.passed:
        context.exit(EXIT_FAILED)


def _tell_kubeflow(call: str | None) -> None:
    from penstock.base.files import write_atomic
    from penstock.flows.ci.kubeflow import executor_output

    if call is not None:
        file, content = executor_output(call)
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(Path(file), content)
