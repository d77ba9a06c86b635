"""Parameters and metrics of two states of a repository, in the shapes of `dvc params diff` and `metrics diff`.

Source: dvc/utils/diff.py (3.67).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.base.git import Git
from penstock.data.repository import DataRepository
from penstock.flows.pipelines.measures import Reading, read_metrics
from penstock.flows.pipelines.snapshot import Snapshot, at_revision
from penstock.flows.tracked.history import Scope, list_commits
from penstock.pipeline.parameters import is_same

Changes = dict[str, dict[str, dict[str, Any]]]
Read = Callable[[Snapshot], dict[str, Reading]]
WORKSPACE = "workspace"


@dataclass(frozen=True)
class Comparison:
    """What differs by file and key, and the files of either side that could not be read, by revision."""

    changes: Changes
    unread: dict[str, list[str]]


def compare(
    repo: DataRepository, old: str, new: str, read: Read, *, with_unchanged: bool = False
) -> Comparison:
    """Compare what `read` finds at two revisions; `workspace` is one too. Before the first commit nothing differs.

    Raises:
        NotFound: there is no such revision.
    """
    if Git(repo.root).head() is None:
        return Comparison({}, {})
    sides = []
    for revision in (old, new):
        with at_revision(repo, None if revision == WORKSPACE else revision) as snapshot:
            sides.append(read(snapshot))
    changes = {}
    for file in dict.fromkeys([*sides[0], *sides[1]]):
        before, after = (side.get(file, Reading({})) for side in sides)
        found = _differences(_shown(before), _shown(after), with_unchanged=with_unchanged)
        if found:
            changes[file] = found
    unread = {
        revision: [file for file, reading in side.items() if reading.error]
        for revision, side in zip((old, new), sides, strict=True)
    }
    return Comparison(changes, {revision: files for revision, files in unread.items() if files})


def list_metrics(repo: DataRepository, scope: Scope, targets: list[str]) -> dict[str, dict[str, Reading]]:
    """Return the metrics by revision: the workspace's under an empty name, or first of what `scope` names.

    Where it says what the branch that is checked out says, the workspace is left out.
    """
    with at_revision(repo, None) as snapshot:
        here = read_metrics(snapshot, targets)
    if scope.is_empty:
        return {"": here}
    git = Git(repo.root)
    found = {WORKSPACE: here}
    for commit, name in _named(git, scope).items():
        with at_revision(repo, commit) as snapshot:
            found[name] = read_metrics(snapshot, targets)
    if found[WORKSPACE] == found.get(git.branch() or ""):
        del found[WORKSPACE]
    return found


def shown_from(repo: DataRepository, path: str, base: Path) -> str:
    """Return a path relative to the root as seen from a directory."""
    return os.path.relpath(repo.root / path, base)


def flat_values(reading: Reading) -> dict[str, Any]:
    """Return what a file holds by dotted key; one value alone is under an empty key."""
    shown = _shown(reading)
    return _flat(shown) if isinstance(shown, dict) else {"": shown}


def _named(git: Git, scope: Scope) -> dict[str, str]:
    """Return the commits in scope with the names that DVC gives them: branches and tags, else the id."""
    if scope.commits:
        return {commit: commit for commit in list_commits(git, scope)}
    names: dict[str, list[str]] = {}
    for wanted, refs in ((scope.branches, "refs/heads"), (scope.tags, "refs/tags")):
        listed = git.run("for-each-ref", "--format=%(refname:short)", refs).split() if wanted else []
        for name in listed:
            names.setdefault(git.resolve(name), []).append(name)
    return {commit: ",".join(dict.fromkeys(found)) for commit, found in names.items()}


def _shown(reading: Reading) -> Any:
    """Return what is compared: a text that is JSON counts as what it says, lists as text."""
    data = {} if reading.error else reading.data
    if isinstance(data, str):
        try:
            return json.loads(data)
        except ValueError:
            return data
    return (
        _without_lists(data) if isinstance(data, Mapping) else str(data) if isinstance(data, list) else data
    )


def _without_lists(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_lists(value)
        if isinstance(value, Mapping)
        else str(value)
        if isinstance(value, list)
        else value
        for key, value in values.items()
    }


def _differences(old: Any, new: Any, *, with_unchanged: bool) -> dict[str, dict[str, Any]]:
    if not isinstance(old, dict) and not isinstance(new, dict):
        old, new = {"": old}, {"": new}
    before, after = _flat(old), _flat(new)
    found = {}
    for key in sorted({*before, *after}, key=str):
        one, other = before.get(key), after.get(key)
        if is_same(one, other) and not with_unchanged:
            continue
        found[key] = {"old": one, "new": other}
        if isinstance(one, int | float) and isinstance(other, int | float):
            found[key]["diff"] = other - one
    return found


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by dotted key; what is empty, or no mapping, has none."""
    found: dict[str, Any] = {}
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        if isinstance(inner, Mapping):
            found.update(_flat(inner, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = inner
    return found
