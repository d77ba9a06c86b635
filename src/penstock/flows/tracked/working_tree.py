"""The data verbs between workspace and cache: add, commit, checkout, remove, move, unprotect.

They import nothing of remotes, so that one target costs what it needs; `penstock.flows.tracked.versioning` has those
that talk to remotes.
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from penstock.base.errors import Invalid, NotFound
from penstock.data.cache.relinking import relink_output
from penstock.data.configuration.places import site_cache
from penstock.data.formats.output import HashInfo, Output
from penstock.data.lock import repository_lock
from penstock.data.repository import DataRepository
from penstock.data.rwlock import check_writable
from penstock.data.verbs import adding
from penstock.data.verbs.checkout import SHOWN, Change, apply_checkout, plan_checkout, plan_present
from penstock.data.verbs.stale import apply_stale, note_outputs, plan_stale
from penstock.data.verbs.status import output_state
from penstock.flows.tracked.selection import Chosen, Targets, made_outputs, select


def add(
    repo: DataRepository,
    paths: Sequence[Path],
    *,
    store: bool = True,
    relink: bool = True,
) -> list[adding.Added]:
    """Track files and directories; `core.autostage` stages their pointers in git.

    Args:
        store: put their content into the cache; without it, it is for a later `commit`.
        relink: replace files by links where links are configured.
    """
    with repository_lock(repo):
        check_writable(repo, paths)
        repo.cache.remove_stale_staging()
        around = partial(made_outputs, repo, paths)
        done = [adding.add_path(repo, path, around, store=store, relink=relink) for path in paths]
        _note(
            repo, [(one.path, one.hash, repo.relative(one.pointer)) for one in done if one.changed and store]
        )
    stage_in_git(repo, [path for one in done for path in one.changed])
    return done


def commit(
    repo: DataRepository, targets: Targets = (), *, base: Path | None = None, relink: bool = True
) -> list[adding.Added]:
    """Record what tracked paths hold now in their pointers (`pipeline_commit` records stages).

    Without `relink`, files stay as they are where links are configured.
    """
    with repository_lock(repo):
        chosen = select(repo, targets, base=base, pointers_only=True)
        check_writable(repo, [one.output.path for one in chosen])
        pointers = {one.pointer.path: one.pointer for one in chosen if one.pointer is not None}
        done = [
            adding.commit_pointer(repo, pointer, relink=relink)
            for pointer in pointers.values()
            if any(_differs(repo, output) for output in pointer.outputs)
        ]
        _note(repo, [(one.path, one.hash, repo.relative(one.pointer)) for one in done])
    stage_in_git(repo, [path for one in done for path in one.changed])
    return done


def _differs(repo: DataRepository, output: Output) -> bool:
    if output_state(repo, output) != "unchanged":
        return True
    info = output.hash
    if info is None or info.is_tree or output.path.is_symlink():  # a link has no executable bit of its own
        return False
    return info.isexec != os.access(output.path, os.X_OK)


def _note(repo: DataRepository, outputs: list[tuple[Path, HashInfo, str]]) -> None:
    """Note what the workspace holds now, for later checkouts of ours and of DVC's."""
    note_outputs(repo, outputs)
    _tell_dvc(repo, [(path, info) for path, info, _ in outputs])


def _tell_dvc(repo: DataRepository, outputs: list[tuple[Path, HashInfo]]) -> None:
    if not outputs or not os.path.exists(repo.dvc_dir / "tmp" / "btime"):  # DVC was never here
        return
    from penstock.data.cache.dvcstate import save_dvc_state  # 4 ms, and many machines have no DVC

    site = site_cache(repo.config.get("core", "site_cache_dir"))

    save_dvc_state(repo, site, outputs)


def stage_in_git(repo: DataRepository, paths: list[Path]) -> None:
    """Have git take files for the next commit, where `core.autostage` says so."""
    root = repo.git_root()
    if paths and root is not None and repo.config.is_set("core", "autostage"):
        from penstock.base.git import Git  # 6 ms, and most repositories do not stage

        Git(root).run("add", "--", *(str(path) for path in paths))


def checkout(
    repo: DataRepository,
    targets: Targets = (),
    *,
    base: Path | None = None,
    force: bool = False,
    relink: bool = False,
    allow_missing: bool | Callable[[Output], bool] = False,
    counts: Counter[str] | None = None,
    lacking: list[Output] | None = None,
) -> dict[str, Change]:
    """Bring tracked paths to their recorded content; return what changed by path.

    `counts` receives how many single files were added, modified and deleted; `lacking` the outputs of which something
    was left out because the cache does not have it.

    All plans are made before any is applied: a refusal or a missing object changes nothing. Without targets,
    what another commit brought and this one does not declare is removed (`penstock.data.verbs.stale`). `relink` gives
    files that stay the configured kind of link too. `allow_missing` leaves out what the cache lacks and what
    is recorded nowhere, of all outputs or of some.

    Raises:
        Refused: unsaved work would be lost and `force` was not given.
        NotFound: objects are missing from the cache, or nothing says what an output holds.
        Conflict: a running DVC stage uses one of the paths that would change.
    """
    with repository_lock(repo):
        chosen = select(repo, targets, base=base)
        may_lack = allow_missing if callable(allow_missing) else lambda _: bool(allow_missing)
        _check_recorded(repo, [one for one in chosen if not may_lack(one.output)])
        plans = [
            plan_present(repo, one.output, one.within)
            if may_lack(one.output)
            else plan_checkout(repo, one.output, one.within)
            for one in chosen
        ]
        check_writable(repo, [plan.output.path for plan in plans if plan.change != "unchanged"])
        for plan in plans:
            if plan.at_risk and not force:
                apply_checkout(repo, plan)  # raises its refusal before anything is written
        changes: dict[str, Change] = {}
        for plan in plans:
            change = apply_checkout(repo, plan, force=force)
            if counts is not None:
                counts.update(plan.count_files())
            if change != "unchanged":
                changes[repo.relative(plan.output.path)] = change
        if lacking is not None:
            lacking += [plan.output for plan in plans if plan.is_partial]
        written = [plan.output for plan in plans if plan.change != "unchanged" and not plan.is_partial]
        _note(repo, [(one.path, one.hash, one.source) for one in written if one.hash is not None])
        if relink:
            for one in chosen:
                relink_output(repo, one.output)
        if not targets:
            stale = plan_stale(repo, [one.output for one in chosen])
            apply_stale(repo, stale)
            changes.update({repo.relative(path): "deleted" for path, _ in stale.remove})
            if counts is not None:
                counts["deleted"] += len(stale.remove)
    return changes


def _check_recorded(repo: DataRepository, chosen: Sequence[Chosen]) -> None:
    """Refuse to pass over outputs that are neither here nor recorded; an import that is still to come has its source."""
    lost = [
        one.output
        for one in chosen
        if one.output.hash is None
        and one.output.cached
        and not (one.pointer is not None and one.pointer.dependencies)
        and not os.path.lexists(one.output.path)
    ]
    if not lost:
        return
    names = [repo.relative(output.path) for output in lost]
    stage = lost[0].source.rpartition(":")[2]
    told = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    raise NotFound(
        f"nothing says what {told} should hold: no hash is recorded",
        code="data.not_recorded",
        hint=(
            f"penstock commit {shlex.quote(stage)} where the data are"
            if stage == lost[0].source
            else f"commit dvc.lock where it was made, or penstock repro {shlex.quote(stage)}"
        )
        + "; --allow-missing goes on without",
        paths=names,
    )


def remove(
    repo: DataRepository, targets: Targets, *, base: Path | None = None, with_data: bool = False
) -> list[Path]:
    """Stop tracking by pointer file or path; return the files that changed for git."""
    changed: list[Path] = []
    with repository_lock(repo):
        chosen = select(repo, targets, base=base, pointers_only=True)
        check_writable(repo, [one.output.path for one in chosen])
        for one in chosen:
            if one.pointer is None or one.within:
                whole = repo.relative(one.output.path)
                part = f"{whole}/{one.within}"
                raise Invalid(
                    f"{part} is tracked as a part of {whole}",
                    code="data.not_a_pointer",
                    hint=f"rm {shlex.quote(part)}, then penstock add {shlex.quote(part)} takes it out",
                )
            changed += adding.remove_pointer(repo, one.pointer, with_data=with_data)
            repo.state.forget_outputs([repo.relative(one.output.path)])
    stage_in_git(repo, [path for path in changed if path.exists()])
    return changed


def move_path(repo: DataRepository, source: Path, target: Path) -> tuple[Path, ...]:
    """Move a tracked path and its pointer; return the files that changed for git.

    Raises:
        NotFound: it is not tracked by a pointer of its own.
        Conflict: something is at the target, or a running DVC stage uses one of the paths.
    """
    from penstock.data.verbs.moving import apply_move, plan_move

    with repository_lock(repo):
        source, target = (Path(os.path.normpath(path.absolute())) for path in (source, target))
        check_writable(repo, (source, target))
        changed = apply_move(repo, plan_move(repo, source, target))
    root = repo.git_root()
    if root is not None and repo.config.is_set("core", "autostage"):
        from penstock.base.git import Git

        Git(root).run("add", "-A", "--", *(str(path) for path in changed))
    return changed


def unprotect_paths(repo: DataRepository, paths: Sequence[Path]) -> int:
    """Turn links into files of their own; return how many were links or read-only."""
    from penstock.data.verbs.protection import unprotect

    with repository_lock(repo):
        check_writable(repo, paths)
        return sum(unprotect(repo, Path(os.path.normpath(path))) for path in paths)
