"""Bring back what a subject stood on: its code, data and model, in a directory of their own.

What cannot be brought back does not keep the rest from it: it is told with what helps.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from penstock.base.errors import Conflict, NotFound, PenstockError
from penstock.base.files import remove_path, write_atomic
from penstock.base.git import Git, changed_paths
from penstock.data.cache.hashing import hash_path
from penstock.data.verbs.checkout import check_parents
from penstock.flows.chain.kept import why_lacking
from penstock.flows.chain.lineage import explain
from penstock.flows.chain.links import Explanation
from penstock.flows.chain.placing import place_model
from penstock.flows.models.provenance import uncached_outputs, write_locks
from penstock.flows.sources.bring import bring_what_there_is, listed, paths_of
from penstock.pipeline.definition import load_all_stages
from penstock.project.places import Places
from penstock.project.project import Project
from penstock.project.settings import load_project_settings
from penstock.project.submodules import bring_submodules
from penstock.project.worktree import require_git
from penstock.registry.documents.origins import by_reason, commit_words, unknowns
from penstock.registry.entities import ModelVersion
from penstock.registry.references import resolve_version
from penstock.registry.versions import find_deletions
from penstock.tracking.runs import get_run

T = TypeVar("T")


@dataclass(frozen=True)
class Lack:
    """Something that is not there, or not as it was, and what helps."""

    what: str
    hint: str


@dataclass(frozen=True)
class Restored:
    """What stands in the directory now; `root` is the project's root in it.

    `model` is where the version's model lies, relative to the root, `uncommitted` the files that are as they were and
    not as committed, `notes` what else is to know.
    """

    root: Path
    commit: str
    version: str | None
    output_count: int = 0
    model: str | None = None
    uncommitted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lacks: tuple[Lack, ...] = ()


@dataclass(frozen=True)
class _Origin:
    """What a subject stood on; digests name artifacts."""

    commit: str
    dirty_digest: str | None = None
    lock_digest: str | None = None
    version: ModelVersion | None = None
    notes: tuple[str, ...] = ()


def restore(project: Project, subject: str, into: Path) -> Restored:
    """Restore a subject's code, data and model as they were: of a run and a version with what was not committed.

    The directory shares this repository's cache, so nothing is copied twice; objects that are missing
    are fetched from where they come from. A failure leaves no directory behind; nothing outside of it is written.

    Raises:
        NotFound: the subject leads to no commit, or to one that this repository does not have.
        Conflict: `into` exists and is not empty, or the commit's `.dvc` is a symbolic link.
    """
    explanation = explain(project, subject)
    origin = _origin_of(project, explanation)
    _require_commit(project, subject, origin)
    into = Path(os.path.abspath(into))
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise Conflict(
            f"{into} exists and is not empty",
            code="chain.not_empty",
            hint="name a directory that does not exist",
        )
    existed = into.exists()
    try:
        return _Restoring(project, origin, into).run()
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        if existed:
            into.mkdir(exist_ok=True)
        raise


def _origin_of(project: Project, explanation: Explanation) -> _Origin:
    """Return what a subject stood on: a run's and a version's own word, and of a commit what is committed."""
    subject, version = explanation.subject, None
    with project.database.read() as connection:
        run = get_run(connection, explanation.links[0].key) if explanation.kind == "run" else None
        if explanation.version is not None:
            version = resolve_version(connection, explanation.version, deleted=True)
        gone = find_deletions(connection, [(version.model, version.number)] if version is not None else [])
    if explanation.commit is None:
        raise NotFound(
            f"{subject} leads to no commit, so its code cannot be restored",
            code="chain.no_commit",
            hint=f"penstock why {shlex.quote(subject)}"
            if version is None
            else f"penstock model download {shlex.quote(version.ref)}",
        )
    notes = tuple(f"{explanation.version} was {one.sentence}" for one in gone.values())
    origin = _Origin(explanation.commit, version=version, notes=notes)
    if run is not None:
        return replace(origin, dirty_digest=run.dirty_digest, lock_digest=run.lock_digest)
    if version is None:
        return origin
    made = version.provenance
    if explanation.kind in {"commit", "experiment"} and (
        made.commit != origin.commit or made.dirty_digest is not None
    ):
        note = f"{version.ref} was made with changes that are not in the commit: penstock restore {shlex.quote(version.ref)} has them"
        return _Origin(origin.commit, notes=(note,))
    return replace(
        origin,
        dirty_digest=made.dirty_digest,
        lock_digest=made.lock_digest,
        notes=(*notes, *_registered_only(version)),
    )


def _registered_only(version: ModelVersion) -> Iterator[str]:
    """Yield that a version's commit is not known to be what it was made from, and why."""
    words, commit = commit_words(version), version.provenance.commit or ""
    if words:
        why = "; ".join(by_reason(unknowns(version)))
        yield f"{version.ref} was {words}commit {commit[:10]}, whose code and data may be others: {why}"


def _require_commit(project: Project, subject: str, origin: _Origin) -> None:
    lacking = why_lacking(Git(require_git(project)), origin.commit)
    if lacking is None:
        return
    model = (
        f"; the model alone: penstock model download {shlex.quote(origin.version.ref)}"
        if origin.version
        else ""
    )
    raise NotFound(
        f"this repository does not have commit {origin.commit[:10]}, which {subject} leads to",
        code="chain.commit_missing",
        hint=f"{lacking.hint}, or fetch it from a clone that has it{model}",
        commit=origin.commit,
    )


@dataclass
class _Restoring:
    """A directory that is being filled, and what was found on the way."""

    project: Project
    origin: _Origin
    into: Path
    lacks: list[Lack] = field(default_factory=list)
    uncommitted: tuple[str, ...] = ()

    def run(self) -> Restored:
        project, version, commit = self.project, self.origin.version, self.origin.commit
        git_root = require_git(project)
        root = self.into / project.root.relative_to(git_root)
        Git(git_root).run("clone", "--quiet", "--no-checkout", str(git_root), str(self.into))
        git = Git(self.into)
        git.run("checkout", "--quiet", "--detach", commit)
        self._try(lambda: bring_submodules(self.into, git_root))
        self._try(lambda: self._apply_uncommitted(git))
        self._try(lambda: self._write_locks(root))
        _check_own(self.into, root)
        _share_cache(project, root)
        places = Places(
            root,
            root / ".penstock",
            project.places.store_url,
            project.places.artifacts_url,
            project.data.cache.root,
        )
        inside = Project(places, load_project_settings(root), project.actor)
        model, why = None, ""
        try:
            brought = bring_what_there_is(inside, project.data)
            if version is not None:
                model, why = self._try(lambda: place_model(project, version, root)) or (None, "")
            self.lacks += _uncached_lacks(inside)
            self.lacks += [Lack(one.message, one.hint or "") for one in brought.lost]
            for where in dict.fromkeys(brought.absent.values()):
                paths = [path for path, one in brought.absent.items() if one == where]
                absent = [path for path in paths if not (root / path).exists()]
                self.lacks += [Lack(f"{listed(absent)} {where}", _again(root))] if absent else []
            told = {*brought.absent, *(path for one in brought.lost for path in paths_of(one))}
            self.lacks += _unkept(inside, told)
        finally:
            inside.data.close()
        return Restored(
            root,
            commit,
            version.ref if version else None,
            brought.output_count,
            model,
            self.uncommitted,
            (*self.origin.notes, *([why] if why else []), *brought.undetermined),
            tuple(self.lacks),
        )

    def _try(self, step: Callable[[], T]) -> T | None:
        """Take a step, and note it where it cannot be taken."""
        try:
            return step()
        except PenstockError as error:
            self.lacks.append(Lack(error.message, error.hint or ""))
            return None

    def _apply_uncommitted(self, git: Git) -> None:
        digest = self.origin.dirty_digest
        if digest is None:
            return
        try:
            patch = self.project.artifacts.get(digest)
            git.apply(patch)
        except PenstockError as error:
            error.message = f"the changes that were not committed are not in place: {error.message}"
            raise
        self.uncommitted = tuple(changed_paths(patch))

    def _write_locks(self, root: Path) -> None:
        if self.origin.lock_digest is not None:
            write_locks(root, self.project.artifacts.get(self.origin.lock_digest))


def _uncached_lacks(inside: Project) -> Iterator[Lack]:
    """Write the outputs that git holds as the lock says they were, and yield those whose content is nowhere."""
    for path, info in uncached_outputs(inside.data):
        place, stored = inside.root / path, inside.data.cache.find(info)
        is_there = os.path.lexists(place)
        if is_there and hash_path(inside.data, place).md5 == info.md5:
            continue
        if stored is not None and not info.is_tree:
            try:
                check_parents(inside.data, place)
            except PenstockError as error:
                yield Lack(f"{path} is not as it was made then: {error.message}", error.hint or "")
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            remove_path(place)
            shutil.copyfile(stored, place)
            continue
        state = "as committed, not as it was made then" if is_there else "not there"
        yield Lack(f"{path} is {state}: its content is not in the cache", _again(inside.root))


def _unkept(inside: Project, told: set[str]) -> Iterator[Lack]:
    """Yield what stages read that nothing here has: files that git ignores, for one."""
    stages = load_all_stages(inside.data)
    made = {path for stage in stages for path in stage.makes}
    for stage in stages:
        for path in stage.reads:
            is_told = any(path == one or path.startswith(f"{one}/") for one in {*made, *told})
            if not is_told and not os.path.lexists(inside.root / path):
                yield Lack(
                    f"{path}, which stage {stage.name} reads, is kept nowhere: it was neither in git nor tracked",
                    f"put it to {shlex.quote(str(inside.root / path))}",
                )


def _again(root: Path) -> str:
    return f"penstock -C {shlex.quote(str(root))} repro makes it again"


def _check_own(into: Path, root: Path) -> None:
    """Refuse a commit whose project, or what configures it, is a symbolic link: it would be written through."""
    place = root / ".dvc"
    if place.resolve() != into.resolve() / place.relative_to(into):
        raise Conflict(
            f"{place.relative_to(into)} is a symbolic link in the commit: nothing is written through it",
            code="data.symlink",
            hint="git checkout the commit, and put a directory in its place",
        )


def _share_cache(project: Project, root: Path) -> None:
    write_atomic(root / ".dvc" / "config.local", f"[cache]\n    dir = {project.data.cache.root}\n".encode())
