"""The records in MLflow's folder `mlruns`, one at a time, as rows of Penstock's tables; see `mlflow_folder`.

Source: mlflow/mlflow 3.17, `mlflow/store/tracking/file_store.py`, `mlflow/store/model_registry/file_store.py`.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import yaml

from penstock.base.errors import Invalid
from penstock.flows.store.mlflow_source import status_name
from penstock.tracking.entities import RUN_STATUSES

META = "meta.yaml"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # YAML 1.1, as MLflow writes it
LARGEST = 1.7976931348623157e308
_PLACE = re.compile(r"(?:^|/)(\d+)/((?:models/)?[\w\-]+/artifacts(?:/.*)?)\Z")


class Folder(NamedTuple):
    """A run's or logged model's folder with its experiment and its record."""

    path: Path
    experiment_id: int
    meta: dict[str, Any]

    @property
    def id(self) -> str:
        """The run's or model's id."""
        return self.path.name


def experiment_row(one: Folder) -> dict[str, Any]:
    """Return an experiment's row."""
    changed = int(one.meta.get("last_update_time") or 0)
    return {
        "id": one.experiment_id,
        "name": str(one.meta["name"]),
        "created_ms": int(one.meta.get("creation_time") or 0),
        "updated_ms": changed,
        "artifact_uri": _own(one.meta.get("artifact_location"), str(one.experiment_id)),
        "deleted_ms": changed if one.meta.get("lifecycle_stage") == "deleted" else None,
    }


def run_row(run: Folder) -> dict[str, Any]:
    """Return a run's row."""
    meta, tags = run.meta, dict(read_pairs(run.path / "tags"))
    status = meta.get("status", 1)
    names = dict(enumerate(RUN_STATUSES, 1))  # in the order of MLflow's numbers
    is_deleted = meta.get("lifecycle_stage") == "deleted"
    return {
        "id": run.id,
        "experiment_id": run.experiment_id,
        "name": str(tags.get("mlflow.runName") or meta.get("run_name") or meta.get("name") or run.id),
        "status": names.get(status, "FINISHED") if isinstance(status, int) else str(status),
        "start_ms": int(meta.get("start_time") or 0),
        "end_ms": meta.get("end_time"),
        "user": str(meta.get("user_id") or ""),
        "artifact_uri": _own(meta.get("artifact_uri"), f"{run.experiment_id}/{run.id}/artifacts"),
        "deleted_ms": int(meta.get("deleted_time") or 0) if is_deleted else None,
        "commit": (meta.get("source_version") or tags.get("mlflow.source.git.commit") or "")[:64] or None,
    }


def model_row(model: Folder) -> dict[str, Any]:
    """Return a logged model's row."""
    meta = model.meta
    changed = int(meta.get("last_updated_timestamp") or 0)
    place = f"{model.experiment_id}/models/{model.id}/artifacts"
    return {
        "id": model.id,
        "experiment_id": model.experiment_id,
        "name": str(meta["name"]),
        "model_type": meta.get("model_type") or None,
        "status": status_name(meta.get("status")),
        "status_message": meta.get("status_message"),
        "source_run_id": meta.get("source_run_id"),
        "artifact_uri": _own(meta.get("artifact_location"), place),
        "created_ms": int(meta.get("creation_timestamp") or 0),
        "updated_ms": changed,
        "deleted_ms": changed if meta.get("lifecycle_stage") == "deleted" else None,
    }


def registered_row(meta: dict[str, Any]) -> dict[str, Any]:
    """Return a registered model's row."""
    return {
        "name": str(meta["name"]),
        "created_ms": int(meta.get("creation_timestamp") or 0),
        "updated_ms": int(meta.get("last_updated_timestamp") or 0),
        "description": meta.get("description"),
    }


def version_row(root: Path, name: str, meta: dict[str, Any]) -> dict[str, Any]:
    """Return a version's row; its files are read later."""
    return {
        "model": name,
        "number": int(meta["version"]),
        "created_ms": int(meta.get("creation_timestamp") or 0),
        "updated_ms": int(meta.get("last_updated_timestamp") or 0),
        "description": meta.get("description"),
        "actor": str(meta.get("user_id") or "mlflow"),
        "stage": str(meta.get("current_stage") or "None"),
        "source": _moved(root, str(meta.get("source") or "")),
        "run_id": meta.get("run_id") or None,
        "run_link": meta.get("run_link"),
    }


def dataset_id_of(experiment_id: int, name: str) -> str:
    """Return a data set's id: MLflow's is one for all experiments that read the same data, ours is not."""
    return hashlib.md5(f"{experiment_id}/{name}".encode(), usedforsecurity=False).hexdigest()


def dataset_row(experiment_id: int, name: str, meta: dict[str, Any]) -> dict[str, Any]:
    """Return a data set's row."""
    return {
        "id": dataset_id_of(experiment_id, name),
        "experiment_id": experiment_id,
        "name": str(meta["name"]),
        "digest": str(meta["digest"]),
        "source_type": str(meta.get("source_type") or ""),
        "source": str(meta.get("source") or ""),
        "schema": meta.get("schema"),
        "profile": meta.get("profile"),
    }


def read_points(path: Path) -> Iterator[tuple[int, float, int, list[str]]]:
    """Yield time, value, step and what else a line of a metric says.

    Raises:
        Invalid: a line cannot be read.
    """
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fields = line.split(" ")
        if not line.strip():
            continue
        try:
            yield int(fields[0]), float(fields[1]), int(fields[2]) if len(fields) > 2 else 0, fields[3:]
        except (ValueError, IndexError):
            raise _unreadable(path, f"line {number}: {line[:60]!r}") from None


def value_of(value: float) -> dict[str, Any]:
    """Return the columns of a metric's value, with NaN and the infinities as MLflow's database has them."""
    if math.isnan(value):
        return {"value": 0.0, "is_nan": True}
    return {"value": max(-LARGEST, min(LARGEST, value)), "is_nan": False}


def _own(uri: str | None, usual: str) -> str | None:
    """Return an artifact location where it is not the usual place in the folder, whose files come along."""
    if uri is None:
        return None
    parts = urlsplit(uri)
    is_here = parts.scheme in {"", "file"} and unquote(parts.path).rstrip("/").endswith(f"/{usual}")
    return None if is_here else uri


def _moved(root: Path, source: str) -> str:
    """Return a version's source; a folder of a run or model that comes along is named where it lies then."""
    parts = urlsplit(source)
    found = _PLACE.search(unquote(parts.path)) if parts.scheme in {"", "file"} else None
    if found is None or not any((top / found[1] / found[2]).exists() for top in (root, root / ".trash")):
        return source
    return f"mlflow-artifacts:/{found[1]}/{found[2]}"


def read_pairs(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the keys and texts of a folder of parameters or tags.

    Raises:
        Invalid: a file is no text.
    """
    for key, path in list_files(folder):
        try:
            yield key, path.read_text(encoding="utf-8")
        except ValueError:
            raise _unreadable(path, "it is no text") from None


def list_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield every file below a folder with its path from there."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(folder).as_posix(), path


def list_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, by name; none where it is none."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())


def read_meta(folder: Path) -> dict[str, Any] | None:
    """Return a folder's record; None where there is none, as after a run that was only half made."""
    path = folder / META
    if not path.is_file():
        return None
    try:
        meta = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise _unreadable(path, str(error)) from None
    if not isinstance(meta, dict):
        raise _unreadable(path, "it is no mapping")
    return meta


def _unreadable(path: Path, reason: str) -> Invalid:
    return Invalid(
        f"{path} cannot be read: {reason}",
        code="store.bad_mlruns",
        hint="mend the file, or move its folder away, and import again: what is here already is passed over",
        path=str(path),
    )
