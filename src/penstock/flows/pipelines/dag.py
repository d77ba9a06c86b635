"""The graph of stages and pointers, or of their outputs, to be looked at.

Source: dvc/commands/dag.py (3.67).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.data.repository import DataRepository
from penstock.flows.pipelines.listing import shown_step
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.graph import needed_outputs, plan, upstream_of
from penstock.pipeline.pointer_steps import PointerStep, list_pointer_steps
from penstock.pipeline.stage import Stage
from penstock.pipeline.targets import Selection, choose

Step = Stage | PointerStep


@dataclass(frozen=True)
class Dag:
    """Names, and pairs of names of which the first is needed by the second."""

    nodes: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]

    def parts(self) -> list[Dag]:
        """Return the parts that have nothing to do with each other."""
        near = _neighbours(self, both_ways=True)
        left = dict.fromkeys(self.nodes)
        found = []
        while left:
            members = _reach([next(iter(left))], near)
            found.append(self.only(members))
            left = {node: None for node in left if node not in members}
        return found

    def only(self, members: set[str]) -> Dag:
        """Return the graph of some of its nodes."""
        return Dag(
            tuple(node for node in self.nodes if node in members),
            tuple(edge for edge in self.edges if set(edge) <= members),
        )

    def collapsed(self) -> Dag:
        """Return it with the stages of each `foreach` and `matrix` as one node."""
        names = {node: node if node.endswith(".dvc") else node.partition("@")[0] for node in self.nodes}
        edges = dict.fromkeys((names[need], names[user]) for need, user in self.edges)
        return Dag(tuple(dict.fromkeys(names.values())), tuple(edges))


def build_dag(
    repo: DataRepository, base: Path, target: str | None = None, *, full: bool = False, outs: bool = False
) -> Dag:
    """Return the graph of the repository, named as seen from `base`.

    Args:
        target: a stage, file or output: what it needs is shown, or with `full` all it is connected to.
        outs: show outputs instead of stages and pointers.

    Raises:
        NotFound: the target names nothing.
        Invalid: stages go in a circle, or make the same output.
    """
    steps: list[Step] = [*load_all_stages(repo), *list_pointer_steps(repo)]
    plan(steps, [])
    dag = _of_outputs(repo, steps, base) if outs else _of_steps(repo, steps, base)
    if target is None:
        return dag
    place = os.path.relpath(base, repo.root)
    chosen = choose(repo.root, steps, Selection((target,), "" if place == "." else place))
    if outs:
        made = [os.path.relpath(repo.root / path, base) for step in chosen for path in step.makes]
        starts = [path for path in made if path == os.path.normpath(target)] or made
    else:
        starts = [shown_step(repo, step, base) for step in chosen]
    return dag.only(_reach(starts, _neighbours(dag, both_ways=full)))


def render_dot(dag: Dag) -> str:
    """Return it in Graphviz' language."""
    lines = [f'"{node}";' for node in dag.nodes] + [f'"{need}" -> "{user}";' for need, user in dag.edges]
    return "\n".join(["strict digraph {", *lines, "}", ""])


def render_mermaid(dag: Dag, *, markdown: bool = False) -> str:
    """Return it in Mermaid's language, in a block of Markdown if asked for."""
    lines = ["flowchart TD"]
    count = 0
    for part in dag.parts():
        ids = {node: f"node{count + at}" for at, node in enumerate(sorted(part.nodes), 1)}
        count += len(ids)
        lines += [f'\t{name}["{node}"]' for node, name in ids.items()]
        lines += [f"\t{ids[need]}-->{ids[user]}" for need, user in sorted(part.edges)]
    text = "\n".join(lines)
    return f"```mermaid\n{text}\n```" if markdown else text


def render_text(dag: Dag) -> str:
    """Return a line for each node, with what it needs."""
    needs: dict[str, list[str]] = {node: [] for node in dag.nodes}
    for need, user in dag.edges:
        needs[user].append(need)
    return "\n".join(f"{node} <- {', '.join(found)}" if found else node for node, found in needs.items())


def _of_steps(repo: DataRepository, steps: Sequence[Step], base: Path) -> Dag:
    names = {step.address: shown_step(repo, step, base) for step in steps}
    edges = [(names[need], names[address]) for address, needs in upstream_of(steps).items() for need in needs]
    return Dag(tuple(names.values()), tuple(edges))


def _of_outputs(repo: DataRepository, steps: Sequence[Step], base: Path) -> Dag:
    names = {path: os.path.relpath(repo.root / path, base) for step in steps for path in step.makes}
    needed = needed_outputs(steps)
    edges = [
        (names[need], names[path]) for step in steps for path in step.makes for need in needed[step.address]
    ]
    return Dag(tuple(names.values()), tuple(edges))


def _neighbours(dag: Dag, *, both_ways: bool) -> dict[str, list[str]]:
    near: dict[str, list[str]] = {node: [] for node in dag.nodes}
    for need, user in dag.edges:
        near[user].append(need)
        if both_ways:
            near[need].append(user)
    return near


def _reach(starts: Iterable[str], near: Mapping[str, Sequence[str]]) -> set[str]:
    reached: set[str] = set()
    pending = list(starts)
    while pending:
        node = pending.pop()
        if node not in reached:
            reached.add(node)
            pending += near[node]
    return reached
