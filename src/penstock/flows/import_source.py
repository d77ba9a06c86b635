"""Other repositories as sources of data: a directory as it stands, or any commit of a git repository.

A commit is read from a temporary clone that shares the source's objects; repositories behind a URL are
kept as bare clones below `~/.cache/penstock/clones` and only fetched from again. Nothing is ever written
into the source.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from penstock.base.errors import Invalid, NotFound, PenstockError, Unavailable
from penstock.base.git import Git
from penstock.data.config import load_config
from penstock.data.output import HashInfo, Output
from penstock.data.pointer import list_pointers
from penstock.data.repository import DataRepository
from penstock.data.transfer import remote_key
from penstock.data.tree import parse_tree, tree_md5
from penstock.flows.import_overrides import NO_OVERRIDES, Overrides
from penstock.pipeline.outputs import list_outputs


@dataclass(frozen=True)
class Source:
    """An opened source: `repo` stands on its files, `commit` is None for a working directory."""

    url: str
    repo: DataRepository
    commit: str | None

    def outputs(self) -> list[Output]:
        """Return what the source tracks, pointers' and pipelines' outputs together."""
        tracked = [out for pointer in list_pointers(self.repo) for out in pointer.outputs]
        return [*tracked, *list_outputs(self.repo)]

    def load_tree(self, info: HashInfo) -> dict[str, str]:
        """Return a directory's files from the source's cache, else from its remote.

        Raises:
            NotFound: it is in neither.
        """
        try:
            return self.repo.cache.load_tree(info)
        except NotFound:
            remote = self.repo.remote()
        try:
            data = remote.get(remote_key(info.md5))
        finally:
            remote.close()
        if tree_md5(data) != info.md5:
            raise Unavailable(f"{self.url} has a damaged directory {info.md5}", code="data.object_corrupt")
        return parse_tree(data, info.md5)


@contextmanager
def open_source(
    url: str,
    rev: str | None = None,
    *,
    base: Path,
    committed: bool = False,
    overrides: Overrides = NO_OVERRIDES,
) -> Iterator[Source]:
    """Open a source for the block; `base` is what a relative path counts from.

    Without `rev`, a local repository is read as it stands unless `committed` asks for its HEAD. `overrides` goes
    over its configuration.

    Raises:
        NotFound: there is no repository or no such revision.
        Unavailable: it cannot be cloned.
    """
    local = _local_path(url, base)
    if local is not None and rev is None and not committed and (local / ".dvc").is_dir():
        repo = DataRepository.open(local)
        try:
            yield Source(url, replace(repo, config=overrides.over(repo.config, base)), None)
        finally:
            repo.close()
        return
    origin = local or _update_clone(url)
    with tempfile.TemporaryDirectory(prefix="penstock-source-") as folder:
        tree = Path(folder) / "tree"
        commit = _clone_commit(origin, rev, tree, url)
        opened = _open_tree(tree, local)
        try:
            yield Source(url, replace(opened, config=overrides.over(opened.config, base)), commit)
        finally:
            opened.close()


def current_commit(url: str, rev: str | None, base: Path) -> str:
    """Return the commit a source's revision (HEAD by default) names now."""
    local = _local_path(url, base)
    return Git(local or _update_clone(url)).resolve(rev or "HEAD")


def list_tags(url: str, base: Path) -> list[tuple[str, int, str]]:
    """Return a source's annotated tags: name, when it was made (seconds since 1970) and commit."""
    form = "%(objecttype) %(*objecttype) %(taggerdate:unix) %(*objectname) %(refname:strip=2)"
    lines = Git(_local_path(url, base) or _update_clone(url)).run(
        "for-each-ref", f"--format={form}", "refs/tags"
    )
    found = []
    for line in lines.splitlines():
        if line.startswith("tag commit "):
            _, _, time_s, commit, name = line.split(" ", 4)
            found.append((name, int(time_s or 0), commit))
    return found


def _local_path(url: str, base: Path) -> Path | None:
    if url.startswith("file://"):
        url = url.removeprefix("file://")
    path = Path(os.path.normpath(base / Path(url).expanduser()))
    if path.is_dir():
        return path
    if "://" in url or (":" in url.partition("/")[0]):
        if url.startswith(("-", "ext::")):
            raise Invalid(f"{url!r} is not a repository's address", code="data.bad_source")
        return None
    raise NotFound(f"there is no repository at {url}", code="data.no_source", hint="check the path", url=url)


def _update_clone(url: str) -> Path:
    home = Path.home() / ".cache" / "penstock" / "clones"
    home.mkdir(parents=True, exist_ok=True)
    clone = home / hashlib.sha256(url.encode()).hexdigest()[:32]
    try:
        if (clone / "HEAD").exists():
            Git(clone).run("fetch", "--quiet", "--prune", "--tags", "origin", "+refs/heads/*:refs/heads/*")
        else:
            temporary = home / f".{os.getpid()}-{os.urandom(4).hex()}"
            Git(home).run("clone", "--quiet", "--bare", "--", url, str(temporary))
            temporary.rename(clone)
    except Invalid as error:
        raise Unavailable(
            f"{url} cannot be cloned: {error.message}",
            code="data.no_source",
            hint="check the address and your access with git ls-remote",
            url=url,
        ) from None
    return clone


def _clone_commit(origin: Path, rev: str | None, tree: Path, url: str) -> str:
    try:
        commit = Git(origin).resolve(rev or "HEAD")
    except NotFound:
        raise NotFound(
            f"{url} has no revision {rev or 'HEAD'!r}", code="git.no_revision", hint=f"git ls-remote {url}"
        ) from None
    Git(tree.parent).run("clone", "--quiet", "--shared", "--no-checkout", "--", str(origin), str(tree))
    Git(tree).run("-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", commit)
    return commit


def _open_tree(tree: Path, local: Path | None) -> DataRepository:
    """Open a clone with the origin's cache and configuration, since relative paths in it count from there."""
    (tree / ".dvc" / "tmp").mkdir(parents=True, exist_ok=True)
    repo = DataRepository.open(tree)
    if local is None or not (local / ".dvc").is_dir():
        return repo
    origin = DataRepository.open(local)
    return replace(repo, cache=origin.cache, config=load_config(local / ".dvc"))


def copy_checked(source: Path, root: Path, target: Path) -> None:
    """Copy one file of a source; a symbolic link that leads out of it is refused.

    Raises:
        Invalid: as said.
    """
    resolved = source.resolve()
    if not resolved.is_relative_to(root.resolve()):
        raise Invalid(
            f"{source.name} is a symbolic link out of the source repository", code="data.symlink", hint=None
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(resolved, target)
    if resolved.stat().st_mode & 0o100:
        target.chmod(target.stat().st_mode | 0o100)


def find_output(source: Source, path: Path) -> Output | None:
    """Return the tracked output that is at or around `path`, or None."""
    return next((out for out in source.outputs() if path.is_relative_to(out.path)), None)


def source_path(source: Source, path: str) -> Path:
    """Return the absolute place of a path inside the source.

    Raises:
        Invalid: it leads out of it.
    """
    found = Path(os.path.normpath(source.repo.root / path))
    if not found.is_relative_to(source.repo.root):
        raise Invalid(f"{path} is outside the repository {source.url}", code="data.outside", path=path)
    return found


def not_in_source(source: Source, path: str) -> PenstockError:
    """Make the error for a path the source does not have."""
    at = f" at {source.commit[:12]}" if source.commit else ""
    return NotFound(
        f"{path} is not in {source.url}{at}",
        code="data.path_missing",
        hint=f"penstock list {source.url}",
        path=path,
    )
