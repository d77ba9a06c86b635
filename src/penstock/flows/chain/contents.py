"""The chain of data: what a path holds now and what it held, who made each content and who used it; a content by its digest.

What the path holds is the word of the pointer or lock in the working tree; that the disk differs from it is told, and that the
path is gone. A content has its name from its bytes: so it is known again under another path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from penstock.base.clock import format_ms
from penstock.base.errors import NotFound
from penstock.base.numbers import counted
from penstock.flows.chain.holding import held_contents, path_links
from penstock.flows.chain.links import Explanation, Link, make_explanation, unknown
from penstock.flows.chain.origins import run_links
from penstock.flows.chain.outcomes import Outcomes
from penstock.flows.chain.reached import reached_links
from penstock.flows.chain.tree import Tree
from penstock.pipeline.lockfile import LockEntry
from penstock.pipeline.stage import Stage
from penstock.registry import versions as registry
from penstock.registry.entities import ModelVersion
from penstock.tracking.entities import RAN
from penstock.tracking.uses import Making, Use, list_digests, list_makings, list_uses

MD5 = "md5:"
NAMED = 3
"""So many runs are named in a sentence; the details have all."""
OLDER = 50
"""So many contents that nobody used are told of."""
_DIGEST = re.compile(r"(?:md5:)?([0-9a-f]{4,32}(?:\.dir)?)")


def explain_data(
    tree: Tree, connection: sa.Connection, subject: str, most: int | None = None
) -> Explanation | None:
    """Explain a path that is or was tracked or made by a stage, or one inside such a directory; None where nobody knows it."""
    named = Path(subject).as_posix()
    if named.endswith(".dvc") and named not in tree.now:
        named = named.removesuffix(".dvc")
    for path in (named, *(parent.as_posix() for parent in Path(named).parents)):
        found = _Data(tree, connection, path, most).explain(subject)
        if found is not None:
            return found
    return None


def explain_content(
    tree: Tree, connection: sa.Connection, subject: str, most: int | None = None
) -> Explanation | None:
    """Explain a content by its md5 or the beginning of it: the paths that hold or held it, and who made and used it there.

    Raises:
        NotFound: several begin so.
    """
    match = _DIGEST.fullmatch(subject)
    if match is None:
        return None
    stored = [
        pair
        for begin in (match[1], f"{MD5}{match[1]}")
        for pair in (*list_digests(connection, begin), *registry.list_input_digests(connection, begin))
    ]
    found: dict[str, dict[str, None]] = {}
    for path, md5 in (*tree.known_contents(), *((path, digest.removeprefix(MD5)) for path, digest in stored)):
        if md5.startswith(match[1]):
            found.setdefault(md5, {})[path] = None
    if match[1] in found:
        found = {match[1]: found[match[1]]}
    if len(found) > 1:
        raise NotFound(
            f"{counted(len(found), 'content')} begin with {subject!r}",
            code="chain.ambiguous_digest",
            hint=f"write more of it: {', '.join(sorted(found)[:NAMED])}",
            subject=subject,
        )
    for md5, paths in found.items():
        parts = [_Data(tree, connection, path, most).told_of(md5) for path in paths]
        links = [link for part in parts for link in part.links]
        seen = {(link.kind, link.key, link.text): link for link in links}
        versions = [version for part in parts for version in part.versions]
        commit = next((one.commit for one in parts if one.commit is not None), None)
        return make_explanation(
            subject,
            "content",
            list(seen.values()),
            versions[0] if versions else None,
            None if versions else commit,
        )
    return None


@dataclass(frozen=True)
class _Part:
    """What is told of one content of a path: its links, the versions that came of it, and the last commit that has it there."""

    links: list[Link]
    versions: list[ModelVersion]
    commit: str | None


class _Data:
    """One path, as the working tree, git's history and the store know it."""

    def __init__(self, tree: Tree, connection: sa.Connection, path: str, most: int | None) -> None:
        self._tree, self._connection, self._path, self._most = tree, connection, path, most
        self._held = held_contents(tree, path)
        known = [
            digest for one in self._held if one.state != "earlier" for digest in (one.md5, f"{MD5}{one.md5}")
        ]
        self._uses = list_uses(connection, path, known)
        versions = registry.list_versions_of_input(connection, path, most)
        versions += registry.list_versions_of_content(connection, known, most) if known else []
        self._versions = list({one.ref: one for one in versions}.values())

    def explain(self, subject: str) -> Explanation | None:
        """Explain what the path holds first, then what it held."""
        path, tree = self._path, self._tree
        if path not in tree.now and path not in tree.changes and not self._uses and not self._versions:
            return None
        links = path_links(tree, path, [one.md5 for one in self._held] or [*self._digests()], subject)
        told = [(one.md5, one.when, one.state) for one in self._held]
        told += [
            (md5, "", "earlier") for md5 in self._digests() if md5 not in {one.md5 for one in self._held}
        ]
        used = set(self._digests())
        kept = [one for place, one in enumerate(told) if place < (self._most or OLDER) or one[0] in used]
        parts = [self._told(*one) for one in kept]
        for part in parts:
            links += part.links
        if len(kept) < len(told):
            links.append(
                unknown(
                    f"{counted(len(told) - len(kept), 'older content')} that nobody used: git log has them"
                )
            )
        first = parts[0] if parts else _Part([], [], None)
        version = first.versions[0] if first.versions else None
        kind = "output" if tree.stage_of(path) is not None else "data"
        return make_explanation(subject, kind, links, version, None if version else first.commit)

    def told_of(self, md5: str) -> _Part:
        """Return what is told of one content of the path, and nothing of others."""
        found = next((one for one in self._held if one.md5 == md5), None)
        return self._told(md5, found.when if found else "", found.state if found else "earlier")

    def _digests(self) -> Iterable[str]:
        """Return what the store says that the path held, as last used first."""
        found = [one.digest for one in self._uses if one.path == self._path]
        found += [
            one.provenance.data[self._path] for one in self._versions if self._path in one.provenance.data
        ]
        return dict.fromkeys(one.removeprefix(MD5) for one in found)

    def _told(self, md5: str, when: str, state: str) -> _Part:
        path, tree = self._path, self._tree
        stage, change = tree.stage_of(path), tree.last_of(path, md5)
        entry = tree.entry_of(stage) if stage is not None and state == "now" else None
        if entry is None and change is not None and state == "earlier":
            entry = tree.entry_at(change)
        uses = [one for one in self._uses if one.digest.removeprefix(MD5) == md5]
        makings = (
            list_makings(self._connection, [entry.digest]).get(entry.digest, []) if entry is not None else []
        )
        words = [when, _made(makings)] if entry is not None else [when]
        if uses or entry is None:
            words.append(_used(uses, path))
        runs = list(dict.fromkeys([*(one.run_id for one in uses), *(one.run_id for one in makings)]))
        details: dict[str, Any] = {"path": path, "state": state, "runs": runs}
        if change is not None:
            details["commit"] = change.commit.id
        digest = md5 if ":" in md5 else f"{MD5}{md5}"
        text = ", ".join(filter(None, (f"{path} {digest[:16]}", *words)))
        links = [Link(kind="data", key=digest, text=text, details=details)]
        if stage is not None and state == "now":
            links += _stage_links(tree, stage, entry)
        maker = next((one for one in makings if one.action == RAN), None)
        if maker is not None:
            links += run_links(self._connection, maker.run_id)[:1]
        versions = self._came_of(md5, makings, stage)
        outcomes = Outcomes(self._connection, versions)
        for version in versions:
            links += reached_links(outcomes, version)
        return _Part(links, versions, change.commit.id if change is not None else None)

    def _came_of(self, md5: str, makings: Sequence[Making], stage: Stage | None) -> list[ModelVersion]:
        found = [
            one
            for one in self._versions
            if md5 in {digest.removeprefix(MD5) for digest in one.provenance.data.values()}
        ]
        if stage is not None:
            found += registry.list_versions_of_output(self._connection, self._path, f"{MD5}{md5}")
            made = registry.list_versions_of_runs(
                self._connection, [one.run_id for one in makings], self._most
            )
            found += [one for one in reversed(made) if self._tree.leads_to(stage, one.path)]
        return list({one.ref: one for one in found}.values())


def _stage_links(tree: Tree, stage: Stage, entry: LockEntry | None) -> Iterator[Link]:
    """Yield the stage that makes a path, with what it was made from as the lock says."""
    commands = "; ".join(stage.commands)
    yield Link(
        kind="stage",
        key=stage.address,
        text=f"makes it: {commands}",
        details={"commands": list(stage.commands)},
    )
    if entry is None:
        yield unknown(f"what stage {stage.address} made it from: dvc.lock says nothing of it")
        return
    params = {key: value for values in entry.parameters.values() for key, value in values.items()}
    if params:
        text = ", ".join(f"{key}={value}" for key, value in params.items())
        yield Link(kind="parameters", key="", text=text, details=params)
    for read in entry.dependencies:
        digest, place = f"{MD5}{read.hash.md5}", stage.place(read.path)
        details = {"path": place, "is_tracked": tree.knows(place)}
        yield Link(kind="dependency", key=digest, text=f"{place} {digest[:16]}", details=details)


def _made(makings: Sequence[Making]) -> str:
    made = [one for one in makings if one.action == RAN]
    found = len({one.run_id for one in makings}) - len({one.run_id for one in made})
    words = (
        f"made by run {_named([(one.run_id, one.deleted_ms, '') for one in made])}"
        if made
        else "no recorded run made it"
    )
    return words + (f", found made by {counted(found, 'run')}" if found else "")


def _used(uses: Sequence[Use], path: str) -> str:
    if not uses:
        return "no run used it"
    runs = [(one.run_id, one.deleted_ms, one.path if one.path != path else "") for one in uses]
    return f"used by {counted(len({one.run_id for one in uses}), 'run')} ({_named(runs)})"


def _named(runs: Sequence[tuple[str, int | None, str]]) -> str:
    told = {
        run_id: run_id[:8]
        + (f" as {path}" if path else "")
        + (f", deleted {format_ms(deleted_ms)}" if deleted_ms is not None else "")
        for run_id, deleted_ms, path in reversed(runs)
    }
    names = list(told.values())[::-1]
    more = len(names) - NAMED
    return "; ".join(names[:NAMED]) + (f" and {counted(more, 'more')}" if more > 0 else "")
