"""`penstock exp show`, `list` and `diff`: what experiments there are, and what they came to."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from penstock.cli.data.targets import opened
from penstock.cli.experiments.selecting import RevisionFlags, baselines_of, revision_options
from penstock.cli.output import Session, json_option, pass_session
from penstock.cli.pipelines.measures import DiffFlags, render_changes
from penstock.cli.printing import one_line
from penstock.cli.tables import render_grid

if TYPE_CHECKING:
    from penstock.flows.experiments.showing import Table

MARKS = {"baseline": "", "branch_commit": "├── ", "branch_base": "└── "}
DIGITS = 5


class ShowFlags(RevisionFlags):
    """What is shown, and how."""

    all_branches: bool
    all_tags: bool
    no_pager: bool
    only_changed: bool
    drop: tuple[str, ...]
    keep: tuple[str, ...]
    param_deps: bool
    sort_by: str | None
    sort_order: str
    sha: bool
    hide_failed: bool
    hide_queued: bool
    hide_workspace: bool
    as_csv: bool
    markdown: bool
    precision: int | None
    force: bool


class ListFlags(RevisionFlags):
    """How `list` tells."""

    name_only: bool
    sha_only: bool


class ExperimentDiffFlags(TypedDict):
    """What is compared, and how it is told."""

    a_rev: str
    b_rev: str
    with_unchanged: bool
    param_deps: bool
    markdown: bool
    no_path: bool
    precision: int


@click.command()
@revision_options
@click.option("-a", "--all-branches", is_flag=True, help="Experiments of the tips of all branches.")
@click.option("-T", "--all-tags", is_flag=True, help="Experiments of all tags.")
@click.option("--no-pager", is_flag=True, help="Accepted for DVC's sake: there is no pager.")
@click.option("--only-changed", is_flag=True, help="Only columns whose values differ.")
@click.option("--drop", multiple=True, metavar="PATTERN", help="Leave out columns that match.")
@click.option(
    "--keep", multiple=True, metavar="PATTERN", help="Keep columns that match, whatever else is said."
)
@click.option("--param-deps", is_flag=True, help="Only parameters that stages depend on.")
@click.option("--sort-by", metavar="NAME", help="Order experiments by this metric or parameter.")
@click.option("--sort-order", type=click.Choice(["asc", "desc"]), default="asc", help="Upwards or downwards.")
@click.option("--sha", is_flag=True, help="Commits instead of names of branches and tags.")
@click.option("--hide-failed", is_flag=True, help="Leave out what failed.")
@click.option("--hide-queued", is_flag=True, help="Leave out what waits.")
@click.option("--hide-workspace", is_flag=True, help="Leave out the workspace.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--md", "markdown", is_flag=True, help="Print a Markdown table.")
@click.option("--precision", type=click.IntRange(1), help="Round to this many digits; 5, in CSV all.")
@click.option("-f", "--force", is_flag=True, help="Read everything anew.")
@json_option
@pass_session
def show(session: Session, /, **flags: Unpack[ShowFlags]) -> None:
    """Show experiments with their metrics, parameters and dependencies, below the commits they began at."""
    from penstock.flows.experiments.showing import Layout, Shown, collect, tabulate

    wanted = Shown(
        baselines_of(flags, branches=flags["all_branches"], tags=flags["all_tags"]),
        queued=not flags["hide_queued"],
        failed=not flags["hide_failed"],
        workspace=not flags["hide_workspace"],
        names=not flags["sha"],
        param_deps=flags["param_deps"],
        anew=flags["force"],
    )
    with opened(session) as repo:
        found = collect(repo, wanted)
    if not found:
        session.note("Nothing to show: git has no such commit yet, and experiments begin at one.")
    for state in found:
        if state["error"]:
            session.note(f"not read: {state['name'] or state['rev']}: {state['error']['msg']}")
    if session.as_json:
        session.emit(found, "")
        return
    layout = Layout(
        flags["keep"], flags["drop"], flags["only_changed"], flags["sort_by"], flags["sort_order"] == "desc"
    )
    table = tabulate(found, layout)
    if flags["as_csv"]:
        session.emit(found, _render_csv(table, flags["precision"]))
        return
    digits = flags["precision"] or DIGITS
    session.emit(found, lambda: _render_table(table, digits, markdown=flags["markdown"]))


@click.command("list")
@click.argument("git_remote", required=False)
@revision_options
@click.option("--name-only", "--names-only", "name_only", is_flag=True, help="Print names alone.")
@click.option("--sha-only", "--shas-only", "sha_only", is_flag=True, help="Print commits alone.")
@json_option
@pass_session
def list_(session: Session, /, git_remote: str | None, **flags: Unpack[ListFlags]) -> None:
    """List experiments here, or in a git remote."""
    from penstock.base.git import Git
    from penstock.flows.experiments.baselines import name_commits
    from penstock.flows.experiments.references import list_by_baseline

    if flags["name_only"] and flags["sha_only"]:
        raise click.UsageError("--name-only and --sha-only exclude each other")
    with opened(session) as repo:
        found = list_by_baseline(repo, baselines_of(flags), git_remote)
        names = name_commits(Git(repo.root), found)
    document = [
        {"name": one.name, "rev": one.commit, "baseline": baseline, "ref": one.ref}
        for baseline, experiments in found.items()
        for one in experiments
    ]
    lines = []
    for baseline, experiments in found.items():
        if not (flags["name_only"] or flags["sha_only"]):
            lines.append(f"{names[baseline] or baseline[:7]}:")
        for one in experiments:
            plain = one.name if flags["name_only"] else one.commit if flags["sha_only"] else None
            lines.append(plain or f"\t{one.commit[:7]} [{one.name}]")
    session.emit(document, "\n".join(lines))


@click.command()
@click.argument("a_rev", default="HEAD")
@click.argument("b_rev", default="workspace")
@click.option("--all", "with_unchanged", is_flag=True, help="Show what did not change too.")
@click.option("--param-deps", is_flag=True, help="Only parameters that stages depend on.")
@click.option("--md", "markdown", is_flag=True, help="Print Markdown tables.")
@click.option("--no-path", is_flag=True, help="Leave the column of paths out.")
@click.option("--precision", type=click.IntRange(0), default=DIGITS, help="Round to this many digits.")
@json_option
@pass_session
def diff(session: Session, /, **flags: Unpack[ExperimentDiffFlags]) -> None:
    """Compare metrics and parameters of two experiments or revisions, or of one with the workspace."""
    from penstock.flows.pipelines.comparison import compare, shown_from
    from penstock.flows.pipelines.measures import read_metrics, read_parameters

    words = (flags["a_rev"], flags["b_rev"])
    found = {}
    with opened(session) as repo:
        for kind, read in (
            ("metrics", read_metrics),
            ("params", lambda one: read_parameters(one, only_dependencies=flags["param_deps"])),
        ):
            changes = compare(repo, *words, read, with_unchanged=flags["with_unchanged"]).changes
            found[kind] = {shown_from(repo, path, session.directory): one for path, one in changes.items()}
    shown = DiffFlags(
        a_rev=words[0],
        b_rev=words[1],
        with_unchanged=flags["with_unchanged"],
        markdown=flags["markdown"],
        no_path=flags["no_path"],
    )
    digits = flags["precision"]
    tables = [
        render_changes(found["metrics"], "Metric", shown, digits, with_change=True),
        render_changes(found["params"], "Param", shown, None, with_change=True),
    ]
    session.emit(found, "\n\n".join(table for table in tables if table))


def _render_csv(table: Table, precision: int | None) -> str:
    text = io.StringIO()
    writer = csv.writer(text)  # with the line ends of RFC 4180, as DVC has them
    writer.writerow(table.headers)
    writer.writerows([[_cell(cell, precision, "") for cell in row] for row in table.rows])
    return text.getvalue().removesuffix("\n")


def _render_table(table: Table, digits: int, *, markdown: bool) -> str:
    at = {name: place for place, name in enumerate(table.headers)}
    hidden = {at[name] for name in ("rev", "typ", "parent")}
    rows = []
    for row in table.rows:
        name, rev, kind = row[at["Experiment"]], row[at["rev"]], row[at["typ"]]
        cells = [one_line(_cell(cell, digits, "-")) or "-" for cell in row]
        cells[at["Experiment"]] = MARKS[kind] + (f"{rev} [{name}]" if name else rev)
        if "Created" in at:
            cells[at["Created"]] = _when(row[at["Created"]])
        rows.append([cell for place, cell in enumerate(cells) if place not in hidden])
    headers = [name for place, name in enumerate(table.headers) if place not in hidden]
    return render_grid(headers, rows, markdown=markdown) if rows else ""


def _when(timestamp: str | None) -> str:
    if not timestamp:
        return "-"
    time = datetime.fromisoformat(timestamp)
    return time.strftime("%I:%M %p" if time.date() == datetime.now().date() else "%b %d, %Y")


def _cell(value: Any, precision: int | None, nothing: str) -> str:
    if value is None:
        return nothing
    if isinstance(value, float) and precision:
        return f"{value:.{precision}g}"
    if isinstance(value, list):
        return str([_number(one, precision) for one in value])
    return str(value)


def _number(value: Any, precision: int | None) -> Any:
    return float(f"{value:.{precision}g}") if isinstance(value, float) and precision else value
