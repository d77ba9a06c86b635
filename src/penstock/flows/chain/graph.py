"""The chain of a subject as a graph, both ways: what it was made from, and what came of it. Reads only the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import sqlalchemy as sa

from penstock.base.errors import Unavailable
from penstock.flows.chain.links import Explanation, Link
from penstock.flows.chain.outcomes import Outcomes
from penstock.project.project import Project
from penstock.registry.documents.origins import is_of_commit
from penstock.registry.entities import ModelVersion
from penstock.registry.versions import load_versions
from penstock.serving.deployments import Revision, find_revision
from penstock.tracking import runs as tracking

NodeKind = Literal[
    "data",
    "file",
    "commit",
    "run",
    "output",
    "model version",
    "verdict",
    "deployment",
    "rollback",
    "prediction",
]
VERSIONS = 12
"""So many versions of a subject are followed, the newest first: data may have reached hundreds."""
REVISIONS = 4
NO_RECORD = "no record of it"
LACKING = "not in this repository"
RUNS = 24


@dataclass(frozen=True)
class Node:
    """One thing of the chain. `state` is `bad` for a rollback and what it took out, `good` for a passed verdict.

    `said` is what a sentence of the whole chain says of it, empty where it says nothing.
    """

    kind: NodeKind
    key: str
    label: str
    note: str = ""
    state: Literal["", "good", "bad"] = ""
    path: str = ""
    said: str = ""

    @property
    def id(self) -> str:
        """What edges name it by."""
        return f"{self.kind}:{self.key}"


@dataclass
class ChainGraph:
    """Nodes in the order in which they were found, and edges from what was before to what came of it."""

    subject: str
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[tuple[str, str], None] = field(default_factory=dict)
    left_out: int = 0

    def add(self, node: Node, *before: str) -> str:
        """Add a node once, with edges from what was before it; return its id."""
        self.nodes.setdefault(node.id, node)
        self.edges |= {(one, node.id): None for one in before if one in self.nodes}
        return node.id


def build_graph(project: Project, chain: Explanation) -> ChainGraph:
    """Return the graph of an explained subject."""
    graph = ChainGraph(chain.subject)
    keys = {kind: [one.key for one in chain.links if one.kind == kind] for kind in ("deployment", "run")}
    refs = list(dict.fromkeys(one.key for one in chain.links if one.kind == "model version"))
    with project.database.read() as connection:
        found = _versions(connection, refs)
        named = _named_revisions(connection, keys["deployment"])
        if chain.kind in {"deployment", "endpoint"}:
            found += _beside(connection, named, found)
        found.sort(key=lambda one: one.created_ms, reverse=True)
        graph.left_out = max(0, len(found) - VERSIONS)
        is_one = chain.kind in {"prediction", "deployment", "endpoint"}
        outcomes = Outcomes(connection, found[:VERSIONS])
        for version in reversed(found[:VERSIONS]):
            at = _add_version(connection, graph, version, outcomes)
            _add_outcome(outcomes, graph, version, at, named if is_one else outcomes.revisions(version))
        used = [run_id for one in chain.links if one.kind == "data" for run_id in one.details.get("runs", ())]
        runs = list(dict.fromkeys([*keys["run"], *used]))
        graph.left_out += max(0, len(runs) - RUNS)
        for run_id in runs[-RUNS:]:
            _add_run(connection, graph, run_id)
    for link in chain.links:
        if link.kind == "prediction":
            before = [f"deployment:{key}" for key in keys["deployment"]] or [f"model version:{refs[0]}"]
            is_recorded = link.details.get("is_recorded", True)
            note = str(link.details.get("route", "")) if is_recorded else NO_RECORD
            graph.add(Node("prediction", link.key, link.key[:12], note), *before)
        elif link.kind == "data" and chain.kind != "output":
            (at,) = _add_sources(graph, None, {str(link.details["path"]): link.key})
            _connect(graph, [at], _run_ids(link))
        elif link.kind == "commit" and link.details.get("made", True):
            graph.add(Node("commit", link.key, link.key[:10]))
    if chain.kind == "output":
        _add_outputs(graph, chain)
    _mark_lacking(project, graph)
    return graph


def _run_ids(link: Link) -> list[str]:
    return [f"run:{run_id}" for run_id in link.details.get("runs", ())]


def _connect(graph: ChainGraph, before: Iterable[str], after: Iterable[str]) -> None:
    """Lead from each node to each of others, as far as they are there."""
    nodes = graph.nodes
    graph.edges |= {
        (one, other): None for other in after for one in before if one in nodes and other in nodes
    }


def _add_outputs(graph: ChainGraph, chain: Explanation) -> None:
    """Add the contents of an output, between the runs that made them, or what they were made from, and the versions."""
    at = ""
    for link in chain.links:
        path = str(link.details.get("path", ""))
        if link.kind == "data":
            at = graph.add(Node("output", f"{path} {link.key}", path, link.key[:16], path=path))
            _connect(graph, _run_ids(link), [at])
        elif link.kind == "dependency":
            kind: NodeKind = "data" if link.details["is_tracked"] else "file"
            source = graph.add(Node(kind, f"{path} {link.key}", path, link.key[:16], path=path))
            runs = [one for one, other in graph.edges if other == at and one.startswith("run:")]
            _connect(graph, [source], runs or [at])
        elif link.kind == "model version":
            _connect(graph, [at], [f"model version:{link.key}"])


def _mark_lacking(project: Project, graph: ChainGraph) -> None:
    """Note the commits that this repository does not have."""
    commits = [one.key for one in graph.nodes.values() if one.kind == "commit" and one.key.isalnum()]
    try:
        lacking = project.git.lacking(commits) if commits else set()
    except Unavailable:  # without the program nobody knows
        return
    for commit in lacking:
        node = graph.nodes[f"commit:{commit}"]
        graph.nodes[node.id] = replace(node, note=LACKING)


def _versions(connection: sa.Connection, refs: Sequence[str]) -> list[ModelVersion]:
    """Return the versions of links, in their order, those that are not deleted."""
    keys = [(model, int(number)) for model, _, number in (ref.rpartition("/") for ref in refs)]
    known = {one.ref: one for one in load_versions(connection, keys)}
    return [known[ref] for ref in refs if ref in known]


def _named_revisions(connection: sa.Connection, keys: Iterable[str]) -> list[Revision]:
    found = []
    for key in keys:
        endpoint, _, number = key.rpartition("#")
        revision = find_revision(connection, endpoint, int(number))
        if revision is not None:
            found.append(revision)
    return found


def _beside(
    connection: sa.Connection, named: Iterable[Revision], known: Iterable[ModelVersion]
) -> list[ModelVersion]:
    """Return the versions of revisions, a canary too, that are not known yet."""
    refs = dict.fromkeys(f"{one.model}/{number}" for one in named for number in one.versions)
    have = {one.ref for one in known}
    return _versions(connection, [ref for ref in refs if ref not in have])


def _add_version(
    connection: sa.Connection, graph: ChainGraph, version: ModelVersion, outcomes: Outcomes
) -> str:
    origin = version.provenance
    before: list[str] = []
    commit = origin.commit if is_of_commit(version) else None
    if origin.run_id is not None:
        before.append(_add_run(connection, graph, origin.run_id, is_version=True))
    sources = _add_sources(graph, commit, origin.data)
    for source in sources:
        graph.edges |= {(source, target): None for target in before}
    out = outcomes.rolled_back(version)
    note = f"sha256 {version.digest[:12]}" if version.digest else ""
    if out is not None:
        note = "rolled back" if out.is_of(version) else f"has the files of {out.ref}"
    node = Node("model version", version.ref, version.ref, note, "bad" if out else "")
    return graph.add(node, *(before or sources))


def _add_run(connection: sa.Connection, graph: ChainGraph, run_id: str, *, is_version: bool = False) -> str:
    """Add a run; what went into it too, unless its version says that more exactly."""
    known = graph.nodes.get(f"run:{run_id}")
    if known is not None:
        return known.id
    row = next(iter(tracking.list_rows(connection, [run_id])), None)
    if row is None:  # a client may name a run of another server
        return graph.add(Node("run", run_id, run_id[:10], "not kept here"))
    label = row.name if row.name and row.name.strip() else row.id[:10]
    node = Node("run", row.id, label, row.status.lower() if row.deleted_ms is None else "deleted")
    if is_version:
        return graph.add(node)
    run = tracking.get_run(connection, row.id)
    return graph.add(node, *_add_sources(graph, run.commit, run.inputs))


def _add_sources(graph: ChainGraph, commit: str | None, data: dict[str, str]) -> list[str]:
    found = [graph.add(Node("commit", commit, commit[:10]))] if commit else []
    found += [
        graph.add(Node("data", f"{path} {digest}", path, digest[:16], path=path))
        for path, digest in data.items()
    ]
    return found


def _add_outcome(
    outcomes: Outcomes, graph: ChainGraph, version: ModelVersion, at: str, deployed: list[Revision]
) -> None:
    verdict = outcomes.verdict(version)
    if verdict is not None:
        word = "passed" if verdict.passed else "refused"
        out = graph.nodes[at].state == "bad"
        state: Literal["", "good", "bad"] = "" if out else "good" if verdict.passed else "bad"
        graph.add(Node("verdict", f"{version.ref} {verdict.id}", word, verdict.id, state, version.ref), at)
        at = f"verdict:{version.ref} {verdict.id}"
    last, served = at, {}
    shown = [one for one in deployed if version.model == one.model and version.number in one.versions]
    shown.sort(key=lambda one: (one.created_ms, one.number))
    for revision in [*shown[:1], *shown[1:][-(REVISIONS - 1) :]]:
        key = f"{revision.endpoint}#{revision.number}"
        last = graph.add(Node("deployment", key, key, _role(revision, version.number)), at)
        served[revision.endpoint] = last
    newest = outcomes.rolled_back(version)
    if newest is None:
        return
    said = f"{version.ref} {newest.whose(version)} rolled back: {newest.why}"
    label = "rolled back" if newest.is_of(version) else f"as {newest.ref}"
    for place, one in enumerate((newest, *newest.told_earlier)):
        note = f"on {one.endpoint}: {one.reason}" if one.endpoint and newest.earlier else one.reason
        key = f"{version.ref} {place}" if place else version.ref
        node = Node("rollback", key, label, note, "bad", one.ref, "" if place else said)
        graph.add(node, served.get(one.endpoint, last))


def _role(revision: Revision, number: int) -> str:
    if revision.canary is not None and revision.canary.version == number:
        return f"canary, {revision.canary.percent:g} %"
    if revision.stable == number:
        words = {"canary": "stable beside a canary", "shadowed": "stable, other shadows"}
        return words.get(revision.kind, revision.kind.replace("_", " "))
    return "shadow"
