"""Experiments chosen one after another by what those before gave, recorded as runs under one parent.

The study's state lies below `.penstock/studies`; the same command again goes on with it, or with what is left of it
after a kill, until so many experiments have ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from penstock.base.errors import NotFound, PenstockError
from penstock.base.files import locked
from penstock.flows.experiments.planning import enqueue_all
from penstock.flows.experiments.queueing import list_waiting
from penstock.flows.experiments.references import check_name
from penstock.flows.experiments.request import Request
from penstock.flows.experiments.running import Company, changed_parameters, present_value
from penstock.flows.experiments.saving import baseline_of
from penstock.flows.experiments.sweeping import Outcome, begin_parent, end_parent, reopen_parent, run_all
from penstock.pipeline.overriding.drawing import Interval, parse_dimension, require_several
from penstock.pipeline.overriding.study import Best, Direction, Study, digest_space
from penstock.project.project import Project

FOLDER = "studies"


@dataclass(frozen=True)
class Aim:
    """What is searched for: a metric of the experiments' runs, which way is better, and how many experiments are tried."""

    metric: str
    direction: Direction
    count: int
    seed: int = 0


@dataclass
class Searched:
    """What a search did now, how many of its experiments had ended before, and the best of all."""

    study: str
    before_count: int
    outcomes: list[Outcome] = field(default_factory=list)
    best: Best | None = None
    repeated_count: int = 0
    """How often what was tried was chosen again, and left out."""
    is_exhausted: bool = False
    """Whether nothing else is left to try."""


def search(
    project: Project,
    request: Request,
    texts: Sequence[str],
    aim: Aim,
    company: Company,
    *,
    name: str | None = None,
    jobs: int = 1,
    on_done: Callable[[Outcome], None] = lambda _: None,
) -> Searched:
    """Run experiments until so many of the study have ended, `jobs` at a time; each lot waits for its slowest.

    Without a name the study is called by what it searches, so that the same command finds it again. An experiment that
    fails counts, and its values are avoided. None is tried twice: it ends sooner where all were.

    Raises:
        NotFound, Conflict, Invalid: as `changed_parameters`; nothing is to be chosen; the runs have no such metric.
        Unavailable, Conflict: as `Study`; another process goes on with it.
        KeyboardInterrupt: it was interrupted; what was under way is tried again the next time.
    """
    space = [parse_dimension(text, present_value(project.root)) for text in texts]
    changed_parameters(
        project.root, [one.at(one.low) if isinstance(one, Interval) else one[0] for one in space]
    )
    if all(not isinstance(one, Interval) and len(one) == 1 for one in space):
        require_several([space], aim.count + 1)
    baseline = baseline_of(project)
    study_name = name or f"optuna-{digest_space(space, aim.metric, aim.direction)[:8]}-{baseline[:7]}"
    file = project.home / FOLDER / f"{check_name(study_name)}.journal"
    hint = "wait until the other search ends, or give this one another --name"
    with locked(file.with_suffix(".lock"), wait_s=0.0, holder_hint=hint):
        study = Study(file, space, aim.metric, aim.direction, seed=aim.seed)
        found = Searched(study_name, study.done_count)
        if study.done_count < aim.count:
            parent = reopen_parent(project, study.parent) or begin_parent(project, study_name, baseline)
            study.note_parent(parent)
            request = msgspec.structs.replace(request, sweep=study_name)
            lots = _Lots(project, study, found, request, replace(company, parent=parent))
            try:
                while study.done_count < aim.count and not found.is_exhausted:
                    lots.run(min(jobs, aim.count - study.done_count), aim.metric, on_done)
            except BaseException as error:
                end_parent(project, parent, "FAILED" if isinstance(error, PenstockError) else "KILLED")
                raise
            end_parent(project, parent, "FINISHED")
        found.best, found.repeated_count = study.best(), study.repeated_count
        return found


@dataclass
class _Lots:
    """Runs the study's experiments, some at a time."""

    project: Project
    study: Study
    found: Searched
    request: Request
    company: Company

    def run(self, count: int, metric: str, on_done: Callable[[Outcome], None]) -> None:
        asked = [self.study.ask() for _ in range(count)]
        trials = [one for one in asked if one is not None]
        self.found.is_exhausted = len(trials) < count
        if not trials:
            return
        numbers: dict[str, int] = {}
        for trial in trials:
            name = trial_name(self.found.study, trial.number)
            (job,) = enqueue_all(self.project, self.request, [trial.overrides], name)
            numbers[job.name] = trial.number
        waiting = [one for one in list_waiting(self.project.git, "queue") if one.job.name in numbers]
        missing: list[str] | None = None

        def done(outcome: Outcome) -> None:
            nonlocal missing
            run = outcome.ran.reproduction.run if outcome.ran is not None else None
            value = run.metrics.get(metric) if run is not None else None
            if run is not None and value is None:
                missing = sorted(run.metrics)
            self.study.tell(numbers[outcome.job.name], value)
            on_done(outcome)

        self.found.outcomes += run_all(self.project, waiting, self.company, jobs=count, on_done=done)
        if missing is not None:
            there = ", ".join(missing) or "none; a stage of dvc.yaml names its files under `metrics:`"
            raise NotFound(
                f"the experiments' runs have no metric {metric!r}",
                code="experiments.no_metric",
                hint=f"--metric NAME; there are: {there}",
                metric=metric,
            )


def trial_name(study: str, number: int) -> str:
    """Return what the experiment of a trial is called; they are counted from one."""
    return f"{study}-{number + 1}"
