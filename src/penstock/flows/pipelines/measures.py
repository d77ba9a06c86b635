"""What parameter and metric files of a snapshot hold: which files count, and their values in DVC's shapes.

Source: dvc/repo/params/show.py, dvc/repo/metrics/show.py (3.67).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.base.errors import Invalid, PenstockError
from penstock.data.pointers.metafiles import find_definitions
from penstock.data.repository import DataRepository
from penstock.flows.pipelines.snapshot import Snapshot
from penstock.pipeline.definition import DEFAULT_PARAMETER_FILE, read_definition
from penstock.pipeline.parameters import get_value, is_missing, parse_any


@dataclass(frozen=True)
class Reading:
    """What one file holds, or why it could not be read."""

    data: Any = None
    error: tuple[str, str] | None = None

    def to_document(self) -> dict[str, Any]:
        """Return it as DVC's `--json` shows it."""
        if self.error is not None:
            return {"error": {"type": self.error[0], "msg": self.error[1]}}
        return {"data": self.data}


def read_parameters(
    snapshot: Snapshot, targets: Sequence[str] = (), *, only_dependencies: bool = False
) -> dict[str, Reading]:
    """Return the parameters by file: those that stages name, and all of `params.yaml` and of top-level `params`.

    Args:
        targets: files to read instead, whole; relative to the root.
        only_dependencies: leave out what no stage depends on.
    """
    keys: dict[str, set[str] | None] = dict.fromkeys(targets)
    if not targets:
        for stage in snapshot.stages:
            for ref in stage.parameters:
                _merge(keys, stage.place(ref.file), set(ref.keys) or None)
    if not targets and not only_dependencies:
        keys.update(dict.fromkeys(_named(snapshot.repo, "params")))
        if snapshot.read(DEFAULT_PARAMETER_FILE) is not None:
            keys[DEFAULT_PARAMETER_FILE] = None
    return {
        file: _read(snapshot, file, names)
        for path, names in keys.items()
        for file in snapshot.files_in(path) or [path]
    }


def read_metrics(snapshot: Snapshot, targets: Sequence[str] = ()) -> dict[str, Reading]:
    """Return the metrics by file: numbers and texts, nested as they are; a file may hold one value alone.

    Args:
        targets: files or directories to read instead; relative to the root.
    """
    paths = list(targets)
    if not paths:
        paths = [
            stage.place(output.path)
            for stage in snapshot.stages
            for output in stage.outputs
            if output.kind == "metric"
        ]
        paths += _named(snapshot.repo, "metrics")
    files = dict.fromkeys(file for path in paths for file in snapshot.files_in(path) or [path])
    found = {}
    for file in files:
        reading = _read(snapshot, file, None)
        found[file] = reading if reading.error else Reading(_measured(reading.data) or {})
    return found


def _merge(keys: dict[str, set[str] | None], file: str, names: set[str] | None) -> None:
    known = keys.get(file, set())
    keys[file] = None if known is None or names is None else known | names


def named_files(repo: DataRepository) -> list[str]:
    """Return the files of parameters and metrics that definitions name outside of stages, relative to the root."""
    return [*_named(repo, "params"), *_named(repo, "metrics")]


def _named(repo: DataRepository, kind: str) -> list[str]:
    """Return the files that definitions name outside of stages."""
    found = []
    for path in find_definitions(repo):
        named = getattr(read_definition(path), kind) or []
        home = path.parent.relative_to(repo.root)
        found += [(home / str(name)).as_posix() for name in named if isinstance(name, str)]
    return found


def _read(snapshot: Snapshot, file: str, names: set[str] | None) -> Reading:
    data = snapshot.read(file)
    if data is None:
        return Reading(error=("FileNotFoundError", f"{file} does not exist"))
    try:
        values = parse_any(data.decode(), Path(file))
    except UnicodeDecodeError:
        return Reading(error=("UnicodeDecodeError", f"{file} is not text"))
    except (Invalid, PenstockError) as error:
        return Reading(error=(type(error).__name__, error.message))
    if names is None or not isinstance(values, Mapping):
        return Reading({} if values is None else values)
    chosen: dict[str, Any] = {}
    for name in sorted(names):
        value = get_value(values, name)
        if not is_missing(value):
            _put(chosen, name.split("."), value)
    return Reading(chosen)


def _put(into: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        into = into.setdefault(part, {})
        if not isinstance(into, dict):
            return
    into[path[-1]] = value


def _measured(value: Any) -> Any:
    """Return what counts as a metric of a value: numbers, texts and mappings of them."""
    if isinstance(value, int | float | str):
        return value
    if not isinstance(value, Mapping):
        return None
    inner = {key: _measured(one) for key, one in value.items()}
    return {key: one for key, one in inner.items() if one is not None and one != {}}
