"""The workspace, or a tree of an experiment, saved as an experiment that DVC reads too.

Source: dvc/repo/experiments/executor/base.py, `save` and `commit` (3.67).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from penstock.base.clock import now_ms
from penstock.base.digest import digest_value
from penstock.base.errors import Invalid
from penstock.base.git import Git
from penstock.data.git.experiments import Experiment, list_experiments
from penstock.data.pointers.metafiles import find_definitions
from penstock.data.repository import DataRepository
from penstock.flows.experiments.reading import remember
from penstock.flows.experiments.references import check_free, check_name, save_reference
from penstock.flows.experiments.trees import commit_tree, write_tree
from penstock.flows.pipelines.committing import commit_stages
from penstock.flows.pipelines.measures import named_files
from penstock.flows.tracked.working_tree import commit as commit_pointers
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.lockfile import LOCK_FILE, LockEntry, load_entries
from penstock.project.project import Project
from penstock.project.worktree import require_git
from penstock.tracking.run_names import new_run_name


def baseline_of(project: Project) -> str:
    """Return the commit that experiments begin at: HEAD.

    Raises:
        Invalid: there is no git repository, or no commit yet.
    """
    require_git(project)
    head = project.git.head()
    if head is None:
        raise Invalid(
            "experiments need a commit to begin at",
            code="experiments.no_baseline",
            hint="git add -A && git commit",
        )
    return head


def name_experiment(git: Git, baseline: str, name: str | None, *, force: bool) -> str:
    """Return the name for a new experiment: the one given, where it is free or `force` is, else one nobody has.

    Raises:
        Invalid, Conflict: it cannot be had.
    """
    if name:
        check_name(name)
        if not force:
            check_free(git, baseline, name)
        return name
    taken = {one.name for one in list_experiments(git)}
    while (fresh := new_run_name()) in taken:
        pass
    return fresh


def commit_state(
    repo: DataRepository,
    git: Git,
    experiment: tuple[str, str],
    further: Sequence[Path] = (),
    *,
    message: str = "",
    force: bool = False,
) -> Experiment:
    """Save a working tree as it is as an experiment (name, baseline); return it.

    What git tracks is part of it, and what describes the pipeline and its values, tracked or not: locks, metrics,
    parameters, plots that git is to hold, and `further`.

    Raises:
        Conflict: another result has the name, and `force` was not given.
    """
    name, baseline = experiment
    tree = write_tree(git, [*_described(repo), *further])
    commit = commit_tree(git, tree, baseline, message or f"dvc: commit experiment {_digest(repo)}")
    return save_reference(git, Experiment(name, baseline, commit, now_ms() // 1000), force=force)


def save_workspace(
    project: Project,
    name: str | None,
    targets: Sequence[str] = (),
    *,
    base: Path | None = None,
    untracked: Sequence[Path] = (),
    message: str = "",
    force: bool = False,
) -> Experiment:
    """Save the workspace as an experiment; what tracked paths hold now is recorded first.

    Args:
        targets: record only these.
        untracked: files taken along that git does not have.

    Raises:
        Invalid, Conflict: as `name_experiment`.
    """
    baseline = baseline_of(project)
    name = name_experiment(project.git, baseline, name, force=force)
    base = base or project.root
    seen = partial(_was_seen, project)
    known = commit_stages(project.data, targets, base, seen)[1] if find_definitions(project.data) else set()
    rest = [target for target in targets if target not in known]
    if rest or not targets:
        commit_pointers(project.data, rest, base=base)
    saved = commit_state(project.data, project.git, (name, baseline), untracked, message=message, force=force)
    remember(project.data, project.data, project.git, saved.commit, saved.created_s)
    return saved


def _described(repo: DataRepository) -> list[Path]:
    stages = load_all_stages(repo)
    found = [path.with_name(LOCK_FILE) for path in find_definitions(repo)]
    found += [
        repo.root / stage.place(output.path)
        for stage in stages
        for output in stage.outputs
        if not output.is_cached
    ]
    found += [repo.root / stage.place(ref.file) for stage in stages for ref in stage.parameters]
    ignores = {(repo.root / path).parent / ".gitignore" for stage in stages for path in stage.makes}
    return [*dict.fromkeys([*found, *sorted(ignores), *(repo.root / path for path in named_files(repo))])]


def _digest(repo: DataRepository) -> str:
    entries = load_entries(repo.root, load_all_stages(repo))
    return digest_value({name: entry.to_document() for name, entry in sorted(entries.items())})


def _was_seen(project: Project, entry: LockEntry) -> bool:
    from penstock.flows.models.evidence.made import is_seen  # the store's toolkit: few savings ask it

    return is_seen(project, entry)
