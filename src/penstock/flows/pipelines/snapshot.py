"""A commit's pipelines beside the workspace's: what its definitions, locks and small files of values say.

Only files that describe pipelines are written out, into a directory of their own that is gone afterwards; others
are read from git when they are asked for.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from penstock.base.errors import Invalid, NotFound
from penstock.base.git import Git
from penstock.data.files.ignore import FILE_NAME, IgnoreRules
from penstock.data.formats.output import HashInfo
from penstock.data.repository import DataRepository
from penstock.flows.tracked.history import read_blobs
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.lockfile import load_entries
from penstock.pipeline.outputs import stage_outputs
from penstock.pipeline.stage import Stage

DESCRIBING = (".yaml", ".yml", ".json", ".toml", ".dvc", "dvc.lock", FILE_NAME)
MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Snapshot:
    """A repository at a commit, or the workspace (`commit` None); `repo` stands on its files."""

    repo: DataRepository
    commit: str | None
    git: Git

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of all definitions.

        Raises:
            Invalid: a definition cannot be read.
        """
        return load_all_stages(self.repo)

    def read(self, path: str) -> bytes | None:
        """Return the content of a file, relative to the root, or None: from the tree, from git, from the cache."""
        place = self.repo.root / path
        if place.is_file():
            return place.read_bytes()
        if self.commit is not None:
            try:
                return self.git.show(self.commit, f"./{path}")
            except Invalid:
                pass  # not git's: perhaps it is in the cache
        info = self._recorded(path)
        stored = self.repo.cache.find(info) if info is not None and not info.is_tree else None
        return Path(stored).read_bytes() if stored is not None else None

    def files_in(self, path: str) -> list[str] | None:
        """Return the files below a path if it is a directory, as the workspace or the cache has it, else None."""
        place = self.repo.root / path
        if place.is_file():
            return None
        if place.is_dir() and self.commit is None:
            found = [one for one in place.rglob("*") if one.is_file()]
            return sorted(one.relative_to(self.repo.root).as_posix() for one in found)
        info = self._recorded(path)
        if info is None and self.commit is not None:
            words = ("ls-tree", "-r", "-z", "--name-only", self.commit, "--", f"{path}/")
            return [os.fsdecode(name) for name in self.git.run_bytes(*words).split(b"\0") if name] or None
        if info is None or not info.is_tree or self.repo.cache.find(info) is None:
            return None
        return [f"{path}/{name}" for name in self.repo.cache.load_tree(info)]

    def _recorded(self, path: str) -> HashInfo | None:
        """Return what the lock says of an output, or of a file in an output's directory."""
        place = self.repo.root / path
        locked = load_entries(self.repo.root, self.stages)
        made = (
            output
            for stage in self.stages
            for output in stage_outputs(self.repo.root, stage, locked.get(stage.address))
        )
        for output in made:
            if output.path == place:
                return output.hash
            info = output.hash
            if info is not None and info.is_tree and place.is_relative_to(output.path):
                if self.repo.cache.find(info) is None:
                    return None
                md5 = self.repo.cache.load_tree(info).get(place.relative_to(output.path).as_posix())
                return HashInfo(md5) if md5 is not None else None
        return None


@contextmanager
def at_revision(repo: DataRepository, revision: str | None) -> Iterator[Snapshot]:
    """Yield a repository as it was at a revision; None is the workspace.

    Raises:
        NotFound: there is no such revision.
    """
    git = Git(repo.root)
    if revision is None:
        yield Snapshot(repo, None, git)
        return
    commit = resolve(git, revision)
    with tempfile.TemporaryDirectory(prefix="penstock-revision-") as folder:
        blobs = list_describing(git, commit)
        texts = read_blobs(repo.root, set(blobs.values()))
        for name, blob in blobs.items():
            place = Path(folder, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(texts[blob])
        yield Snapshot(replace(repo, root=Path(folder), ignore=IgnoreRules(folder), seen={}), commit, git)


def resolve(git: Git, revision: str) -> str:
    """Return the commit that a revision, or an experiment's name, means.

    Raises:
        NotFound: there is no such revision.
    """
    try:
        return git.resolve(revision)
    except NotFound:
        if "/" in revision or any(mark in revision for mark in "*?["):
            raise
        pattern = f"refs/exps/*/*/{revision}"
        found = git.run("for-each-ref", "--sort=-committerdate", "--format=%(objectname)", pattern).split()
        if not found:
            raise
        return found[0]


def is_describing(name: str) -> bool:
    """Say whether a file is one that describes pipelines, or may hold their values."""
    return name.endswith(DESCRIBING)


def list_describing(git: Git, commit: str) -> dict[str, str]:
    """Return the blobs of a commit's small files that describe pipelines, by path relative to git's directory."""
    found = {}
    for raw in git.run_bytes("ls-tree", "-r", "-l", "-z", commit, ".").split(b"\0"):
        head, _, name = raw.partition(b"\t")
        words = head.split()
        is_meant = is_describing(os.fsdecode(name)) and words[0].startswith(b"100")
        if is_meant and int(words[3]) <= MAX_BYTES:
            found[os.fsdecode(name)] = words[2].decode()
    return found
