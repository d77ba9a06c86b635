"""The command `score`: the project rated by the ML Test Score, each point with the fact it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from penstock.cli.output import Session, json_option, pass_session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.ci.rubric import Rated


@click.command()
@click.argument("model", required=False)
@json_option
@pass_session
def score(session: Session, model: str | None) -> None:
    """Rate a model of penstock.yaml by the 28 tests of the ML Test Score, from recorded facts.

    A test that nothing recorded tells of is "not known", and counts as nothing. The score is that of the weakest group.
    """
    from penstock.ci.rubric import GROUPS, group_score, meaning, total_score
    from penstock.flows.ci.scoring import rate
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    try:
        rated = rate(project, model)
    finally:
        project.close()
    total = total_score(rated)
    document = {
        "score": total,
        "meaning": meaning(total),
        "groups": {group: group_score(rated, group) for group in GROUPS},
        "tests": [one._asdict() for one in rated],
    }
    session.emit(document, lambda: _render(rated))


def _render(rated: Sequence[Rated]) -> str:
    from penstock.ci.rubric import GROUPS, group_score, meaning, total_score
    from penstock.cli.printing import one_line

    lines = []
    for group in GROUPS:
        lines.append(f"{group}: {group_score(rated, group):g} of 7")
        for one in rated:
            if one.group == group:
                lines.append(f"  {one.state:9}  {one.asks}")
                lines.append(f"             {one_line(one.fact)}")
    total = total_score(rated)
    return "\n".join([*lines, f"score: {total:g}, {meaning(total)}"])
