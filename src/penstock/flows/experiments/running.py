"""One experiment run: in the workspace, or in a tree of its own that shares cache and store; kept as an experiment.

In the workspace its results stay, as DVC has it; one that fails or is interrupted leaves it as it was. Elsewhere the
workspace is not touched at all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from penstock.base.errors import Invalid, NotFound, PenstockError
from penstock.base.files import write_atomic
from penstock.data.git.experiments import Experiment
from penstock.data.repository import DataRepository
from penstock.flows.experiments.keeping import kept_workspace
from penstock.flows.experiments.reading import remember
from penstock.flows.experiments.request import Job, Request
from penstock.flows.experiments.saving import baseline_of, commit_state
from penstock.flows.experiments.trees import commit_tree, write_tree
from penstock.flows.pipelines.execution import Origin, Reproduction, reproduce_and_record
from penstock.flows.tracked.working_tree import checkout
from penstock.pipeline.executors.role import Executor
from penstock.pipeline.making import Bring
from penstock.pipeline.overriding.drawing import Present
from penstock.pipeline.overriding.overrides import Override
from penstock.pipeline.overriding.writing import apply_overrides
from penstock.pipeline.parameters import get_value, is_missing, load_values
from penstock.pipeline.running.reproducing import ReproduceOptions, Watcher
from penstock.pipeline.targets import Selection
from penstock.project.project import Project
from penstock.project.worktree import clean_worktree, require_git
from penstock.tracking.entities import EXPERIMENT_TAG, PARENT_TAG

SOURCE = "experiment"


@dataclass(frozen=True)
class Ran:
    """An experiment with the run it was recorded as; `experiment` is None where it was only tried (`dry`)."""

    name: str
    experiment: Experiment | None
    reproduction: Reproduction


@dataclass(frozen=True)
class Company:
    """What accompanies a run: who is told how it goes, what fetches data, who is asked, the run it is part of, where what
    stages print is kept, and who runs their commands where that is not this machine.
    """

    watcher: Watcher | None = None
    bring: Callable[[DataRepository], Bring] | None = None
    confirm: Callable[[str], bool] | None = None
    parent: str | None = None
    logs: Path | None = None
    executor: Executor | None = None


ALONE = Company()


def changed_parameters(root: Path, overrides: Sequence[Override]) -> dict[Path, bytes]:
    """Return the parameter files that overrides change with their new content.

    Raises:
        NotFound, Conflict, Invalid: as `apply_overrides`; or there is no such file.
    """
    files = {override.file: os.path.normpath(root / override.file) for override in overrides}
    found = {}
    for file, place in files.items():
        path = Path(place)
        if not path.is_relative_to(root):
            raise Invalid(f"{file} is outside the repository", code="data.outside", path=file)
        if not path.is_file():
            raise NotFound(
                f"{file} does not exist",
                code="pipeline.no_values",
                hint="mend the name, or write it",
                path=file,
            )
        text = path.read_text(encoding="utf-8")
        changed = apply_overrides(text, file, [one for one in overrides if one.file == file])
        if changed != text:
            found[path] = changed.encode()
    return found


def present_value(root: Path) -> Present:
    """Return what says what a parameter of a project is now."""

    def find(override: Override) -> Any:
        with suppress(PenstockError):  # who changes it says what is wrong
            found = get_value(load_values(root / override.file), override.key)
            return None if is_missing(found) else found
        return None

    return find


def prepare(project: Project, baseline: str, overrides: Sequence[Override]) -> str:
    """Return a commit of the workspace as it is with changed parameters; the workspace stays as it is."""
    git_root = require_git(project)
    changed = changed_parameters(project.root, overrides)
    given = {path.relative_to(git_root).as_posix(): data for path, data in changed.items()}
    tree = write_tree(project.git, changed=given)
    return commit_tree(project.git, tree, baseline, "penstock: what an experiment begins with")


def run_in_workspace(
    project: Project,
    name: str,
    request: Request,
    overrides: Sequence[Override],
    company: Company = ALONE,
    *,
    baseline: str | None = None,
    dry: bool = False,
) -> Ran:
    """Run an experiment where the user is, and keep its result there and as an experiment.

    Args:
        baseline: the commit that is checked out, where the caller has asked for it.

    Raises:
        Refused, Invalid, NotFound, Conflict: as a reproduction; the workspace is as it was then.
    """
    baseline = baseline or baseline_of(project)
    changed = changed_parameters(project.root, overrides)
    if dry:
        return _dry(project, name, request, changed, company)
    with kept_workspace(project.data, baseline, changed):
        _write(changed)
        done = _reproduce(project, name, request, company)
        experiment = commit_state(
            project.data,
            project.git,
            (name, baseline),
            list(changed),
            message=request.message,
            force=request.force,
        )
    remember(project.data, project.data, project.git, experiment.commit, experiment.created_s)
    return Ran(experiment.name, experiment, done)


def run_apart(project: Project, job: Job, company: Company = ALONE) -> Ran:
    """Run an experiment in a tree of its own, gone afterwards, and keep its result.

    Raises:
        Refused, Invalid, NotFound, Conflict: as a reproduction.
    """
    with clean_worktree(project, job.start, project.actor) as tree:
        tree.git.run("reset", "--soft", job.baseline)
        _share_settings(project, tree)
        _copy(project.root, tree.root, job.request.copies)
        checkout(tree.data, force=True, allow_missing=True)
        remotes = replace(tree.data, config=project.data.config)  # relative places are the workspace's
        done = _reproduce(tree, job.name, job.request, company, remotes)
        experiment = commit_state(
            tree.data,
            tree.git,
            (job.name, job.baseline),
            message=job.request.message,
            force=job.request.force,
        )
        remember(project.data, tree.data, tree.git, experiment.commit, experiment.created_s)
    return Ran(experiment.name, experiment, done)


def _reproduce(
    project: Project, name: str, request: Request, company: Company, remotes: DataRepository | None = None
) -> Reproduction:
    tags = {EXPERIMENT_TAG: name, **({PARENT_TAG: company.parent} if company.parent else {})}
    bring = company.bring(remotes or project.data) if company.bring is not None and request.pull else None
    options = _options(request, bring, company.confirm)
    logs = company.logs / name if company.logs is not None else None
    options = replace(options, logs=logs, executor=company.executor)
    return reproduce_and_record(project, options, company.watcher, Origin(SOURCE, name, tags))


def _options(
    request: Request, bring: Bring | None = None, confirm: Callable[[str], bool] | None = None
) -> ReproduceOptions:
    selection = Selection(request.targets, request.base, request.recursive)
    return ReproduceOptions(
        None if request.everything else selection,
        request.extent,
        force=request.force,
        force_downstream=request.force_downstream,
        allow_missing=request.allow_missing,
        bring=bring,
        on_error=request.on_error,
        confirm=confirm,
    )


def _dry(
    project: Project, name: str, request: Request, changed: Mapping[Path, bytes], company: Company
) -> Ran:
    before = {path: path.read_bytes() for path in changed}
    _write(changed)
    try:
        options = replace(_options(request), dry=True)
        return Ran(name, None, reproduce_and_record(project, options, company.watcher))
    finally:
        _write(before)


def _write(files: Mapping[Path, bytes]) -> None:
    for path, data in files.items():
        write_atomic(path, data, durable=False)


def _share_settings(project: Project, tree: Project) -> None:
    """Give a tree the settings that git does not have: credentials and places of remotes."""
    local = project.data.dvc_dir / "config.local"
    if local.is_file():
        shutil.copyfile(local, tree.root / ".dvc" / "config.local")


def _copy(source: Path, target: Path, paths: Sequence[str]) -> None:
    for path in paths:
        place = Path(os.path.normpath(source / path))
        if not place.is_relative_to(source):
            raise Invalid(f"{path} is outside the repository", code="data.outside", path=path)
        if not place.exists():
            raise NotFound(
                f"{path} does not exist, to be copied", code="experiments.nothing_to_copy", path=path
            )
        into = target / place.relative_to(source)
        into.parent.mkdir(parents=True, exist_ok=True)
        if place.is_dir():
            shutil.copytree(place, into, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(place, into)
