"""What pipelines own of the workspace, as the data layer's `Output`s."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from penstock.base.errors import Invalid
from penstock.base.yaml12 import load
from penstock.data.output import Output
from penstock.pipeline.definition import DEFINITION_FILE, load_stages
from penstock.pipeline.lockfile import load_lock, parse_lock


def list_outputs(root: Path) -> list[Output]:
    """Return every output of the pipeline at `root` with what the lock says of it.

    An output whose stage never ran has no hash. There are none where there is no dvc.yaml.

    Raises:
        Invalid: dvc.yaml or dvc.lock cannot be read.
    """
    if not (root / DEFINITION_FILE).is_file():
        return []
    locked = load_lock(root)
    found = []
    for stage in load_stages(root):
        entry = locked.get(stage.name)
        hashes = {item.path: item.hash for item in entry.outputs} if entry else {}
        found += [
            Output(
                path=root / stage.place(output.path),
                hash=hashes.get(output.path),
                cached=output.is_cached,
                push=output.is_pushed,
                remote=output.remote,
                source=f"{DEFINITION_FILE}:{stage.name}",
            )
            for output in stage.outputs
        ]
    return found


def list_kind(root: Path, kind: str) -> list[Path]:
    """Return where the pipeline's outputs of one kind (`metric`, `plot`) are."""
    if not (root / DEFINITION_FILE).is_file():
        return []
    return [
        root / stage.place(output.path)
        for stage in load_stages(root)
        for output in stage.outputs
        if output.kind == kind
    ]


def parse_outputs(root: Path, lock: str, definition: str, name: str) -> list[Output]:
    """Return the outputs of the text of a lock, with the flags the text of its dvc.yaml gives them.

    Templates of the definition are not filled in: a templated path or working directory keeps the defaults.

    Raises:
        Invalid: the lock cannot be read (`name` is what it is called), or names a path outside `root`.
    """
    stages = _raw_stages(definition)
    found = []
    for stage, entry in parse_lock(lock, name).items():
        declared = stages.get(stage.partition("@")[0], {})
        declared = declared.get("do", declared)
        wdir = str(declared.get("wdir", "."))
        uncached = {path for path, flags in _raw_outputs(declared) if flags.get("cache") is False}
        for item in entry.outputs:
            path = Path(os.path.normpath(root / ("." if "$" in wdir else wdir) / item.path))
            if not path.is_relative_to(root):
                raise Invalid(f"{name}: {item.path} is outside the repository", code="data.outside")
            found.append(
                Output(path=path, hash=item.hash, cached=item.path not in uncached, source=f"{name}:{stage}")
            )
    return found


def _raw_stages(definition: str) -> dict[str, dict[str, Any]]:
    try:
        stages = (load(definition) or {}).get("stages") or {}
        return {name: stage for name, stage in stages.items() if isinstance(stage, dict)}
    except (yaml.YAMLError, AttributeError):
        return {}


def _raw_outputs(stage: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in ("outs", "metrics", "plots"):
        for entry in stage.get(kind) or ():
            if isinstance(entry, dict):
                for path, flags in entry.items():
                    yield str(path), flags if isinstance(flags, dict) else {}
