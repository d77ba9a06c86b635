"""What pipelines own of the workspace, as the data layer's `Output`s."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from penstock.base.errors import Invalid
from penstock.data.formats.output import Output
from penstock.data.formats.plainyaml import NotYamlError, load
from penstock.data.repository import DataRepository
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.lockfile import LockEntry, load_entries, parse_lock
from penstock.pipeline.stage import Stage


def list_outputs(repo: DataRepository, definitions: Sequence[Path] | None = None) -> list[Output]:
    """Return every output of the repository's pipelines, or of those defined in these files, as locked.

    An output whose stage never ran has no hash. There are none where there is no dvc.yaml.

    Raises:
        Invalid: a dvc.yaml or dvc.lock cannot be read.
    """
    stages = load_all_stages(repo, definitions)
    locked = load_entries(repo.root, stages)
    return [
        output for stage in stages for output in stage_outputs(repo.root, stage, locked.get(stage.address))
    ]


def stage_outputs(root: Path, stage: Stage, entry: LockEntry | None) -> list[Output]:
    """Return one stage's outputs, in the order they are declared, with what its lock entry says of them."""
    hashes = {item.path: item.hash for item in entry.outputs} if entry else {}
    return [
        Output(
            path=root / stage.place(output.path),
            hash=hashes.get(output.path),
            cached=output.is_cached,
            push=output.is_pushed,
            remote=output.remote,
            source=f"{stage.file}:{stage.name}",
        )
        for output in stage.outputs
    ]


def list_kind(repo: DataRepository, kind: str) -> list[Path]:
    """Return where the pipelines' outputs of one kind (`metric`, `plot`) are."""
    return [
        repo.root / stage.place(output.path)
        for stage in load_all_stages(repo)
        for output in stage.outputs
        if output.kind == kind
    ]


def parse_outputs(root: Path, path: Path, lock: str, definition: str) -> list[Output]:
    """Return the outputs of the text of a lock, with the flags the text of its dvc.yaml gives them.

    Templates of the definition are not filled in: a templated path or working directory keeps the defaults.

    Raises:
        Invalid: the lock cannot be read, or names a path outside `root`; `path` is where it stands.
    """
    name = path.relative_to(root).as_posix()
    stages = _raw_stages(definition)
    found = []
    for stage, entry in parse_lock(lock, name).items():
        declared = stages.get(stage.partition("@")[0], {})
        declared = declared.get("do", declared)
        wdir = str(declared.get("wdir", "."))
        uncached = {path for path, flags in _raw_outputs(declared) if flags.get("cache") is False}
        for item in entry.outputs:
            place = Path(os.path.normpath(path.parent / ("." if "$" in wdir else wdir) / item.path))
            if not place.is_relative_to(root):
                raise Invalid(f"{name}: {item.path} is outside the repository", code="data.outside")
            found.append(
                Output(path=place, hash=item.hash, cached=item.path not in uncached, source=f"{name}:{stage}")
            )
    return found


def _raw_stages(definition: str) -> dict[str, dict[str, Any]]:
    try:
        stages = (load(definition) or {}).get("stages") or {}
        return {name: stage for name, stage in stages.items() if isinstance(stage, dict)}
    except (NotYamlError, AttributeError):
        return {}


def _raw_outputs(stage: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in ("outs", "metrics", "plots"):
        for entry in stage.get(kind) or ():
            if isinstance(entry, dict):
                for path, flags in entry.items():
                    yield str(path), flags if isinstance(flags, dict) else {}
