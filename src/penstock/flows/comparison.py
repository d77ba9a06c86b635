"""Parameters and metrics of two states of a repository, in the shapes of `dvc params diff` and `metrics diff`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from penstock.base.errors import Invalid
from penstock.flows.project import Project
from penstock.pipeline.definition import load_stages
from penstock.pipeline.parameters import flatten, load_values, parse_values

Changes = dict[str, dict[str, dict[str, Any]]]


def compare_parameters(project: Project, old: str, new: str | None) -> Changes:
    """Return what changed by file and key; `new` None means the workspace."""
    stages = load_stages(project.root)
    files = {stage.place(ref.file) for stage in stages for ref in stage.parameters}
    return _compare(project, sorted(files), old, new)


def compare_metrics(project: Project, old: str, new: str | None) -> Changes:
    """Return what changed by file and metric, with the difference where both are numbers."""
    stages = load_stages(project.root)
    files = {
        stage.place(output.path) for stage in stages for output in stage.outputs if output.kind == "metric"
    }
    changes = _compare(project, sorted(files), old, new)
    for names in changes.values():
        for change in names.values():
            before, after = change.get("old"), change.get("new")
            if isinstance(before, int | float) and isinstance(after, int | float):
                change["diff"] = round(after - before, 9)
    return changes


def _compare(project: Project, files: list[str], old: str, new: str | None) -> Changes:
    old_sha = project.git.resolve(old)
    new_sha = project.git.resolve(new) if new is not None else None
    changes: Changes = {}
    for file in files:
        before = _values_at(project, file, old_sha)
        after = _values_at(project, file, new_sha)
        differing = {
            key: {"old": before.get(key), "new": after.get(key)}
            for key in [*before, *(key for key in after if key not in before)]
            if before.get(key) != after.get(key)
        }
        if differing:
            changes[file] = differing
    return changes


def _values_at(project: Project, file: str, sha: str | None) -> Mapping[str, Any]:
    if sha is None:
        path = project.root / file
        return flatten(load_values(path)) if path.is_file() else {}
    prefix = project.git.run("rev-parse", "--show-prefix")
    try:
        text = project.git.show(sha, f"{prefix}{file}").decode()
    except Invalid:
        return {}
    return flatten(parse_values(text, Path(file)))
