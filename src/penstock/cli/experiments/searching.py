"""`penstock exp run --search optuna:N`: what goes with it, and what is told of it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

import click

from penstock.base.numbers import counted
from penstock.cli.output import Session
from penstock.flows.experiments.searching import Aim, Searched, search, trial_name
from penstock.pipeline.overriding.drawing import parse_search

if TYPE_CHECKING:
    from penstock.flows.experiments.request import Request
    from penstock.flows.experiments.running import Company
    from penstock.flows.experiments.sweeping import Outcome
    from penstock.pipeline.overriding.study import Best, Direction
    from penstock.project.project import Project


class Flags(Protocol):
    """What this reads of the command's flags."""

    def __getitem__(self, name: str, /) -> Any: ...


def learns_from(flags: Flags, *, queue: bool) -> bool:
    """Say whether each experiment is chosen by what those before gave.

    Raises:
        Invalid: as `parse_search`.
        click.UsageError: flags that do not go with it, or are missing.
    """
    if parse_search(flags["search"]).kind != "optuna":
        return False
    if flags["metric"] is None:
        raise click.UsageError("--search optuna:N needs --metric, which says what is searched for")
    if queue or flags["dry"] or flags["interactive"]:
        raise click.UsageError(
            "--search optuna:N runs experiments one after another: it goes without --queue, --run-all, --dry and --interactive"
        )
    return True


def search_and_tell(
    session: Session,
    project: Project,
    request: Request,
    set_param: Sequence[str],
    flags: Flags,
    company: Company,
    *,
    jobs: int,
) -> Searched:
    """Run experiments by what those before gave, and tell of each what it gave.

    Raises:
        PenstockError: as `search`.
    """
    metric = flags["metric"]
    direction = cast("Direction", flags["direction"])
    aim = Aim(metric, direction, parse_search(flags["search"]).number, flags["seed"])

    def tell(outcome: Outcome) -> None:
        if outcome.error is not None:
            session.note(f"Experiment {outcome.job.name} failed: {outcome.error.message}")
        elif outcome.ran is not None and outcome.ran.reproduction.run is not None:
            value = outcome.ran.reproduction.run.metrics.get(metric)
            session.note(f"Experiment {outcome.job.name}: {metric} {'-' if value is None else f'{value:g}'}")

    return search(project, request, set_param, aim, company, name=flags["name"], jobs=jobs, on_done=tell)


def searched_text(done: Searched, metric: str) -> str:
    """Return what a person is told of a search."""
    count = len(done.outcomes)
    ran = f"Ran {count} experiment{'' if count == 1 else 's'} of {done.study}"
    lines = [f"{ran}, after {done.before_count} before." if done.before_count else f"{ran}."]
    if done.is_exhausted:
        lines.append("Each combination that there is was tried.")
    elif done.repeated_count:
        lines.append(f"What was tried was chosen again {counted(done.repeated_count, 'time')}, and left out.")
    if done.best is None:
        return "\n".join([*lines, f"None of them gave {metric}."])
    values = ", ".join(
        f"{key.removeprefix('params.yaml:')}={value}" for key, value in done.best.values.items()
    )
    name = trial_name(done.study, done.best.number)
    lines += [
        f"Best: {name} with {metric} {done.best.value:g} ({values}){_shared(done.best)}.",
        f"Bring its results here with penstock exp apply {shlex.quote(name)}.",
    ]
    return "\n".join(lines)


def _shared(best: Best) -> str:
    others = best.shared_count - 1
    return f"; {counted(others, 'other has', 'others have')} the same value" if others else ""


def searched_document(done: Searched, experiments: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what a program is told of a search."""
    best = done.best
    return {
        "study": done.study,
        "before": done.before_count,
        "experiments": list(experiments),
        "repeated": done.repeated_count,
        "exhausted": done.is_exhausted,
        "best": None if best is None else {"name": trial_name(done.study, best.number), **best._asdict()},
    }
