"""Where a version or a run came from, as links of its chain: run, commit, data, and what of that is not known."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from penstock.base.clock import format_ms
from penstock.base.errors import NotFound
from penstock.base.git import Git
from penstock.flows.chain.kept import why_lacking
from penstock.flows.chain.links import Link, unknown
from penstock.registry.documents.origins import by_reason, commit_words, is_of_commit, tree_of, unknowns
from penstock.registry.entities import ModelVersion
from penstock.tracking import runs as tracking
from penstock.tracking.entities import Run

_TREE = {
    "clean": "clean",
    "changed": "with uncommitted changes kept as an artifact",
    "unknown": "whether the tree was clean is not known",
}


def origin_links(connection: sa.Connection, git: Git, version: ModelVersion) -> list[Link]:
    """Return what made a version, with what of it is not known."""
    origin, links = version.provenance, list[Link]()
    if origin.run_id is not None:
        try:
            links += run_links(connection, origin.run_id)
        except NotFound:  # a client may name a run of another server
            links.append(Link(kind="run", key=origin.run_id, text="not kept here"))
    if origin.commit is not None:
        details = {"patch": origin.dirty_digest, "made": is_of_commit(version)}
        links.append(commit_link(git, origin.commit, _commit(version), details))
    links += _data_links(origin.data)
    missing = unknowns(version)
    if tree_of(version) != "clean" and origin.commit is not None:
        missing.pop("clean tree", None)  # its commit tells it
    return [*links, *(unknown(sentence) for sentence in by_reason(missing))]


def run_origin_links(git: Git, run: Run) -> list[Link]:
    """Return what a run was made from, with what of it is not known."""
    links = []
    if run.commit is not None:
        text = f"{run.commit[:10]}, {_TREE[run.tree]}"
        links.append(commit_link(git, run.commit, text, {"patch": run.dirty_digest}))
    links += _data_links(run.inputs)
    missing = {"commit": run.commit, "data": run.inputs}
    none = [name for name, value in missing.items() if not value]
    return [*links, *([unknown(f"{', '.join(none)}: the run recorded none")] if none else [])]


def commit_link(git: Git, commit: str, text: str, details: Mapping[str, object] | None = None) -> Link:
    """Return a commit, which is told where this repository lacks it."""
    lacking = why_lacking(git, commit)
    more = {} if lacking is None else {"lacking": lacking.what, "hint": lacking.hint}
    told = text if lacking is None else f"{text}; {lacking.sentence}"
    return Link(kind="commit", key=commit, text=told, details={**(details or {}), **more})


def run_links(connection: sa.Connection, run_id: str) -> list[Link]:
    """Return a run with its parameters.

    Raises:
        NotFound: it is not kept here.
    """
    run = tracking.get_run(connection, run_id)
    deleted_ms = tracking.get_row(connection, run.id).deleted_ms
    stages = ", ".join(f"{stage.name} {stage.action}" for stage in run.stages)
    params = ", ".join(f"{key}={value}" for key, value in run.params.items())
    told = f"{format_ms(run.start_ms)}, {run.status.lower()}" + (f": {stages}" if stages else "")
    gone = {} if deleted_ms is None else {"deleted_ms": deleted_ms}
    if deleted_ms is not None:
        told = f"deleted {format_ms(deleted_ms)} (penstock run restore {run.id[:8]} undoes it), {told}"
    links = [Link(kind="run", key=run.id, text=told, details={"metrics": run.metrics, **gone})]
    if params:
        links.append(
            Link(kind="parameters", key=run.lock_digest or "", text=params, details=dict(run.params))
        )
    return links


def _data_links(data: Mapping[str, str]) -> list[Link]:
    return [
        Link(kind="data", key=digest, text=f"{path} {digest[:16]}", details={"path": path})
        for path, digest in data.items()
    ]


def _commit(version: ModelVersion) -> str:
    origin = version.provenance
    told = f"{commit_words(version)}{(origin.commit or '')[:10]}, {_TREE[tree_of(version)]}"
    if origin.stale:
        return f"{told}: dvc.lock was not in step with {', '.join(origin.stale)}"
    return told if is_of_commit(version) else f"{told}; no stage made it"
