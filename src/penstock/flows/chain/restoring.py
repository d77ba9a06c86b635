"""Bring back what a subject stood on: its code, data and model, in a directory of their own."""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from penstock.base.errors import Conflict, Corrupt, NotFound
from penstock.base.files import write_atomic
from penstock.base.git import Git
from penstock.flows.chain.lineage import explain
from penstock.flows.models.folders import write_model
from penstock.flows.models.provenance import uncached_outputs, write_locks
from penstock.flows.tracked.bring import bring_outputs
from penstock.project.places import Places
from penstock.project.project import Project
from penstock.project.settings import load_project_settings
from penstock.project.worktree import require_git
from penstock.registry.entities import ModelVersion
from penstock.registry.package import digest_manifest, scan_model
from penstock.registry.references import resolve_version


@dataclass(frozen=True)
class Restored:
    """What stands in the directory now; `root` is the project's root in it."""

    root: Path
    commit: str
    version: str | None
    output_count: int


def restore(project: Project, subject: str, into: Path) -> Restored:
    """Restore a subject's code, data and model as they were.

    The directory shares this repository's cache, so nothing is copied twice; objects that are missing
    are fetched from the remote. A failure leaves no directory behind.

    Raises:
        NotFound: the subject leads to no commit.
        Conflict: `into` exists and is not empty.
        Corrupt: the restored model is not the registered one.
    """
    explanation = explain(project, subject)
    if explanation.commit is None:
        raise NotFound(
            f"{subject} leads to no commit, so its code cannot be restored",
            code="chain.no_commit",
            hint=f"penstock why {shlex.quote(subject)}",
        )
    version = None
    if explanation.version is not None:
        with project.database.read() as connection:
            version = resolve_version(connection, explanation.version)
    into = Path(os.path.abspath(into))
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise Conflict(
            f"{into} exists and is not empty",
            code="chain.not_empty",
            hint="name a directory that does not exist",
        )
    existed = into.exists()
    try:
        return _restore(project, version, explanation.commit, into)
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        if existed:
            into.mkdir(exist_ok=True)
        raise


def _restore(project: Project, version: ModelVersion | None, commit: str, into: Path) -> Restored:
    git_root = require_git(project)
    root = into / project.root.relative_to(git_root)
    Git(git_root).run("clone", "--quiet", "--no-checkout", str(git_root), str(into))
    git = Git(into)
    git.run("checkout", "--quiet", "--detach", commit)
    if version is not None:
        _apply_uncommitted(project, version, git, root)
    _share_cache(project, root)
    places = Places(
        root,
        root / ".penstock",
        project.places.store_url,
        project.places.artifacts_url,
        project.data.cache.root,
    )
    inside = Project(places, load_project_settings(root), project.actor)
    try:
        brought = bring_outputs(inside, project.data)
        _place_uncached(inside)
        if version is not None:
            _check_model(project, version, root)
    finally:
        inside.data.close()
    return Restored(root, commit, version.ref if version else None, brought.output_count)


def _apply_uncommitted(project: Project, version: ModelVersion, git: Git, root: Path) -> None:
    origin = version.provenance
    if origin.dirty_digest is not None:
        patch = root / ".penstock-patch"
        write_atomic(patch, project.artifacts.get(origin.dirty_digest))
        git.run("apply", "--binary", str(patch))
        patch.unlink()
    if origin.lock_digest is not None:
        write_locks(root, project.artifacts.get(origin.lock_digest))


def _place_uncached(inside: Project) -> None:
    """Write the outputs that git holds as the lock says they were; the run cache keeps their content."""
    for path, info in uncached_outputs(inside.data):
        stored = inside.data.cache.find(info)
        if stored is not None and not info.is_tree:
            shutil.copyfile(stored, inside.root / path)


def _share_cache(project: Project, root: Path) -> None:
    write_atomic(root / ".dvc" / "config.local", f"[cache]\n    dir = {project.data.cache.root}\n".encode())


def _check_model(project: Project, version: ModelVersion, root: Path) -> None:
    folder = root / version.path
    if not folder.exists():
        write_model(project, version, folder)
    digest = digest_manifest(scan_model(folder))
    if digest != version.digest:
        raise Corrupt(
            f"the restored model is sha256 {digest[:12]}, {version.ref} is {version.digest[:12]}",
            code="chain.model_differs",
            hint="penstock model verify",
        )
