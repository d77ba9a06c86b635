"""What changed in pipelines, in the shape of `dvc status --json`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.base.errors import NotFound
from penstock.data.repository import DataRepository
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.lockfile import load_entries
from penstock.pipeline.stage import Stage
from penstock.pipeline.status import StageStatus, stage_status
from penstock.pipeline.targets import Selection, choose


def pipeline_status(
    repo: DataRepository, targets: Sequence[str], base: Path
) -> tuple[dict[str, list[Any]], set[str]]:
    """Return what changed by stage, named as seen from `base`, and which of the targets meant stages.

    All stages are looked at where there are no targets.
    """
    stages = load_all_stages(repo)
    chosen, known = (list(stages), set[str]()) if not targets else meant_stages(repo, stages, targets, base)
    locked = load_entries(repo.root, stages)
    result = {}
    for stage in chosen:
        status = stage_status(repo, repo.root, stage, locked.get(stage.address))
        document = _seen_from(repo, status, base).to_document()
        if document:
            result[shown_address(repo, stage, base)] = document
    return result, known


def shown_address(repo: DataRepository, stage: Stage, base: Path) -> str:
    """Return what a stage is called as seen from a directory: its name alone where that holds its file."""
    file = repo.root / stage.file
    return stage.name if file.parent == base else f"{os.path.relpath(file, base)}:{stage.name}"


def meant_stages(
    repo: DataRepository, stages: Sequence[Stage], targets: Sequence[str], base: Path
) -> tuple[list[Stage], set[str]]:
    """Return the stages that targets mean, and which of the targets; the others mean data."""
    found: dict[str, Stage] = {}
    known = set()
    place = os.path.relpath(base, repo.root)
    for target in targets:
        try:
            meant = choose(repo.root, stages, Selection((target,), "" if place == "." else place))
        except NotFound:
            continue
        found.update((stage.address, stage) for stage in meant)
        known.update([target] if meant else [])
    return list(found.values()), known


def _seen_from(repo: DataRepository, status: StageStatus, base: Path) -> StageStatus:
    if base == repo.root:
        return status

    def moved(changes: Mapping[str, Any]) -> dict[str, Any]:
        return {os.path.relpath(repo.root / path, base): change for path, change in changes.items()}

    return StageStatus(
        status.command_changed,
        status.always_changed,
        status.never_ran,
        moved(status.dependencies),
        moved(status.parameters),
        moved(status.outputs),
    )
