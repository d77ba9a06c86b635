"""What is asked for at once put into the queue: one experiment for each combination of parameters."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock.data.git.experiments import list_experiments
from penstock.flows.experiments.queueing import UNDONE, enqueue, list_waiting
from penstock.flows.experiments.references import check_name, is_free, taken
from penstock.flows.experiments.request import Job, Request
from penstock.flows.experiments.running import changed_parameters
from penstock.flows.experiments.saving import baseline_of
from penstock.flows.experiments.trees import write_tree
from penstock.pipeline.overriding.overrides import Override
from penstock.project.project import Project
from penstock.project.worktree import require_git
from penstock.tracking.run_names import new_run_name


def enqueue_all(
    project: Project, request: Request, chosen: Sequence[tuple[Override, ...]], name: str | None
) -> list[Job]:
    """Keep one experiment for each combination of overrides, and return them.

    Of several with a name given, each has it with a number behind: `name-1`, `name-2`.

    Raises:
        Conflict: a name is in use.
        NotFound, Invalid, Conflict: as `changed_parameters`, before anything is kept.
    """
    baseline = baseline_of(project)
    git_root = require_git(project)
    if len(chosen) > 1:
        request = msgspec.structs.replace(request, sweep=name or _told(chosen[0]))
    changes = [changed_parameters(project.root, overrides) for overrides in chosen]
    names = _names(project, baseline, name, len(chosen), force=request.force)
    jobs = []
    for place, (named, changed) in enumerate(zip(names, changes, strict=True)):
        given = {path.relative_to(git_root).as_posix(): data for path, data in changed.items()}
        tree = write_tree(project.git, changed=given)
        placed = msgspec.structs.replace(request, place=place)
        jobs.append(enqueue(project.git, named, baseline, tree, placed))
    return jobs


def _told(overrides: Sequence[Override]) -> str:
    return "sweep of " + ", ".join(one.key for one in overrides)


def _names(project: Project, baseline: str, name: str | None, count: int, *, force: bool) -> list[str]:
    waiting = {one.job.name for state in UNDONE for one in list_waiting(project.git, state)}
    if name:
        check_name(name)
        names = [name] if count == 1 else [f"{name}-{number}" for number in range(1, count + 1)]
        left = [one for one in names if one in waiting]
        for one in names:
            if one in waiting or not (force or is_free(project.git, baseline, one)):
                raise taken(one, left)
        return names
    known = waiting | {one.name for one in list_experiments(project.git)}
    names = []
    while len(names) < count:
        fresh = new_run_name()
        if fresh not in known:
            known.add(fresh)
            names.append(fresh)
    return names
