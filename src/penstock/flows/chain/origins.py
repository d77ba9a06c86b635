"""Where a version came from, as links of its chain: run, commit, data, and what of that is not known."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from penstock.base.clock import format_ms
from penstock.base.errors import NotFound
from penstock.registry.entities import ModelVersion
from penstock.registry.origins import by_reason, commit_words, is_of_commit, tree_of, unknowns
from penstock.tracking import runs as tracking

_TREE = {
    "clean": "clean",
    "changed": "with uncommitted changes kept as an artifact",
    "unknown": "whether the tree was clean is not known",
}


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One link of the chain: what it is, its key, and what there is to say of it.

    One of the kind `unknown` has no key: nothing is there.
    """

    kind: str
    key: str
    text: str
    details: dict[str, Any] = {}


def origin_links(connection: sa.Connection, version: ModelVersion) -> list[Link]:
    """Return what made a version, with what of it is not known."""
    origin, links = version.provenance, list[Link]()
    if origin.run_id is not None:
        try:
            links += run_links(connection, origin.run_id)
        except NotFound:  # a client may name a run of another server
            links.append(Link(kind="run", key=origin.run_id, text="not kept here"))
    if origin.commit is not None:
        details = {"patch": origin.dirty_digest, "made": is_of_commit(version)}
        links.append(Link(kind="commit", key=origin.commit, text=_commit(version), details=details))
    links += [
        Link(kind="data", key=digest, text=f"{path} {digest[:16]}", details={"path": path})
        for path, digest in origin.data.items()
    ]
    missing = unknowns(version)
    if tree_of(version) != "clean" and origin.commit is not None:
        missing.pop("clean tree", None)  # its commit tells it
    return [*links, *(unknown(sentence) for sentence in by_reason(missing))]


def unknown(sentence: str) -> Link:
    """Return a link that says what is not known."""
    return Link(kind="unknown", key="", text=sentence)


def run_links(connection: sa.Connection, run_id: str) -> list[Link]:
    """Return a run with its parameters.

    Raises:
        NotFound: it is not kept here.
    """
    run = tracking.get_run(connection, run_id)
    stages = ", ".join(f"{stage.name} {stage.action}" for stage in run.stages)
    params = ", ".join(f"{key}={value}" for key, value in run.params.items())
    links = [
        Link(
            kind="run",
            key=run.id,
            text=f"{format_ms(run.start_ms)}, {run.status.lower()}: {stages}",
            details={"metrics": run.metrics},
        )
    ]
    if params:
        links.append(
            Link(kind="parameters", key=run.lock_digest or "", text=params, details=dict(run.params))
        )
    return links


def _commit(version: ModelVersion) -> str:
    origin = version.provenance
    told = f"{commit_words(version)}{(origin.commit or '')[:10]}, {_TREE[tree_of(version)]}"
    if origin.stale:
        return f"{told}: dvc.lock was not in step with {', '.join(origin.stale)}"
    return told if is_of_commit(version) else f"{told}; no stage made it"
