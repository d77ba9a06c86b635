"""Other repositories as sources of data: a directory as it stands, or any commit of a git repository.

A commit is read from a temporary clone that shares the source's objects; repositories behind a URL are
kept as bare clones below `~/.cache/penstock/clones` and only fetched from again. Nothing is ever written
into the source.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from penstock.base.errors import Invalid, NotFound, PenstockError, Unavailable
from penstock.base.git import Git
from penstock.data.cache.legacy_transfer import legacy_key
from penstock.data.cache.transfer import remote_key
from penstock.data.configuration.config import load_config
from penstock.data.formats.output import HashInfo, Output
from penstock.data.formats.tree import parse_tree, tree_md5
from penstock.data.pointers.pointer import list_pointers
from penstock.data.repository import DataRepository
from penstock.flows.sources.overrides import NO_OVERRIDES, Overrides
from penstock.pipeline.outputs import list_outputs
from penstock.storage.resolve import shown_url

_LFS = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True)
class Source:
    """An opened source: `repo` stands on its files, `commit` is None for a working directory.

    `url` is what messages call it, without credentials. Paths count from `prefix`, a directory below the root.
    `origin` is the local repository whose cache and settings count, `nested` what was opened inside of it.
    """

    url: str
    repo: DataRepository
    commit: str | None
    prefix: str = ""
    origin: Path | None = None
    nested: list[DataRepository] = field(default_factory=list)

    def outputs(self) -> list[Output]:
        """Return what the source tracks outside of git, pointers' and pipelines' outputs together."""
        tracked = [out for pointer in list_pointers(self.repo) for out in pointer.outputs]
        return [out for out in (*tracked, *list_outputs(self.repo)) if out.cached]

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
            data = remote.get(object_key(info))
        finally:
            remote.close()
        if tree_md5(data) != info.md5:
            raise Unavailable(f"{self.url} has a damaged directory {info.md5}", code="data.object_corrupt")
        return parse_tree(data, info.md5)

    def enter(self, path: str) -> tuple[Source, str]:
        """Return the innermost repository around a path, and the path as it is called there."""
        place = source_path(self, path)
        inner = next(
            (
                at
                for at in (place, *place.parents)
                if at != self.repo.root
                and at.is_relative_to(self.repo.root)
                and (at / ".dvc" / "config").is_file()
                and at.resolve().is_relative_to(self.repo.root.resolve())
            ),
            None,
        )
        if inner is None:
            return self, path
        origin = self.origin / inner.relative_to(self.repo.root) if self.origin is not None else None
        opened = self.repo.open(inner) if self.commit is None else _open_tree(inner, origin)
        self.nested.append(opened)
        relative = place.relative_to(inner).as_posix()
        return replace(self, repo=opened, prefix="", origin=origin), "" if relative == "." else relative


def object_key(info: HashInfo) -> str:
    """Return where a remote keeps an object, in the layout of DVC 3 or of DVC 2."""
    return remote_key(info.md5) if info.algorithm == "md5" else legacy_key(info.md5)


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

    Without `rev`, a local repository is read as it stands unless `committed` asks for its HEAD. A directory inside
    of a local repository means that repository and the directory in it. `overrides` goes over its configuration.

    Raises:
        NotFound: there is no repository or no such revision.
        Invalid: `committed` is asked for a directory inside a repository.
        Unavailable: it cannot be cloned.
    """
    at_commit = committed or rev is not None
    local, prefix = _repository_around(_local_path(url, base), with_git=at_commit)
    if prefix and committed:
        raise Invalid(
            f"{url} is a directory of the repository {local}",
            code="data.bad_source",
            hint=f"name the repository, and the path in it from its root: {prefix}/…",
        )
    if local is not None and not at_commit and (local / ".dvc").is_dir():
        repo = DataRepository.open(local)
        source = Source(
            shown_url(url), replace(repo, config=overrides.over(repo.config, base)), None, prefix, local
        )
        with closing(repo), _nested(source):
            yield source
        return
    origin = local or _update_clone(url)
    with tempfile.TemporaryDirectory(prefix="penstock-source-") as folder:
        tree = Path(folder) / "tree"
        commit = _clone_commit(origin, rev, tree, url)
        opened = _open_tree(tree, local)
        source = Source(
            shown_url(url), replace(opened, config=overrides.over(opened.config, base)), commit, prefix, local
        )
        with closing(opened), _nested(source):
            yield source


@contextmanager
def _nested(source: Source) -> Iterator[None]:
    try:
        yield
    finally:
        for repo in source.nested:
            repo.close()


def _repository_around(local: Path | None, *, with_git: bool) -> tuple[Path | None, str]:
    """Return the repository that a local directory is or is inside of, and where in it; `with_git` wants git's."""
    if local is None:
        return None, ""
    for at in (local, *local.parents):
        if (at / ".git").exists() or (not with_git and (at / ".dvc").is_dir()):
            return at, "" if at == local else local.relative_to(at).as_posix()
    return local, ""  # a bare repository, or none


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
    home.chmod(0o700)  # git keeps the address there, with a password that is in it
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
            f"{shown_url(url)} cannot be cloned: {error.message.replace(url, shown_url(url))}",
            code="data.no_source",
            hint="check the address and your access with git ls-remote",
            url=shown_url(url),
        ) from None
    return clone


def _clone_commit(origin: Path, rev: str | None, tree: Path, url: str) -> str:
    url = shown_url(url)
    try:
        commit = Git(origin).resolve(rev or "HEAD")
    except NotFound:
        if not (origin / ".git").exists() and not (origin / "HEAD").is_file():
            kind = "git: it has no revisions" if (origin / ".dvc").is_dir() else "git, DVC or penstock"
            raise NotFound(
                f"{url} is no repository of {kind}",
                code="data.no_source",
                hint="check the path",
            ) from None
        raise NotFound(
            f"{url} has no revision {rev or 'HEAD'!r}",
            code="git.no_revision",
            hint=f"git ls-remote {shlex.quote(url)}",
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


def _refuse_lfs_pointer(path: Path, name: str) -> None:
    """Refuse a file that git-lfs keeps elsewhere: what git holds is three lines that say where.

    Source: git-lfs, docs/spec.md.
    """
    with path.open("rb") as file:
        if not file.read(len(_LFS)).startswith(_LFS):
            return
    raise Invalid(
        f"git-lfs keeps {name}: the repository holds only a pointer to it",
        code="data.git_lfs",
        hint="clone the repository, run git lfs pull there, then penstock get-url or add that copy",
        path=name,
    )


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
    _refuse_lfs_pointer(resolved, source.relative_to(root).as_posix())
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
    found = Path(os.path.normpath(source.repo.root / source.prefix / path))
    if not found.is_relative_to(source.repo.root):
        raise Invalid(f"{path} is outside the repository {source.url}", code="data.outside", path=path)
    return found


def not_in_source(source: Source, path: str) -> PenstockError:
    """Make the error for a path the source does not have."""
    at = f" at {source.commit[:12]}" if source.commit else ""
    return NotFound(
        f"{path} is not in {source.url}{at}",
        code="data.path_missing",
        hint=f"penstock list {shlex.quote(source.url)}",
        path=path,
    )
