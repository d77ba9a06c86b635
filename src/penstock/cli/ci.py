"""Commands for continuous integration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from penstock.cli.output import EXIT_FAILED, Session, json_option, pass_session

if TYPE_CHECKING:
    from penstock.ci.report import StepReport


@click.group()
def ci() -> None:
    """Validate a commit: tests, pipeline, gate, register, report."""


@ci.command("run")
@click.option("--rev", default="HEAD", show_default=True, help="The commit, branch or tag to validate.")
@click.option("--push", "push_outputs", is_flag=True, help="Upload what was made to the default remote.")
@json_option
@pass_session
@click.pass_context
def ci_run(context: click.Context, session: Session, rev: str, push_outputs: bool) -> None:
    """Validate a commit in a clean tree; exit 1 when anything refuses it."""
    import msgspec

    from penstock.ci.report import render_markdown
    from penstock.cli.pipelines.repro import Narrator
    from penstock.flows.ci.continuous import run_ci
    from penstock.workspace import open_workspace

    def on_step(step: StepReport) -> None:
        session.note(f"{step.status:7} {step.name}: {step.sentence} ({step.seconds:.1f} s)")

    project = open_workspace(session.directory)
    try:
        watcher = Narrator(session) if session.verbose else None
        report = run_ci(project, rev, push_outputs=push_outputs, on_step=on_step, watcher=watcher)
    finally:
        project.close()
    session.emit(msgspec.to_builtins(report), lambda: render_markdown(report))
    if not report.passed:
        context.exit(EXIT_FAILED)


@ci.command("report")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write JUnit's XML to a file.")
@json_option
@pass_session
def ci_report(session: Session, junit: Path | None) -> None:
    """Print the last run's report as Markdown, or write it as JUnit's XML."""
    import msgspec

    from penstock.base.files import write_atomic
    from penstock.ci.junit import render_junit
    from penstock.ci.report import render_markdown
    from penstock.flows.ci.continuous import load_report
    from penstock.workspace import open_workspace

    report = load_report(open_workspace(session.directory))
    if junit is not None:
        write_atomic(session.directory / junit, render_junit(report).encode())
        session.emit({"path": str(junit)}, f"{junit} written")
        return
    session.emit(msgspec.to_builtins(report), lambda: render_markdown(report))


@ci.command("init")
@click.argument("system", type=click.Choice(["github", "gitlab", "jenkins"]))
@click.option("--self-hosted", is_flag=True, help="The runners see what this machine sees.")
@click.option("--dry-run", is_flag=True, help="Print the file instead of writing it.")
@click.option("-f", "--force", is_flag=True, help="Replace a file that was changed by hand.")
@pass_session
def ci_init(session: Session, system: str, self_hosted: bool, dry_run: bool, force: bool) -> None:
    """Write the CI system's file that runs `penstock ci run` on every push."""
    from penstock.flows.ci.files import apply_ci_file, plan_ci_file
    from penstock.workspace import open_workspace

    plan = plan_ci_file(open_workspace(session.directory), system, is_self_hosted=self_hosted)
    document: dict[str, object] = {"path": plan.relative, "notes": list(plan.notes), "applied": not dry_run}
    if dry_run:
        session.emit({**document, "text": plan.text}, plan.text.rstrip())
    else:
        apply_ci_file(plan, force=force)
        session.emit(document, f"{plan.path} written. Next: git add {plan.path}")
    for note in plan.notes:
        session.note(f"note: {note}")
