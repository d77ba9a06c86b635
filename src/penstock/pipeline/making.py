"""How one stage's outputs are made: run its commands, or take the result of an earlier run; then keep them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.base.errors import Invalid, NotFound, PenstockError
from penstock.base.files import remove_path
from penstock.base.git import Git
from penstock.data.cache.hashing import hash_path, save_path
from penstock.data.cache.presence import has
from penstock.data.formats.output import HashInfo, Output
from penstock.data.git.ignored import check_not_tracked, has_entry, ignore_path, unignore_path
from penstock.data.repository import DataRepository
from penstock.data.rwlock import in_use
from penstock.data.verbs.checkout import check_parents, checkout_output
from penstock.pipeline.executors.role import Task
from penstock.pipeline.lockfile import LOCK_FILE, LockedPath, LockEntry
from penstock.pipeline.outputs import parse_outputs, stage_outputs
from penstock.pipeline.parameters import require_values
from penstock.pipeline.runcache import find_run, is_cacheable, is_stored, restore_run, save_run
from penstock.pipeline.stage import Stage, StageOutput
from penstock.pipeline.status import command_of

Bring = Callable[[Sequence[Output]], None]
IsSeen = Callable[[LockEntry], bool]


@dataclass(frozen=True)
class Work:
    """One stage to be made: `commit` puts its outputs into the cache, `bring` fetches what is missing.

    `is_seen` says which results of earlier runs may be taken; None: all.
    """

    repo: DataRepository
    root: Path
    stage: Stage
    commit: bool = True
    bring: Bring | None = None
    is_seen: IsSeen | None = None


def begin(
    repo: DataRepository,
    stage: Stage,
    *,
    commit: bool = True,
    bring: Bring | None = None,
    is_seen: IsSeen | None = None,
) -> Work:
    """Return a stage as work to be done; one whose outputs are not its own is refused untouched.

    Raises:
        Invalid: one lies outside, belongs to git or DVC, or has a symbolic link among its parents.
        Conflict: git tracks one that the cache is to hold: git's next checkout would undo it.
    """
    for path in stage.makes:
        check_parents(repo, repo.root / path)
    for output in stage.outputs:
        if output.is_cached:
            check_not_tracked(repo, repo.root / stage.place(output.path))
    return Work(repo, repo.root, stage, commit, bring, is_seen)


def check_out(work: Work, entry: LockEntry) -> bool:
    """Put the outputs that are missing where they belong; say whether the cache, or git, had them all."""
    missing = [one for one in stage_outputs(work.root, work.stage, entry) if not one.path.exists()]
    if not all(one.cached and one.hash is not None and has(work.repo, one.hash) for one in missing):
        return False
    for output in missing:
        checkout_output(work.repo, output)
    return True


def store(work: Work, entry: LockEntry) -> bool:
    """Put outputs into the cache that are in the workspace as they were locked; say whether all were."""
    outputs = [one for one in stage_outputs(work.root, work.stage, entry) if one.cached]
    for output in outputs:
        if output.hash is None or not output.path.exists() or not _is_as_locked(work.repo, output):
            return False
    for output in outputs:
        save_path(work.repo, output.path)
    return True


def restore(work: Work, locked: LockEntry | None = None) -> LockEntry | None:
    """Take the result of an earlier run with these inputs, if there is one, and return its entry.

    Args:
        locked: what the lock says where its inputs are these: it alone is taken then, whatever else ran, or nothing. It counts for
            nothing where it is of other outputs than are declared now.

    Source: dvc/stage/cache.py (3.67), `StageCache.restore`.
    """
    stage = work.stage
    if not is_cacheable(stage):
        return None
    paths = sorted(output.path for output in stage.outputs)
    if locked is not None and sorted(one.path for one in locked.outputs) == paths:
        entry = locked if is_stored(work.repo, locked, _bringer(work)) else None
    else:
        wanted = LockEntry(command_of(stage), *_inputs(work))
        entry = find_run(work.repo, wanted, paths, _bringer(work), work.is_seen)
    if entry is None:
        return None
    restore_run(work.repo, work.root, stage, entry)
    for declared in stage.outputs:
        if declared.is_cached:
            ignore_path(work.repo, work.root / stage.place(declared.path))
    return entry


@dataclass(frozen=True)
class Started:
    """A stage whose commands run: what they were given, and `held`, which lets others have its paths when closed."""

    work: Work
    dependencies: tuple[LockedPath, ...]
    parameters: dict[str, dict[str, Any]]
    held: ExitStack


def start(work: Work) -> Started:
    """Make room for a stage's outputs, so that its commands can run; other processes are told what it uses.

    Raises:
        NotFound: a dependency does not exist.
        Conflict: another process works on what the stage reads or makes; nothing was done.
    """
    stage, root = work.stage, work.root
    if not (root / stage.directory).is_dir():
        raise _fail(stage, f"its working directory {stage.wdir} does not exist")
    dependencies, parameters = _inputs(work)
    reads = [root / path for path in (*stage.reads, *(stage.place(ref.file) for ref in stage.parameters))]
    writes = [root / path for path in stage.makes]
    held = ExitStack()
    held.enter_context(in_use(work.repo, reads, writes, f"penstock repro {shlex.quote(stage.address)}"))
    try:
        clear(work)
    except BaseException:
        held.close()
        raise
    return Started(work, dependencies, parameters, held)


def clear(work: Work) -> None:
    """Remove outputs that are not persistent, before an attempt at making them."""
    for output in work.stage.outputs:
        place = work.root / work.stage.place(output.path)
        if not output.is_persistent:
            remove_path(place)
        place.parent.mkdir(parents=True, exist_ok=True)


def task_of(work: Work) -> Task:
    """Return a stage's commands as what an executor runs."""
    stage, asked = work.stage, work.stage.conditions
    return Task(
        stage.address,
        commands_of(stage),
        work.root,
        stage.directory,
        (*stage.reads, *(stage.place(ref.file) for ref in stage.parameters)),
        stage.makes,
        tuple(stage.place(output.path) for output in stage.outputs if output.is_persistent),
        {"DVC_ROOT": str(work.root), "DVC_STAGE": stage.address, **asked.environment},
        asked.resources,
        asked.timeout_s,
    )


def finish(started: Started) -> LockEntry:
    """Keep the outputs of a stage whose commands are done; return what is to be locked.

    Raises:
        Invalid: an output was not made, or a dependency changed meanwhile.
    """
    work = started.work
    after = _hash_dependencies(work)
    if after != started.dependencies:
        moved = [item.path for item, now in zip(started.dependencies, after, strict=True) if item != now]
        names = ", ".join(moved)
        mend = (
            f"where its command writes {names}, let it write an output of its own, or take that out of `deps` in "
            f"{work.stage.file}; where something else did, leave it alone while the stage runs"
        )
        raise _fail(work.stage, f"{names} changed while it ran", mend)
    entry = LockEntry(command_of(work.stage), started.dependencies, started.parameters, _keep_all(work))
    if work.commit and not any(
        one.kind == "out" and not one.is_cached for one in work.stage.outputs
    ):  # as DVC
        save_run(work.repo, work.root, work.stage, entry)
    return entry


def record(work: Work) -> LockEntry:
    """Keep a stage's outputs as they are and return what is to be locked, as if its commands had just run.

    The run cache is not told: what it has is taken for what commands made. Who knows that they did tells it.

    Raises:
        NotFound: a dependency does not exist.
        Invalid: an output does not.
    """
    dependencies, parameters = _inputs(work)
    return LockEntry(command_of(work.stage), dependencies, parameters, _keep_all(work))


def record_frozen(work: Work, entry: LockEntry | None) -> LockEntry:
    """Return what is to be locked of a stage that stays as it is: its outputs, and what they were made from.

    Outputs that are as locked keep their entry. Of others nobody knows what they were made from: no dependencies and
    parameters are claimed.

    Raises:
        NotFound: an output does not exist (code `pipeline.frozen_without_outputs`).

    Source: differs from dvc/stage/__init__.py (3.67), `Stage.run`, which claims what is there now.
    """
    if missing := missing_outputs(work.root, work.stage):
        raise _frozen_without(work.stage, missing, entry)
    outputs = _keep_all(work)
    same = entry is not None and [(one.path, one.hash.md5) for one in entry.outputs] == [
        (one.path, one.hash.md5) for one in outputs
    ]
    return entry if same and entry is not None else LockEntry(command_of(work.stage), outputs=outputs)


def missing_outputs(root: Path, stage: Stage) -> list[str]:
    """Return which outputs of a stage are not there, as they are declared."""
    return [one.path for one in stage.outputs if not (root / stage.place(one.path)).exists()]


def commands_of(stage: Stage) -> tuple[str, ...]:
    """Return the commands one by one: a text of several lines is one for each, as in DVC."""
    return stage.commands if stage.is_command_list else tuple(stage.commands[0].splitlines())


def _inputs(work: Work) -> tuple[tuple[LockedPath, ...], dict[str, dict[str, Any]]]:
    directory = work.root / work.stage.directory
    parameters = {
        ref.file: require_values(directory, ref, work.stage.address) for ref in work.stage.parameters
    }
    return _hash_dependencies(work), parameters


def _hash_dependencies(work: Work) -> tuple[LockedPath, ...]:
    found = []
    for path in sorted(work.stage.dependencies):
        try:
            found.append(LockedPath(path, hash_path(work.repo, work.root / work.stage.place(path))))
        except NotFound:
            raise NotFound(
                f"stage `{work.stage.address}` depends on {path}, which does not exist",
                code="pipeline.no_dependency",
                hint="penstock pull, or mend `deps` in dvc.yaml",
                stage=work.stage.address,
                path=path,
            ) from None
    return tuple(found)


def _keep_all(work: Work) -> tuple[LockedPath, ...]:
    return tuple(
        LockedPath(item.path, _keep(work, item))
        for item in sorted(work.stage.outputs, key=lambda output: output.path)
    )


def _keep(work: Work, output: StageOutput) -> HashInfo:
    place = work.root / work.stage.place(output.path)
    if not place.exists():
        raise _fail(work.stage, f"its command made no {output.path}")
    if output.is_cached:
        ignore_path(work.repo, place)
    elif has_entry(work.repo, place) and _was_cached(work, place):
        unignore_path(work.repo, place)
    return (save_path if output.is_cached and work.commit else hash_path)(work.repo, place)


def _was_cached(work: Work, place: Path) -> bool:
    """Say whether an output was the cache's before, so that its entry in `.gitignore` is ours and not the user's."""
    if work.repo.state.take_ignored(work.repo.relative(place)):
        return True
    git_root = work.repo.git_root()
    if git_root is None:
        return False
    texts = []
    lock = work.root / work.stage.home / LOCK_FILE
    for place_of in (lock, work.root / work.stage.file):
        where = os.path.relpath(place_of, git_root)
        texts.append(Git(git_root).run("show", f"HEAD:{where}", check=False))
    with suppress(PenstockError):
        before = parse_outputs(work.root, lock, *texts)
        return any(one.cached and one.path == place for one in before)
    return False


def _bringer(work: Work) -> Callable[[LockEntry], None] | None:
    bring = work.bring
    if bring is None:
        return None

    def bring_entry(entry: LockEntry) -> None:
        with suppress(PenstockError):  # then it is run
            bring([one for one in stage_outputs(work.root, work.stage, entry) if one.hash is not None])

    return bring_entry


def _is_as_locked(repo: DataRepository, output: Output) -> bool:
    return output.hash is not None and hash_path(repo, output.path).md5 == output.hash.md5


def _fail(stage: Stage, problem: str, mend: str | None = None) -> PenstockError:
    return Invalid(
        f"stage `{stage.address}`: {problem}",
        code="pipeline.bad_result",
        hint=f"{mend or f'mend the stage in {stage.file}'}, then penstock repro {shlex.quote(stage.address)}",
        stage=stage.address,
    )


def _frozen_without(stage: Stage, missing: Sequence[str], entry: LockEntry | None) -> NotFound:
    name = shlex.quote(stage.address)
    thaw = f"penstock unfreeze {name}, then penstock repro {name}"
    names = f"output {missing[0]}" if len(missing) == 1 else f"outputs {', '.join(missing)}"
    return NotFound(
        f"stage `{stage.address}` is frozen and has no {names}",
        code="pipeline.frozen_without_outputs",
        hint=f"penstock pull {name} brings what is locked; or {thaw}" if entry is not None else thaw,
        stage=stage.address,
    )
