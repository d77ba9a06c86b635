"""Bring a tree's tracked data and pipeline outputs into place: from the cache, the remotes, imports from their sources."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from penstock.base.errors import NotFound, PenstockError
from penstock.data.cache.presence import has
from penstock.data.formats.output import HashInfo
from penstock.data.pointers.pointer import Pointer
from penstock.data.repository import DataRepository
from penstock.flows.sources.fetching import fetch_content, is_noted, local_source
from penstock.flows.tracked.remotes.transferring import DEFAULTS, fetch_chosen
from penstock.flows.tracked.versioning import Chosen, checkout, select
from penstock.pipeline.definition import load_all_stages
from penstock.project.project import Project
from penstock.storage.resolve import without_password

SHOWN = 8


@dataclass(frozen=True)
class Brought:
    """How many tracked paths are in place, how many objects came from elsewhere, what could not be had.

    `absent` says of what stages made, and can make again, where it is not; `lost` why the rest is not here; `passed_over`
    which imports of URLs, never downloaded, are not here either, as nobody needs them; `undetermined` what came without a
    commit, or a note of its source, that says which content is meant.
    """

    output_count: int
    fetched_count: int
    absent: Mapping[str, str]
    lost: tuple[PenstockError, ...] = ()
    undetermined: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()


def bring_outputs(tree: Project, remotes: DataRepository) -> Brought:
    """Check out every tracked path of `tree`, fetching what the cache lacks; nothing is lost in what is returned.

    An import of a URL that was never downloaded, and cannot be had, is passed over where no stage reads it.

    Args:
        tree: the project whose working tree is filled.
        remotes: the repository whose configuration names the remotes; relative URLs are relative to it.

    Raises:
        NotFound: data that a pointer names is neither in the cache nor where it should come from.
        Unavailable: a remote does not answer.
    """
    brought = _bring(tree, _Bringing(tree.data, remotes, passes_over=True))
    if not brought.lost:
        return brought
    first, *others = brought.lost
    if not others:
        raise first
    raise NotFound(
        "; ".join(one.message for one in brought.lost),
        code=first.code,
        hint="; ".join(one.hint for one in brought.lost if one.hint),
        paths=[path for one in brought.lost for path in paths_of(one)],
    )


def bring_what_there_is(tree: Project, remotes: DataRepository) -> Brought:
    """Do as `bring_outputs`, and go on where something cannot be had: each error in `lost` names its `paths`."""
    return _bring(tree, _Bringing(tree.data, remotes))


def _bring(tree: Project, bringing: _Bringing) -> Brought:
    """Bring imports last: their sources may be what else is tracked in the tree, or other imports."""
    chosen = [
        one for one in select(tree.data) if one.output.cached and (one.output.hash or one.comes_from_source)
    ]
    others = [one for one in chosen if not one.comes_from_source]
    bringing.fetch([one for one in others if not bringing.is_here(one)])
    placed_count = bringing.place(others)
    imports = [one for one in chosen if one.comes_from_source]
    while imports:
        ready = [one for one in imports if not bringing.is_made_of(one, imports)] or imports
        imports = [one for one in imports if one not in ready]
        placed_count += bringing.place([found for one in ready if (found := bringing.bring(one)) is not None])
    return Brought(
        placed_count,
        bringing.fetched_count,
        bringing.absent,
        tuple(bringing.lost),
        tuple(bringing.undetermined),
        tuple(bringing.passed_over),
    )


def paths_of(error: PenstockError) -> tuple[str, ...]:
    """Return the paths that an error is about."""
    paths = error.fields.get("paths")
    return tuple(map(str, paths)) if isinstance(paths, list) else ()


def listed(paths: Sequence[str]) -> str:
    """Name the first of some paths, with the verb that fits."""
    return (
        f"{', '.join(paths[:SHOWN])}{' …' if len(paths) > SHOWN else ''} {'is' if len(paths) == 1 else 'are'}"
    )


class _Bringing:
    """What was fetched so far and what could not be."""

    def __init__(self, repo: DataRepository, remotes: DataRepository, *, passes_over: bool = False) -> None:
        self.repo, self.remotes, self.passes_over = repo, remotes, passes_over
        self.fetched_count = 0
        self.absent: dict[str, str] = {}
        self.lost: list[PenstockError] = []
        self.undetermined: list[str] = []
        self.passed_over: list[str] = []

    def is_here(self, one: Chosen) -> bool:
        return one.output.hash is not None and has(self.repo, one.output.hash)

    def place(self, chosen: Sequence[Chosen]) -> int:
        """Check out what is in the cache; return how many that are."""
        present = [one for one in chosen if self.is_here(one)]
        if present:
            checkout(self.repo, present)
        return len(present)

    def is_made_of(self, one: Chosen, others: Sequence[Chosen]) -> bool:
        """Whether the source of an import lies in this tree, in or around what others are about to bring."""
        place = None if one.pointer is None else self._source_here(one.pointer)
        return place is not None and any(
            other is not one and _overlap(place, other.output.path) for other in others
        )

    def bring(self, one: Chosen) -> Chosen | None:
        """Fetch an import from its source unless it is here; return it with what came."""
        if self.is_here(one) or one.pointer is None:
            return one
        path = self.repo.relative(one.output.path)
        try:
            found = self._fetch_content(one.pointer)
        except PenstockError as error:
            if self.passes_over and one.output.hash is None and self._is_spare(one.pointer, one.output.path):
                self.passed_over.append(f"{path} is absent, and no stage reads it: {error.message}")
            else:
                self._lose(error, [path])
            return None
        self.fetched_count += 1
        lacking, source = _undetermined(one.pointer)
        if lacking:
            self.undetermined.append(
                f"{one.output.source} does not record {lacking}: {path} is what {source} has now"
            )
        if one.output.hash is not None and not self.is_here(one):
            self._lose(
                NotFound(
                    f"{path} is not in the cache, and its source has another content at the locked commit now",
                    code="data.source_changed",
                    hint=f"penstock update {shlex.quote(path)}, where it was imported",
                ),
                [path],
            )
            return None
        return replace(one, output=replace(one.output, hash=found))

    def _is_spare(self, pointer: Pointer, place: Path) -> bool:
        """Whether this is an import of a URL that no stage reads."""
        if "repo" in pointer.dependencies[0]:
            return False
        reads = [path for stage in load_all_stages(self.repo) for path in stage.reads]
        return not any(_overlap(self.repo.root / path, place) for path in reads)

    def _fetch_content(self, pointer: Pointer) -> HashInfo:
        """Fetch what an import names: from this tree where its source lies in it, else as the remotes' repository sees it."""
        place = self._source_here(pointer)
        if place is None:
            return fetch_content(self.remotes, replace(pointer, path=self._place_of(pointer.path)))
        dependency = pointer.dependencies[0]
        if Path(str(dependency["path"])).is_absolute():
            pointer = replace(pointer, dependencies=({**dependency, "path": str(place)},))
        return fetch_content(self.repo, pointer)

    def _source_here(self, pointer: Pointer) -> Path | None:
        """Return where in this tree the source of an import lies that is in the git repository of both."""
        if "repo" in pointer.dependencies[0]:
            return None
        place = local_source(replace(pointer, path=self._place_of(pointer.path)))
        theirs = self.remotes.git_root() or self.remotes.root
        if place is None or not place.is_relative_to(theirs):
            return None
        return (self.repo.git_root() or self.repo.root) / place.relative_to(theirs)

    def fetch(self, absent: Sequence[Chosen]) -> None:
        """Fetch from the remote of each; what stages made may be nowhere."""
        by_remote: dict[str | None, list[Chosen]] = {}
        for one in absent:
            by_remote.setdefault(one.output.remote, []).append(one)
        for name, parts in by_remote.items():
            problem, reasons = self._fetch(name, parts)
            rest = [one for one in parts if not self.is_here(one)]
            can_be_made = isinstance(problem, NotFound | None)
            made = [one for one in rest if can_be_made and one.pointer is None]
            lost = [one for one in rest if not can_be_made or one.pointer is not None]
            paths = self._paths(lost)
            if lost and problem is not None and not isinstance(problem, NotFound):
                self._lose(problem, paths)
                continue
            where = _where(problem, self._place(name)) if rest else ""
            self.absent |= dict.fromkeys(self._paths(made), where)
            if lost:
                damage = next((reasons[md5] for md5 in _names(lost) if md5 in reasons), "")
                self._lose(_not_found(paths, f"{where}: {damage}" if damage else where), paths)

    def _fetch(
        self, name: str | None, parts: Sequence[Chosen]
    ) -> tuple[PenstockError | None, Mapping[str, str]]:
        """Return why nothing could be fetched, if so, and what is wrong with single objects that are on the remote."""
        moved = [
            replace(one, output=replace(one.output, path=self._place_of(one.output.path)), pointer=None)
            for one in parts
        ]
        try:
            report = fetch_chosen(self.remotes, moved, DEFAULTS, None)
        except PenstockError as error:
            return error, {}
        self.fetched_count += report.done
        return None, {md5: why for md5, why in report.failed.items() if md5 not in report.missing}

    def _place(self, name: str | None) -> tuple[str, bool]:
        """Return how a remote is called, and whether it is there."""
        try:
            name = self.remotes.remote_name(name)
            with closing(self.remotes.remote(name)) as backend:
                return f"{name!r} ({backend.url})", backend.has_place()
        except PenstockError:
            return repr(name), True

    def _lose(self, error: PenstockError, paths: list[str]) -> None:
        error.fields |= {"path": paths[0], "paths": paths}
        self.lost.append(error)

    def _paths(self, chosen: Iterable[Chosen]) -> list[str]:
        return [self.repo.relative(one.output.path) for one in chosen]

    def _place_of(self, path: Path) -> Path:
        return self.remotes.root / self.repo.relative(path)


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def _where(problem: PenstockError | None, place: tuple[str, bool]) -> str:
    """Say where content is not."""
    called, is_there = place
    if problem is not None:
        return f"neither in the cache nor on the remote: {problem.message}"
    if not is_there:
        return f"not in the cache, and the remote {called} does not exist"
    return f"neither in the cache nor on the remote {called}"


def _not_found(paths: list[str], where: str) -> NotFound:
    return NotFound(
        f"{listed(paths)} {where}",
        code="data.object_missing",
        hint=f"penstock push {shlex.join(paths)}, where {'it was' if len(paths) == 1 else 'they were'} added",
    )


def _names(chosen: Iterable[Chosen]) -> list[str]:
    return [one.output.hash.md5 for one in chosen if one.output.hash is not None]


def _undetermined(pointer: Pointer) -> tuple[str, str]:
    """Return what an import's pointer lacks that would say which content is meant, if so, and the import's source."""
    dependency = pointer.dependencies[0]
    origin = dependency.get("repo")
    if origin is None:
        return "" if is_noted(pointer) else "what its source held", without_password(str(dependency["path"]))
    source = f"{origin.get('rev') or 'the default branch'} of {without_password(str(origin['url']))}"
    return "" if origin.get("rev_lock") else "a commit", source
