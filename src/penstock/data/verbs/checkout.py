"""Bring an output's path to the content its hash names, without losing work.

Planned first (`plan_checkout`), then applied. New content is written under `.dvc/tmp/penstock` and renamed
into place, so a killed checkout leaves no half file in the workspace. Every object is checked against its
name while it is copied. Nothing is written through a symbolic link.
"""

from __future__ import annotations

import os
import shlex
import stat
from array import array
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from penstock.base.errors import Invalid, NotFound, Refused
from penstock.base.files import remove_path
from penstock.data.cache.hashing import hash_path, hash_tree
from penstock.data.cache.legacy import holds_legacy, legacy_files, legacy_md5
from penstock.data.cache.placing import Placer
from penstock.data.files.obstacles import find_obstacles
from penstock.data.files.regular import is_special
from penstock.data.files.state import Snapshot
from penstock.data.formats.output import HashInfo, Output, Within, is_within
from penstock.data.formats.tree import blocks_md5, check_placeable, render_blocks
from penstock.data.formats.treefiles import TreeFiles
from penstock.data.objects import object_missing
from penstock.data.pointers.pointer import check_inside
from penstock.data.repository import DataRepository
from penstock.data.verbs.keeping import find_odd, find_unsaved, keep

Change = Literal["unchanged", "added", "modified", "deleted"]
SHOWN = 10  # names listed in a refusal


@dataclass(frozen=True)
class CheckoutPlan:
    """What a checkout of one output would do; `write` and `remove` are relative to the output's path.

    The empty relative path is the output itself, where it is a file. `replace_all` says that what is
    there has another type (file or directory) and goes as a whole. `at_risk` lists absolute paths whose
    content is in no cache: applying the plan without `force` is refused. `is_partial` says that something is
    left out because no cache has it. `replaced` counts the files of `write` that are there with other content.
    """

    output: Output
    change: Change
    write: Mapping[str, str]
    remove: tuple[str, ...] = ()
    replace_all: bool = False
    at_risk: tuple[Path, ...] = ()
    is_partial: bool = False
    replaced: int = 0

    def count_files(self) -> dict[Change, int]:
        """Return how many files are added, modified and deleted."""
        if self.change == "unchanged":
            return {}
        replaced = self.replaced if "" not in self.write else int(self.change == "modified")
        added = len(self.write) - replaced
        return {"added": added, "modified": replaced, "deleted": len(self.remove)}


def checkout_output(repo: DataRepository, output: Output, force: bool = False) -> Change:
    """Bring `output.path` to `output.hash`, and say what that changed.

    With `force`, work that exists nowhere else is moved to `.dvc/tmp/penstock-kept` before it is
    overwritten.

    Raises:
        Refused: that would destroy work that exists nowhere else.
        NotFound: an object is not in the cache; nothing was changed.
        Corrupt: an object does not match its name; it was not used.
    """
    return apply_checkout(repo, plan_checkout(repo, output), force=force)


def plan_checkout(repo: DataRepository, output: Output, within: Within = "") -> CheckoutPlan:
    """Compare workspace and hash, and list what has to be written and removed; nothing is changed.

    `within` limits it to one file or directory below a tracked directory, or to some of its files.
    """
    if output.hash is None or not output.cached:
        return CheckoutPlan(output, "unchanged", {})
    wanted_info = output.hash
    check_parents(repo, output.path)
    info = _lstat(output.path)
    if info is not None and stat.S_ISLNK(info.st_mode) and wanted_info.is_tree:
        if output.path.is_dir() and hash_tree(repo, output.path).info.md5 == wanted_info.md5:
            return CheckoutPlan(output, "unchanged", {})  # nothing has to be written through it
        raise Invalid(
            f"{repo.relative(output.path)} is a symbolic link where a directory belongs",
            code="data.symlink",
            hint=f"rm {shlex.quote(repo.relative(output.path))}",
        )
    if info is None:
        wanted = _wanted(repo, output, wanted_info, within)
        return CheckoutPlan(output, "added", wanted)
    is_dir = stat.S_ISDIR(info.st_mode)
    if is_special(output.path):
        return CheckoutPlan(
            output,
            "modified",
            _wanted(repo, output, wanted_info, within),
            (),
            wanted_info.is_tree,
            (output.path,),
        )
    if not within and holds_legacy(repo, output.path, wanted_info):
        return CheckoutPlan(output, "unchanged", {})
    if is_dir and wanted_info.is_tree:
        return _plan_directory(repo, output, wanted_info, within)
    if is_dir:
        risk = find_unsaved(repo, output.path)
        return CheckoutPlan(output, "modified", {"": wanted_info.md5}, (), True, risk)
    broken = stat.S_ISLNK(info.st_mode) and not output.path.exists()
    current = None if broken else hash_path(repo, output.path)
    if current is not None and current.md5 == wanted_info.md5:
        if current.isexec >= wanted_info.isexec:
            return CheckoutPlan(output, "unchanged", {})
        return CheckoutPlan(output, "modified", {"": wanted_info.md5})
    at_risk = () if current is None or repo.cache.has_md5(current.md5) else (output.path,)
    return CheckoutPlan(
        output, "modified", _wanted(repo, output, wanted_info, within), (), wanted_info.is_tree, at_risk
    )


def plan_present(repo: DataRepository, output: Output, within: Within = "") -> CheckoutPlan:
    """Plan like `plan_checkout`, without what the cache lacks: that stays as it is in the workspace."""
    try:
        plan = plan_checkout(repo, output, within)
    except NotFound:
        return CheckoutPlan(output, "unchanged", {}, is_partial=True)
    legacy = output.hash is not None and output.hash.algorithm != "md5"
    absent = _missing(repo, plan.write, legacy=legacy)
    if not absent:
        return plan
    write = {name: md5 for name, md5 in plan.write.items() if md5 not in absent}
    change: Change = plan.change if write or plan.remove else "unchanged"
    if plan.replace_all and not write:
        change = "unchanged"
    at_risk = tuple(
        path
        for path in plan.at_risk
        if path.relative_to(output.path).as_posix() not in plan.write.keys() - write.keys()
    )
    return replace(plan, change=change, write=write, at_risk=at_risk, is_partial=True)


def _plan_directory(repo: DataRepository, output: Output, info: HashInfo, within: Within) -> CheckoutPlan:
    current = hash_tree(repo, output.path)
    if current.info.md5 == info.md5:
        return CheckoutPlan(output, "unchanged", {})
    wanted = _wanted(repo, output, info, within)
    is_legacy = info.algorithm != "md5"
    files = legacy_files(repo, output.path) if is_legacy else current.files()
    if within:
        files = {name: md5 for name, md5 in files.items() if is_within(name, within)}
    for name in find_obstacles(output.path, wanted, files):
        path = output.path / name
        files[name] = legacy_md5(repo, path) if is_legacy else hash_path(repo, path).md5
    write = {name: md5 for name, md5 in wanted.items() if files.get(name) != md5}
    remove = tuple(name for name in files if name not in wanted)
    lost = {name: files[name] for name in (*write, *remove) if name in files}
    absent = _missing(repo, lost, legacy=True) if is_legacy else repo.cache.missing(set(lost.values()))
    at_risk = tuple(output.path / name for name, md5 in lost.items() if md5 in absent)
    change: Change = "modified" if write or remove else "unchanged"
    replaced = sum(name in files for name in write)
    return CheckoutPlan(output, change, write, remove, False, at_risk, replaced=replaced)


def _wanted(repo: DataRepository, output: Output, info: HashInfo, within: Within) -> Mapping[str, str]:
    tree: Mapping[str, str]
    if not info.is_tree:
        return {"": info.md5}
    if output.files is not None:  # cloud-versioned: the pointer holds the list
        tree = {name: one.md5 for name, one in output.files}
    else:
        try:
            tree = repo.cache.load_tree(info) if within else repo.cache.load_files(info)
        except NotFound as error:
            raise NotFound(
                f"{repo.relative(output.path)} cannot be checked out: its list of files ({info.md5}) is not in the cache",
                code=error.code,
                hint=f"penstock pull {shlex.quote(output.source)}",
                md5=info.md5,
            ) from None
    check_placeable(tree, repo.relative(output.path))
    if not within:
        return tree
    chosen = {name: md5 for name, md5 in tree.items() if is_within(name, within)}
    if not chosen:
        raise NotFound(
            f"{within if isinstance(within, str) else min(within)} is not in the tracked directory",
            code="data.not_tracked",
            hint="penstock status",
        )
    return chosen


def apply_checkout(repo: DataRepository, plan: CheckoutPlan, *, force: bool = False) -> Change:
    """Carry out a plan; see `checkout_output`."""
    if plan.change == "unchanged":
        return "unchanged"
    if plan.at_risk and not force:
        raise _refused(repo, plan)
    output = plan.output
    legacy = output.hash is not None and output.hash.algorithm != "md5"
    _require_objects(repo, plan, legacy=legacy)
    keep(repo, plan.at_risk)
    placer = Placer(repo, legacy=legacy)
    if plan.replace_all and os.path.lexists(output.path):
        keep(repo, tuple(find_odd(output.path)))
        remove_path(output.path)
    if output.hash is not None and output.hash.is_tree:
        if not os.path.lexists(output.path):
            files = TreeFiles.of(plan.write)
            _remember(repo, output, files, placer.place_new_tree(files, output.path))
        else:
            _update_tree(repo, plan, placer)
    else:
        isexec = output.hash is not None and output.hash.isexec
        placer.place_file(plan.write[""], output.path, executable=isexec)
    placer.finish()
    return plan.change


def _remember(repo: DataRepository, output: Output, files: TreeFiles, stats: array[int]) -> None:
    """Save the snapshot of a directory that was just built whole, so that it need not be hashed."""
    info = output.hash
    if info is None or info.algorithm != "md5" or blocks_md5(render_blocks(files.items())) != info.md5:
        return
    names = os.fsencode("\0".join(files.names))
    snapshot = Snapshot(names, stats, files.digests, info.md5, sum(stats[1::3]), len(files))
    repo.state.save_snapshot(os.fsencode(repo.relative(output.path)), snapshot)


def _update_tree(repo: DataRepository, plan: CheckoutPlan, placer: Placer) -> None:
    folders = {os.path.dirname(name) for name in plan.remove}
    for name in plan.remove:
        with suppress(FileNotFoundError):
            os.unlink(plan.output.path / name)
    for folder in sorted(folders, key=len, reverse=True):
        while folder:
            try:
                os.rmdir(plan.output.path / folder)
            except OSError:
                break
            folder = os.path.dirname(folder)  # noqa: PLW2901
    for name, md5 in plan.write.items():
        target = plan.output.path / name
        check_parents(repo, target)
        if target.is_dir() and not target.is_symlink():
            _remove_empty(target)
        placer.place_file(md5, target)


def _remove_empty(folder: Path) -> None:
    """Remove a directory that holds nothing but directories."""
    for parent, _, _ in os.walk(folder, topdown=False):
        os.rmdir(parent)


def _require_objects(repo: DataRepository, plan: CheckoutPlan, *, legacy: bool) -> None:
    absent = _missing(repo, plan.write, legacy=legacy)
    if absent:
        error = object_missing(min(absent))
        more = f" and {len(absent) - 1} more objects are" if len(absent) > 1 else " is"
        raise NotFound(
            f"{repo.relative(plan.output.path)} cannot be checked out: object {min(absent)}{more} not in the cache",
            code=error.code,
            hint=f"penstock pull {shlex.quote(plan.output.source)}"
            if plan.output.push
            else f"penstock repro {shlex.quote(plan.output.source.rpartition(':')[2])}: it is never pushed (push: false)",
            missing=len(absent),
        )


def _missing(repo: DataRepository, files: Mapping[str, str], *, legacy: bool) -> set[str]:
    if legacy:
        return {md5 for md5 in files.values() if not os.path.exists(repo.cache.legacy_path(md5))}
    listed = TreeFiles.of(files)
    return {listed.md5_at(at) for at in repo.cache.absent(listed.digests)}


def _refused(repo: DataRepository, plan: CheckoutPlan) -> Refused:
    names = [repo.relative(path) for path in plan.at_risk]
    listed = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    return Refused(
        f"checkout would destroy work that is stored nowhere else: {listed}",
        code="data.unsaved_work",
        hint=f"penstock commit {shlex.quote(plan.output.source)} to keep it, or penstock checkout --force (keeps a copy)",
        paths=names,
    )


def check_parents(repo: DataRepository, path: Path) -> None:
    """Refuse a path outside the repository, or one that a symbolic link among its parents leads out of it.

    Raises:
        Invalid: it is outside, belongs to git or DVC, or a parent below the root is a symbolic link.
    """
    check_inside(repo, path, "the output")
    parent = path.parent
    while parent != repo.root:
        if parent.is_symlink():
            raise Invalid(
                f"{repo.relative(parent)} is a symbolic link: nothing is written through it",
                code="data.symlink",
                hint=f"replace {repo.relative(parent)} by a directory",
            )
        parent = parent.parent


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
