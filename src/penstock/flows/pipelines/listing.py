"""What stages and pointers there are, in a line each.

Source: dvc/commands/stage.py (3.67).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from penstock.data.repository import DataRepository
from penstock.flows.pipelines.status import shown_address
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.pointer_steps import PointerStep, list_pointer_steps
from penstock.pipeline.stage import Stage
from penstock.pipeline.targets import Selection, choose

MAX_LENGTH = 80


def list_steps(
    repo: DataRepository, targets: tuple[str, ...], base: Path, *, everything: bool, recursive: bool
) -> dict[str, str]:
    """Return what each stage or pointer makes, by its name as seen from `base`.

    Args:
        targets: files, stages or (with `recursive`) directories; none mean the `dvc.yaml` of `base`.
        everything: take all of the repository.

    Raises:
        NotFound: a target names nothing.
    """
    nodes: list[Stage | PointerStep] = [*load_all_stages(repo), *list_pointer_steps(repo)]
    if not everything:
        place = os.path.relpath(base, repo.root)
        nodes = choose(repo.root, nodes, Selection(targets, "" if place == "." else place, recursive))
    return {shown_step(repo, node, base): _describe(node) for node in nodes}


def shown_step(repo: DataRepository, node: Stage | PointerStep, base: Path) -> str:
    """Return what a step is called as seen from a directory."""
    if isinstance(node, PointerStep):
        return os.path.relpath(node.pointer.path, base)
    return shown_address(repo, node, base)


def _describe(node: Stage | PointerStep) -> str:
    if isinstance(node, PointerStep):
        text = f"Outputs {', '.join(os.path.relpath(one.path, node.pointer.path.parent) for one in node.outputs)}"
    else:
        lines = (line.strip() for line in (node.description or "").splitlines())
        text = next(filter(None, lines), "") or _summarise(node)
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 1]}…"


def _summarise(stage: Stage) -> str:
    made = [output.path for output in stage.outputs if output.kind == "out"]
    reports = [output.path for output in stage.outputs if output.kind != "out"]
    read = [*stage.dependencies, *(ref.file for ref in stage.parameters)]
    if made or reports:
        return "; ".join(
            part for part in (_part("Outputs", made), _part("Reports", reports)) if part is not None
        )
    return _part("Depends on", read) or "No outputs or dependencies"


def _part(word: str, paths: Iterable[str]) -> str | None:
    told = ", ".join(paths)
    return f"{word} {told}" if told else None
