"""Commands for continuous integration."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from penstock.cli.ci.components import ci_finish, ci_stage
from penstock.cli.ending import end_as_interrupted
from penstock.cli.output import EXIT_FAILED, EXIT_HELD, Session, json_option, pass_session
from penstock.cli.places import GivenPath

if TYPE_CHECKING:
    from penstock.ci.report import StepReport


@click.group()
def ci() -> None:
    """Validate a commit: tests, pipeline, gate, register, report."""


@ci.command("run")
@click.option("--rev", default="HEAD", show_default=True, help="The commit, branch or tag to validate.")
@click.option("--push", "push_outputs", is_flag=True, help="Upload what was made to the default remote.")
@click.option(
    "--deploy",
    is_flag=True,
    help="Do with what passed what `ci.deploy` says, if the commit is on the default branch; exit 6 where it is held.",
)
@click.option(
    "--new-data", is_flag=True, help="Update the imports of `ci.on.data` first, for this run alone."
)
@json_option
@pass_session
@click.pass_context
def ci_run(
    context: click.Context, session: Session, rev: str, push_outputs: bool, deploy: bool, new_data: bool
) -> None:
    """Validate a commit in a clean tree; exit 1 when anything refuses it."""
    import msgspec

    from penstock.ci.report import render_markdown
    from penstock.cli.pipelines.narrating import Narrator
    from penstock.flows.ci.branches import Pushed, told_by_system
    from penstock.flows.ci.changes import told_unjudged
    from penstock.flows.ci.continuous import run_ci
    from penstock.workspace import environment, open_workspace

    def on_step(step: StepReport) -> None:
        session.note(f"{step.status:7} {step.name}: {step.sentence} ({step.seconds:.1f} s)")

    end_as_interrupted()  # the tests and stages are ended too, and the tree is taken away
    variables = environment()
    event = variables.get("GITHUB_EVENT_PATH")
    told = told_by_system(variables, Path(event).read_bytes() if event and Path(event).is_file() else None)
    project = open_workspace(session.directory)
    try:
        watcher = Narrator(session) if session.verbose else None
        report = run_ci(
            project, rev, push_outputs=push_outputs, deploy=deploy, new_data=new_data, pushed=Pushed(told=told),
            on_step=on_step, watcher=watcher,
        )  # fmt: skip
    finally:
        project.close()
    if report.unjudged:
        session.note(f"warning: {told_unjudged(report.unjudged)}")
    session.emit(msgspec.to_builtins(report), lambda: render_markdown(report))
    if not report.passed:
        context.exit(EXIT_FAILED)
    if report.held is not None:
        context.exit(EXIT_HELD)


@ci.command("accept")
@click.argument("rev", default="HEAD")
@click.option("--reason", required=True, help="Why its settings may let out what those before did not.")
@json_option
@pass_session
def ci_accept(session: Session, rev: str, reason: str) -> None:
    """Accept what the settings of a commit (REV, default HEAD) let out, so that runs with --deploy hold it no more.

    Later commits are compared with it then. Run it where the store is that the CI runs have.
    """
    from penstock.flows.ci.accepting import accept_commit
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    try:
        accepted = accept_commit(project, rev, reason)
    finally:
        project.close()
    session.emit(
        accepted._asdict(),
        f"The settings of commit {accepted.commit[:10]} are accepted by {accepted.actor}. "
        f"Next: penstock ci run --rev {accepted.commit[:10]} --deploy",
    )


@ci.command("report")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write JUnit's XML to a file.")
@click.option(
    "--plots", type=click.Path(dir_okay=False, path_type=Path), help="Write the run's plots as one page."
)
@json_option
@pass_session
def ci_report(session: Session, junit: Path | None, plots: Path | None) -> None:
    """Print the last run's report as Markdown, or write it as JUnit's XML, or its plots as a page."""
    import msgspec

    from penstock.base.files import write_atomic
    from penstock.ci.junit import render_junit
    from penstock.ci.report import render_markdown
    from penstock.flows.ci.plots import load_plots
    from penstock.project.ci_reports import load_report
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    report = load_report(project)
    written = []
    if junit is not None:
        write_atomic(session.directory / junit, render_junit(report).encode())
        written.append(str(junit))
    if plots is not None:
        write_atomic(session.directory / plots, load_plots(project))
        written.append(str(plots))
    if written:
        session.emit({"path": written[0], "paths": written}, f"{', '.join(written)} written")
        return
    session.emit(msgspec.to_builtins(report), lambda: render_markdown(report))


@ci.command("comment")
@click.argument("report", type=GivenPath(exists=True, dir_okay=False, path_type=Path))
@json_option
@pass_session
def ci_comment(session: Session, report: Path) -> None:
    """Comment a REPORT on the pull or merge request that this CI run is about; a later one takes its place.

    It runs in the jobs that `penstock ci init` writes, and needs no repository.
    """
    from penstock.flows.ci.commenting import comment, find_discussion
    from penstock.workspace import environment

    variables = environment()
    event = variables.get("GITHUB_EVENT_PATH")
    text = report.read_text(encoding="utf-8", errors="replace")
    discussion = find_discussion(variables, Path(event).read_bytes() if event else None)
    is_new = comment(discussion, text)
    session.emit({"new": is_new}, "Commented." if is_new else "The comment was brought up to date.")


@ci.command("init")
@click.argument(
    "system", type=click.Choice(["github", "github-forks", "gitlab", "jenkins", "kubeflow", "hook"])
)
@click.argument("bare", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--self-hosted", is_flag=True, help="The runners see what this machine sees.")
@click.option("--dry-run", is_flag=True, help="Print the file instead of writing it.")
@click.option("-f", "--force", is_flag=True, help="Replace a file that was changed by hand.")
@pass_session
def ci_init(
    session: Session, system: str, bare: Path | None, self_hosted: bool, dry_run: bool, force: bool
) -> None:
    """Write the CI system's file that runs `penstock ci run` on every push.

    `github-forks` writes beside GitHub's workflow the one that comments reports on pull requests from forks.

    `kubeflow` makes each stage of the pipeline a component, with the gate as the last one.

    `hook` needs no CI system: it is for a bare git repository BARE (default: what `origin` names) on this machine, whose
    pushes are validated here, and deployed as `ci.deploy` says.
    """
    from penstock.flows.ci.files import apply_ci_file, plan_ci_file
    from penstock.flows.ci.hook import keep_hook, plan_hook
    from penstock.workspace import open_workspace

    if bare is not None and system != "hook":
        raise click.UsageError(f"{system} takes no BARE")
    project = open_workspace(session.directory)
    if system == "hook":
        plan = plan_hook(project, None if bare is None else session.directory / bare)
    else:
        plan = plan_ci_file(project, system, is_self_hosted=self_hosted, is_shown=dry_run)
    document: dict[str, object] = {"path": plan.relative, "notes": list(plan.notes), "applied": not dry_run}
    if dry_run:
        session.emit({**document, "text": plan.text}, plan.text.rstrip())
    else:
        apply_ci_file(plan, force=force)
        if plan.is_program:
            keep_hook(project, plan)
        after = "git push" if plan.is_program else f"git add {shlex.quote(str(plan.path))}"
        session.emit(document, f"{plan.path} written. Next: {after}")
    for note in plan.notes:
        session.note(f"note: {note}")


@ci.command("lint")
@json_option
@pass_session
@click.pass_context
def ci_lint(context: click.Context, session: Session) -> None:
    """Say before a push what a CI run would stumble over; exit 1 where it would fail.

    It compares the CI systems' files with what `ci init` writes, and asks the default remote.
    """
    from penstock.cli.printing import render_checks
    from penstock.flows.ci.linting import lint
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    try:
        checks = list(lint(project))
    finally:
        project.close()
    session.emit({"checks": [check._asdict() for check in checks]}, lambda: render_checks(checks))
    if any(check.state == "broken" for check in checks):
        context.exit(EXIT_FAILED)


@ci.command("log")
@click.argument("commit", required=False)
@click.option(
    "-n", "--count", type=click.IntRange(min=1), default=20, show_default=True, help="How many runs."
)
@json_option
@pass_session
def ci_log(session: Session, commit: str | None, count: int) -> None:
    """List the CI runs on this machine, newest first, or print the report on COMMIT (a branch, a tag or HEAD too)."""
    import msgspec

    from penstock.base.clock import format_ms
    from penstock.ci.report import render_markdown
    from penstock.cli.tables import render_table
    from penstock.project.ci_reports import find_report, list_reports
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    if commit is not None:
        found = find_report(project, commit)
        session.emit(msgspec.to_builtins(found), lambda: render_markdown(found))
        return
    reports = list_reports(project, count)

    def text() -> str:
        rows: list[tuple[object, ...]] = [
            (
                format_ms(one.started_ms),
                one.commit[:10],
                one.branch or "-",
                one.state,
                one.outcome,
            )
            for one in reports
        ]
        headers = ("time", "commit", "branch", "", "what came of it")
        return render_table(rows, headers, none="No CI runs yet: penstock ci run")

    session.emit(msgspec.to_builtins(reports), text)


@ci.command("receive")
@click.argument("bare", type=click.Path(file_okay=False, path_type=Path))
@pass_session
@click.pass_context
def ci_receive(context: click.Context, session: Session, bare: Path) -> None:
    """Validate what was pushed to BARE: what its hook runs, with git's lines on standard input."""
    from penstock.flows.ci.hook import receive_push
    from penstock.workspace import open_workspace

    def on_step(step: StepReport) -> None:
        click.echo(f"{step.status:7} {step.name}: {step.sentence} ({step.seconds:.1f} s)")
        if step.status == "failed":
            for line in step.details:
                click.echo(f"        {line}")

    def on_begin(branch: str, commit: str) -> None:
        click.echo(f"penstock: {commit[:10]} on {branch}")

    end_as_interrupted()  # as where who pushed has gone
    project = open_workspace(session.directory)
    has_failed = is_held = False
    try:
        lines = sys.stdin.read().splitlines()
        for report, again in receive_push(project, bare, lines, on_step=on_step, on_begin=on_begin):
            has_failed = has_failed or not report.passed
            is_held = is_held or report.held is not None
            word = "passed" if report.passed else "refused"
            click.echo(f"penstock: {word}: {report.outcome}. More: penstock ci log {report.commit[:10]}")
            if again is not None:
                click.echo(f"penstock: {again}")
    finally:
        project.close()
    if has_failed or is_held:
        context.exit(EXIT_FAILED if has_failed else EXIT_HELD)


ci.add_command(ci_stage)
ci.add_command(ci_finish)
