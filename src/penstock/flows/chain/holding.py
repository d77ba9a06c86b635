"""What a path holds and held, as the working tree, the disk and git's history say: its contents, and what is told of the path."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from penstock.base.clock import format_ms
from penstock.base.errors import NotFound, PenstockError
from penstock.data.cache.hashing import hash_path
from penstock.data.formats.output import Output
from penstock.data.repository import DataRepository
from penstock.data.verbs.status import legacy_matches
from penstock.flows.chain.links import Link, unknown
from penstock.flows.chain.tree import Tree
from penstock.flows.tracked.selection import Chosen
from penstock.flows.tracked.timeline import Change, History
from penstock.storage.resolve import without_password


@dataclass(frozen=True)
class Held:
    """One content of a path, by its md5; `when` says in words how long it was there."""

    md5: str
    when: str
    state: Literal["now", "on disk", "earlier"]


def held_contents(tree: Tree, path: str) -> list[Held]:
    """Return what a path holds, what is on disk in its place, and what commits gave it before, the newest first; each once."""
    found: dict[str, Held] = {}
    changes, now = tree.changes.get(path, ()), tree.md5_now(path)
    newest = changes[0] if changes else None
    if now is not None:
        found[now] = Held(now, _since(tree.now[path].output, newest, tree.history), "now")
    other = _disk_md5(tree, path)
    if other is not None:
        found.setdefault(other, Held(other, f"on disk, {_how_to_take(tree.now[path])}", "on disk"))
    for place, one in enumerate(changes):
        if one.info is not None:
            ended = changes[place - 1].commit.id[:10] if place else ""
            when = f"until commit {ended}" if ended else f"as committed in {one.commit.id[:10]}"
            found.setdefault(one.info.md5, Held(one.info.md5, when, "earlier"))
    return list(found.values())


def _since(output: Output, newest: Change | None, history: History) -> str:
    """Say since when a path holds what its pointer or lock says; of what git holds itself no commit's pointer speaks."""
    if not output.cached:
        return "now"
    if newest is None and history.cut:
        return f"now, since when is unknown: {history.cut}"
    if newest is None or not (output.hash and output.hash.same_content(newest.info)):
        return "now, not committed"
    since = f"now, since commit {newest.commit.id[:10]} of {format_ms(newest.commit.time_ms)}"
    return (
        f"{since} or before, which is unknown: {history.cut}" if newest.commit.id in history.cut_at else since
    )


def path_links(tree: Tree, path: str, contents: Sequence[str], subject: str) -> list[Link]:
    """Return what there is to say of a path itself: that it is gone, differs from the disk, is elsewhere too, was imported.

    Args:
        contents: its md5s, the newest first.
        subject: what was asked for, which may lie inside of it.
    """
    links = []
    if subject not in {path, f"{path}.dvc"}:
        links.append(_said(path, f"{subject} is told of as a part of {path}, which is tracked as a whole"))
    if path in tree.now:
        links += _present_links(tree, path)
    else:
        links += _gone_links(tree, path)
    links += _elsewhere(tree, path, contents[0]) if contents else []
    return links


def _present_links(tree: Tree, path: str) -> Iterator[Link]:
    chosen = tree.now[path]
    if chosen.output.hash is None:
        yield _said(path, f"{chosen.output.source} records no content of {path} yet")
    elif tree.repo is not None:
        try:
            hash_path(tree.repo, chosen.output.path)
        except NotFound:
            yield _said(path, f"{path} is not on disk; next: penstock checkout {shlex.quote(path)}")
        except PenstockError as error:
            yield unknown(f"what is on disk: {error.message}")
    yield from _source_links(chosen)


def _gone_links(tree: Tree, path: str) -> Iterator[Link]:
    changes = tree.changes.get(path, ())
    if tree.problem:
        yield unknown(f"what {path} holds now: {tree.problem}")
        return
    if not changes and tree.history.cut:
        yield unknown(f"whether {path}, which is not tracked here, was tracked before: {tree.history.cut}")
    elif not changes:
        yield _said(path, f"{path} is not tracked here, and no commit that led to HEAD tracked it")
    elif changes[0].info is None:
        gone = changes[0].commit
        yield _said(
            path, f"{path} is tracked no more since commit {gone.id[:10]} of {format_ms(gone.time_ms)}"
        )
    else:
        yield _said(path, f"{path} is tracked no more in the working tree, which is not committed")
    if changes and tree.repo is not None and os.path.lexists(tree.repo.root / path):
        yield _said(path, f"what is at {path} on disk is not tracked; next: penstock add {shlex.quote(path)}")


def _elsewhere(tree: Tree, path: str, md5: str) -> Iterator[Link]:
    """Yield the other paths that have the content which a path has or had last."""
    is_here = path in tree.now
    for other in tree.paths_now(md5):
        if other != path:
            said = f"{other} holds the same content" if is_here else f"the same content is at {other} now"
            yield Link(kind="path", key=other, text=said, details={"path": other, "digest": f"md5:{md5}"})
    for other in tree.paths_then(md5) if is_here else ():
        if other != path and tree.md5_now(other) != md5:
            when = next(one.when for one in held_contents(tree, other) if one.md5 == md5)
            said = f"the same content was at {other} {when}"
            yield Link(kind="path", key=other, text=said, details={"path": other, "digest": f"md5:{md5}"})


def _source_links(chosen: Chosen) -> Iterator[Link]:
    """Yield from where an import comes."""
    for entry in chosen.pointer.dependencies if chosen.pointer is not None else ():
        origin = entry.get("repo")
        if origin is None:
            url = without_password(str(entry.get("path", "")))
            yield Link(
                kind="source", key=url, text=f"imported from {url}" if url else "imported from a database"
            )
            continue
        url, locked = without_password(str(origin.get("url", ""))), origin.get("rev_lock")
        rev = f"{origin['rev']}, " if origin.get("rev") else "its default branch, "
        commit = f"commit {str(locked)[:10]}" if locked else "at which commit is not recorded"
        text = f"imported from {entry.get('path')} of {url}, {rev}{commit}"
        details = {"url": url, "path": entry.get("path"), "rev": origin.get("rev"), "rev_lock": locked}
        yield Link(kind="source", key=url, text=text, details=details)


def _disk_md5(tree: Tree, path: str) -> str | None:
    """Return what is on disk where that is another content than the one that is recorded."""
    output = tree.now[path].output if path in tree.now else None
    if tree.repo is None or output is None or output.hash is None:
        return None
    try:
        found = hash_path(tree.repo, output.path).md5
    except PenstockError:
        return None
    return None if found == output.hash.md5 or _is_legacy(tree.repo, output) else found


def _is_legacy(repo: DataRepository, output: Output) -> bool:
    return (
        output.hash is not None and output.hash.algorithm == "md5-dos2unix" and legacy_matches(repo, output)
    )


def _how_to_take(chosen: Chosen) -> str:
    source, pointer = chosen.output.source, chosen.pointer
    if pointer is None:
        return f"which {source} did not record; next: penstock repro"
    if pointer.dependencies:
        return f"which {source} does not record; next: penstock commit {shlex.quote(source)}"
    return f"not added; next: penstock add {shlex.quote(source.removesuffix('.dvc'))}"


def _said(path: str, sentence: str) -> Link:
    return Link(kind="path", key=path, text=sentence, details={"path": path})
