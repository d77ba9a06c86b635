"""`penstock plots`: what dvc.yaml declares as plots, drawn."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from penstock.cli.data.targets import TARGETS, opened
from penstock.cli.many_values import ManyValues
from penstock.cli.output import EXIT_FAILED, Session, json_option, pass_session
from penstock.cli.places import GivenPath

if TYPE_CHECKING:
    from penstock.data.repository import DataRepository
    from penstock.flows.pipelines.plotting import Plots, Wanted

FOLDER = "dvc_plots"


class PlotFlags(TypedDict):
    """What `_plot_options` adds."""

    template: str | None
    x: str | None
    y: str | None
    no_header: bool
    title: str | None
    x_label: str | None
    y_label: str | None
    out: Path | None
    show_vega: bool
    open_page: bool
    html_template: Path | None
    png: bool


def _plot_options(command: Any) -> Any:
    for option in (
        click.option("--png", is_flag=True, help="Write each plot as a picture too."),
        click.option(
            "--html-template",
            type=GivenPath(exists=True, dir_okay=False, path_type=Path),
            help="A page of your own, with {plot_divs} and {scripts}.",
        ),
        click.option("--open", "open_page", is_flag=True, help="Open the page in the browser."),
        click.option("--show-vega", is_flag=True, help="Print the Vega-Lite specification of one plot."),
        click.option(
            "-o", "--out", type=click.Path(path_type=Path), help=f"The directory, {FOLDER} by default."
        ),
        click.option("--y-label", help="What the y axis is called."),
        click.option("--x-label", help="What the x axis is called."),
        click.option("--title", help="The plot's title."),
        click.option("--no-header", is_flag=True, help="The first line of CSV and TSV is data."),
        click.option("-y", help="The field of the y axis."),
        click.option("-x", help="The field of the x axis."),
        click.option("-t", "--template", help="A template, by name or file."),
        json_option,
    ):
        command = option(command)
    return command


@click.group()
def plots() -> None:
    """Draw the pipeline's plots."""


@plots.command()
@TARGETS
@_plot_options
@pass_session
def show(session: Session, /, targets: tuple[str, ...], **flags: Unpack[PlotFlags]) -> None:
    """Draw plots of the workspace: those dvc.yaml declares, or files named."""
    _draw(session, targets, None, flags)


@plots.command(cls=ManyValues)
@click.argument("revisions", nargs=-1)
@click.option("--targets", multiple=True, help="Only these plots or files.")
@_plot_options
@pass_session
def diff(
    session: Session, /, revisions: tuple[str, ...], targets: tuple[str, ...], **flags: Unpack[PlotFlags]
) -> None:
    """Draw plots of several revisions or experiments over each other; of one, with the workspace."""
    _draw(session, targets, revisions, flags)


@plots.command()
@click.argument("template", required=False)
@json_option
@pass_session
def templates(session: Session, /, template: str | None) -> None:
    """List the templates that are built in, or print one."""
    from penstock.flows.pipelines.plotting import load_template
    from penstock.pipeline.plots.templates import TEMPLATES

    if template is None:
        session.emit(list(TEMPLATES), "\n".join(TEMPLATES))
        return
    with opened(session) as repo:
        spec = load_template(repo, template)
    session.emit(spec, json.dumps(spec, indent=2))


def _draw(
    session: Session, targets: Sequence[str], revisions: Sequence[str] | None, flags: PlotFlags
) -> None:
    from penstock.flows.pipelines.plotting import WORKSPACE, collect_plots, default_revisions, to_document

    with opened(session) as repo:
        chosen = [WORKSPACE] if revisions is None else default_revisions(repo, revisions)
        found = collect_plots(repo, chosen, _wanted(session, repo, targets, flags))
        for name, revision, why in found.problems:
            session.note(f"not drawn: {name}{f' of {revision}' if revision else ''}: {why}")
        if flags["show_vega"]:
            specs = [plot.spec for plot in found.plots if plot.spec is not None]
            if len(specs) != 1:
                raise click.UsageError(f"--show-vega prints one plot, and {len(specs)} are meant: name one")
            session.emit(specs[0], json.dumps(specs[0]))
            return
        if session.as_json and flags["out"] is None:
            session.emit(to_document(found), "")
        elif not found.plots:
            session.note("No plots were found. Declare them in dvc.yaml, or name files.")
        else:
            _write(session, repo, found, flags)
    if found.problems and not found.plots:
        raise click.exceptions.Exit(EXIT_FAILED)


def _wanted(session: Session, repo: DataRepository, targets: Sequence[str], flags: PlotFlags) -> Wanted:
    from penstock.flows.pipelines.plotting import Wanted
    from penstock.pipeline.plots.definitions import Look

    rooted = [os.path.relpath(session.directory / target, repo.root) for target in targets]
    look = Look(flags["template"], flags["title"], flags["x_label"], flags["y_label"], not flags["no_header"])
    return Wanted(tuple(rooted), flags["x"], flags["y"], look)


def _write(session: Session, repo: DataRepository, found: Plots, flags: PlotFlags) -> None:
    from penstock.base.files import write_atomic
    from penstock.flows.pipelines.plotting import to_document
    from penstock.pipeline.plots.drawing import Drawn, draw_page, draw_png

    folder = session.directory / (flags["out"] or FOLDER)
    page = flags["html_template"].read_text(encoding="utf-8") if flags["html_template"] else None
    if page is not None and "{plot_divs}" not in page:
        raise click.UsageError("--html-template: there is no {plot_divs} in it")
    drawn = []
    for plot in found.plots:
        drawn += [Drawn(plot.id, plot.spec)] if plot.spec is not None else []
        drawn += [Drawn(plot.id, None, one.data, one.revision) for one in plot.pictures]
    place = folder / "index.html"
    write_atomic(place, draw_page(drawn, repo.dvc_dir / "tmp", page).encode(), durable=False)
    written = [place]
    for plot in found.plots if flags["png"] else ():
        if plot.spec is not None:
            written.append(folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', plot.id)}.png")
            write_atomic(written[-1], draw_png(plot.spec), durable=False)
    if flags["open_page"]:
        click.launch(place.as_uri())
    names = [os.path.relpath(path, session.directory) for path in written]
    session.emit(
        to_document(found) | {"files": names}, f"file://{place}" + "".join(f"\n{one}" for one in names[1:])
    )
