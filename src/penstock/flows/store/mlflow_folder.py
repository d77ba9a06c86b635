"""What MLflow keeps in a folder `mlruns`, as rows of Penstock's tables.

    <experiment>/meta.yaml, tags/<key>
    <experiment>/<run>/meta.yaml, params/<key>, tags/<key>, metrics/<key>, artifacts/…,
                       inputs/<id>/meta.yaml, outputs/<model>/meta.yaml
    <experiment>/datasets/<id>/meta.yaml
    <experiment>/models/<id>/meta.yaml, params/<key>, tags/<key>, metrics/<key>, artifacts/…
    .trash/<experiment>/…          deleted experiments
    models/<name>/meta.yaml, tags/<key>, aliases/<alias>, version-<number>/{meta.yaml, tags/<key>}

A key with `/` is a path of folders. A line of a metric is `time value step`, of a model's metric
`time value step run`, each with the name and digest of a data set behind it where one was given.

Source: mlflow/mlflow 3.17, `mlflow/store/tracking/file_store.py`, `mlflow/store/model_registry/file_store.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from penstock.base.errors import NotFound
from penstock.flows.store.mlflow_records import (
    Folder,
    dataset_id_of,
    dataset_row,
    experiment_row,
    list_files,
    list_folders,
    model_row,
    read_meta,
    read_pairs,
    read_points,
    registered_row,
    run_row,
    value_of,
    version_row,
)
from penstock.flows.store.mlflow_source import BATCH, Rows
from penstock.registry import tables as registry
from penstock.tracking import tables as tracking


class FolderSource:
    """A folder `mlruns`, or the one that holds it.

    Raises:
        NotFound: there is no experiment in it.
    """

    def __init__(self, folder: Path) -> None:
        inner = folder / "mlruns"
        self._root = inner if inner.is_dir() else folder
        if not self._experiments and not (self._root / "models").is_dir():
            raise NotFound(
                f"{folder} is no folder of MLflow's: it holds no experiment",
                code="store.not_mlflow",
                hint="name the folder mlruns, or the database that --backend-store-uri names",
            )

    @property
    def name(self) -> str:
        """The folder's URL."""
        return self._root.as_uri()

    @cached_property
    def _experiments(self) -> list[Folder]:
        """The experiments, deleted ones too, by id."""
        found = [
            Folder(path, int(path.name), meta)
            for parent in (self._root, self._root / ".trash")
            for path in list_folders(parent)
            if path.name.isascii() and path.name.isdigit() and (meta := read_meta(path)) is not None
        ]
        return sorted(found, key=lambda one: one.experiment_id)

    @cached_property
    def _runs(self) -> list[Folder]:
        return [
            Folder(path, one.experiment_id, meta)
            for one in self._experiments
            for path in list_folders(one.path)
            if path.name not in {"models", "datasets", "tags", "traces"}
            and (meta := read_meta(path)) is not None
        ]

    @cached_property
    def _models(self) -> list[Folder]:
        return [
            Folder(path, one.experiment_id, meta)
            for one in self._experiments
            for path in list_folders(one.path / "models")
            if (meta := read_meta(path)) is not None
        ]

    def experiments(self) -> list[tuple[int, str]]:
        """Return the experiments' ids and names."""
        return [(one.experiment_id, str(one.meta["name"])) for one in self._experiments]

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield the artifacts of runs and logged models."""
        for between, owners in (("", self._runs), ("models/", self._models)):
            for owner in owners:
                root = owner.path / "artifacts"
                for path in sorted(root.rglob("*")):
                    if path.is_file() and path.resolve().is_relative_to(root.resolve()):
                        inner = path.relative_to(owner.path).as_posix()
                        yield f"{owner.experiment_id}/{between}{owner.id}/{inner}", path

    def rows(self) -> Iterator[Rows]:
        """Yield rows for Penstock's tables."""
        yield from _in_parts(tracking.experiments, map(experiment_row, self._experiments))
        yield from _in_parts(
            tracking.experiment_tags,
            (
                {"experiment_id": one.experiment_id, "key": key, "value": value}
                for one in self._experiments
                for key, value in read_pairs(one.path / "tags")
            ),
        )
        yield from _in_parts(tracking.runs, map(run_row, self._runs))
        for table, kind in ((tracking.run_params, "params"), (tracking.run_tags, "tags")):
            yield from _in_parts(table, _owned(self._runs, kind, "run_id"))
        for run in self._runs:
            yield from _metrics(run)
        yield from self._data()
        yield from _in_parts(tracking.logged_models, map(model_row, self._models))
        for table, kind in ((tracking.logged_model_params, "params"), (tracking.logged_model_tags, "tags")):
            yield from _in_parts(table, _owned(self._models, kind, "model_id"))
        for model in self._models:
            yield from _in_parts(tracking.logged_model_metrics, _model_metrics(model))
        yield from _in_parts(tracking.run_models, self._links())
        yield from self._registry()

    def close(self) -> None:
        """Leave the files."""

    def _data(self) -> Iterator[Rows]:
        known: set[str] = set()
        rows = []
        for one in self._experiments:
            for path in list_folders(one.path / "datasets"):
                if (meta := read_meta(path)) is not None:
                    rows.append(dataset_row(one.experiment_id, path.name, meta))
                    known.add(rows[-1]["id"])
        yield from _in_parts(tracking.datasets, iter(rows))
        yield from _in_parts(tracking.run_datasets, self._inputs(known))

    def _inputs(self, known: set[str]) -> Iterator[dict[str, Any]]:
        for run in self._runs:
            position = 0
            for path in list_folders(run.path / "inputs"):
                meta = read_meta(path) or {}
                dataset_id = dataset_id_of(run.experiment_id, str(meta.get("source_id")))
                if meta.get("source_type") != "DATASET" or dataset_id not in known:
                    continue
                tags = [[str(name), str(value)] for name, value in (meta.get("tags") or {}).items()]
                yield {
                    "run_id": run.id,
                    "dataset_id": dataset_id,
                    "position": position,
                    "context": dict(tags).get("mlflow.data.context"),
                    "tags": tags,
                }
                position += 1

    def _links(self) -> Iterator[dict[str, Any]]:
        for run in self._runs:
            for direction, kind in (("input", "MODEL_INPUT"), ("output", "MODEL_OUTPUT")):
                for position, path in enumerate(list_folders(run.path / f"{direction}s")):
                    meta = read_meta(path) or {}
                    if kind in {meta.get("source_type"), meta.get("destination_type")}:
                        yield {
                            "run_id": run.id,
                            "direction": direction,
                            "model_id": path.name if direction == "output" else str(meta["source_id"]),
                            "step": meta.get("step"),
                            "position": position,
                        }

    def _registry(self) -> Iterator[Rows]:
        folders = [(path, meta) for path in list_folders(self._root / "models") if (meta := read_meta(path))]
        versions = [
            (str(meta["name"]), inner, record)
            for path, meta in folders
            for inner in list_folders(path)
            if inner.name.startswith("version-") and (record := read_meta(inner)) is not None
        ]
        yield from _in_parts(registry.models, (registered_row(meta) for _, meta in folders))
        yield from _in_parts(
            registry.model_tags,
            (
                {"model": meta["name"], "key": key, "value": value}
                for path, meta in folders
                for key, value in read_pairs(path / "tags")
            ),
        )
        live = [one for one in versions if one[2].get("current_stage") != "Deleted_Internal"]
        yield from _in_parts(
            registry.versions, (version_row(self._root, name, meta) for name, _, meta in live)
        )
        yield from _in_parts(
            registry.version_tags,
            (
                {"model": name, "number": int(meta["version"]), "key": key, "value": value}
                for name, path, meta in live
                for key, value in read_pairs(path / "tags")
            ),
        )
        numbers = {(name, int(meta["version"])) for name, _, meta in live}
        yield from _in_parts(
            registry.aliases,
            (
                {"model": meta["name"], "name": alias, "version": int(number)}
                for path, meta in folders
                for alias, number in read_pairs(path / "aliases")
                if number.isdigit() and (meta["name"], int(number)) in numbers
            ),
        )


def _metrics(run: Folder) -> Iterator[Rows]:
    latest = []
    for key, path in list_files(run.path / "metrics"):
        points = [
            {"run_id": run.id, "key": key, "time_ms": time_ms, "step": step, **value_of(value)}
            for time_ms, value, step, _ in read_points(path)
        ]
        yield from _in_parts(tracking.run_metrics, iter(points))
        if points:
            newest = max(points, key=lambda point: (point["step"], point["time_ms"], point["value"]))
            latest.append({**newest, "experiment_id": run.experiment_id})
    yield from _in_parts(tracking.run_latest_metrics, iter(latest))


def _model_metrics(model: Folder) -> Iterator[dict[str, Any]]:
    for key, path in list_files(model.path / "metrics"):
        for time_ms, value, step, rest in read_points(path):
            if not rest:
                continue
            yield {
                "model_id": model.id,
                "key": key,
                "time_ms": time_ms,
                "step": step,
                "run_id": rest[0],
                **value_of(value),
                "dataset_name": " ".join(rest[1:-1]),
                "dataset_digest": rest[-1] if len(rest) > 2 else "",
            }


def _owned(owners: list[Folder], kind: str, column: str) -> Iterator[dict[str, Any]]:
    for owner in owners:
        for key, value in read_pairs(owner.path / kind):
            yield {column: owner.id, "key": key, "value": value}


def _in_parts(table: Any, rows: Iterator[dict[str, Any]]) -> Iterator[Rows]:
    part: list[dict[str, Any]] = []
    for row in rows:
        part.append(row)
        if len(part) == BATCH:
            yield table, part
            part = []
    if part:
        yield table, part
