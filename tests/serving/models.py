"""Small real models for the serving tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from penstock.base.errors import NotFound
from penstock.base.store.database import Database
from penstock.records.signature import Column, Signature
from penstock.serving.deployments import Canary, Revision, RevisionDraft, append_revision, find_revision
from penstock.serving.loaders import ModelFiles
from penstock.serving.loaders.quick_skops import import_skops

SIGNATURE = Signature(
    inputs=(
        Column("hour", "INT64"),
        Column("distance", "FP64"),
        Column("carrier", "BYTES"),
        Column("wind", "FP64", False),
    ),
    outputs=(Column("prediction", "INT64"), Column("probability", "FP64")),
)


def save_model(folder: Path, version: int, *, seed: int = 0, name: str = "flight-delay") -> ModelFiles:
    """Train a tiny classifier of late flights and save it as a skops file."""
    rng = np.random.default_rng(seed)
    rows = 400
    table = pl.DataFrame(
        {
            "hour": rng.integers(0, 24, rows),
            "distance": rng.normal(1000, 300, rows),
            "carrier": rng.choice(["AA", "UA", "DL"], rows),
            "wind": rng.normal(10, 3, rows),
        }
    )
    late = (table["hour"].to_numpy() + rng.normal(0, 4, rows) > 14).astype(int)
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
        ("passthrough", ["hour", "distance"]),
        ("drop", ["wind"]),
    )
    model = make_pipeline(encode, LogisticRegression(max_iter=2000)).fit(table, late)
    path = folder / f"{name}-{version}"
    path.mkdir(parents=True, exist_ok=True)
    import_skops().dump(model, path / "model.skops")
    return files_of(folder, version, seed=seed, name=name)


def files_of(folder: Path, version: int, *, seed: int = 0, name: str = "flight-delay") -> ModelFiles:
    """Name the files of a version that was saved before."""
    return ModelFiles(
        path=folder / f"{name}-{version}",
        name=name,
        version=version,
        digest=f"{name}-{version}-{seed}",
        flavour="sklearn",
        options={"pickled_model": "model.skops", "serialization_format": "skops"},
        signature=SIGNATURE,
        example={"hour": [5, 20], "distance": [900.0, 1200.0], "carrier": ["AA", "ZZ"]},
    )


class FolderSource:
    """A model source over files made in a test."""

    def __init__(self, *files: ModelFiles) -> None:
        self.files = {(one.name, one.version): one for one in files}

    def add(self, files: ModelFiles) -> None:
        """Add one version."""
        self.files[files.name, files.version] = files

    def edges(self, model: str, version: int) -> dict[str, np.ndarray]:
        return {}

    def admit(self, model: str, version: int, new: tuple[str, int] | None) -> str:
        """Let any version answer."""
        return ""

    def allow(self, model: str, version: int) -> None:
        """Let any version be asked for that there is."""
        self.fetch(model, version)

    def fetch(self, model: str, version: int) -> ModelFiles:
        """Return a version's files."""
        found = self.files.get((model, version))
        if found is None:
            raise NotFound(f"there is no {model} version {version}", code="registry.version_unknown")
        return found


def deploy(database: Database, endpoint: str, stable: int, **values: Any) -> Revision:
    """Append a revision on the current one."""
    canary = values.pop("canary", None)
    draft = RevisionDraft(
        model=values.pop("model", "flight-delay"),
        stable=stable,
        canary=Canary(*canary) if canary else None,
        actor="person:test",
        reason="test",
        **values,
    )
    with database.write() as connection:
        current = find_revision(connection, endpoint)
        return append_revision(connection, endpoint, draft, expected=current.number if current else None)


def request_body(rows: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a JSON inference request."""
    inputs: dict[str, dict[str, Any]] = {
        "hour": {"datatype": "INT64", "data": [18] * rows},
        "distance": {"datatype": "FP64", "data": [1000.0] * rows},
        "carrier": {"datatype": "BYTES", "data": ["AA"] * rows},
    }
    for name, change in changes.items():
        inputs[name] = {**inputs.get(name, {}), **change}
    return {"inputs": [{"name": name, "shape": [rows], **one} for name, one in inputs.items()]}
