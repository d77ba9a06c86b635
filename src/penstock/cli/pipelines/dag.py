"""`penstock dag`: which stage needs which."""

from __future__ import annotations

from typing import TypedDict, Unpack

import click

from penstock.cli.data.targets import complete_files, opened
from penstock.cli.output import Session, json_option, pass_session


class Formats(TypedDict):
    """In which language a graph is printed; none of them is text."""

    dot: bool
    mermaid: bool
    markdown: bool
    svg: bool


@click.command()
@click.argument("target", required=False, shell_complete=complete_files)
@click.option("--dot", is_flag=True, help="Print it for Graphviz.")
@click.option("--mermaid", is_flag=True, help="Print it for Mermaid.")
@click.option("--md", "markdown", is_flag=True, help="Print it for Mermaid, in a block of Markdown.")
@click.option("--svg", is_flag=True, help="Print it as a picture.")
@click.option("--collapse-foreach-matrix", "collapse", is_flag=True, help="Show generated stages as one.")
@click.option("--full", is_flag=True, help="Show all that TARGET is connected to, not only what it needs.")
@click.option("-o", "--outs", is_flag=True, help="Show outputs instead of stages.")
@json_option
@pass_session
def dag(
    session: Session, /, target: str | None, collapse: bool, full: bool, outs: bool, **how: Unpack[Formats]
) -> None:
    """Show which stage needs which.

    TARGET, a stage or an output, limits it to what that needs. Each line is a stage and, after an arrow, the stages whose
    outputs it reads.
    """
    from penstock.flows.pipelines.dag import build_dag, render_dot, render_mermaid, render_text
    from penstock.flows.pipelines.dag_drawing import render_svg

    if outs and collapse:
        raise click.UsageError("--outs and --collapse-foreach-matrix exclude each other")
    with opened(session) as repo:
        found = build_dag(repo, session.directory, target, full=full, outs=outs)
    if collapse:
        found = found.collapsed()
    if how["dot"]:
        text = render_dot(found)
    elif how["mermaid"] or how["markdown"]:
        text = render_mermaid(found, markdown=how["markdown"])
    elif how["svg"]:
        text = render_svg(found)
    else:
        text = render_text(found)
    session.emit({"nodes": found.nodes, "edges": found.edges}, text)
