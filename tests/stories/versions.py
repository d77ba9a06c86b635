"""Model versions made on the spot: good ones, and such as fail for a carrier that they have not seen."""

from __future__ import annotations

import shutil
from io import StringIO

import polars as pl
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import penstock
from penstock.flows.models.registering import register_model
from penstock.project.project import Project
from projects import rows


class Versions:
    """Registers versions of a sample project's model, each of another content."""

    def __init__(self, project: Project) -> None:
        self._project, self._count = project, 0
        self._table = pl.read_csv(StringIO(rows(400)))

    def make(self, *, good: bool) -> str:
        """Register another version and return its name; one that is not good fails on the carrier `AA`."""
        self._count += 1
        frame = self._table if good else self._table.filter(pl.col("carrier") != "AA")
        inputs = frame.select("hour", "wind", "carrier")
        encode = make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore" if good else "error"), ["carrier"]),
            remainder="passthrough",
        )
        model = make_pipeline(encode, LogisticRegression(C=1 + self._count / 1000, max_iter=1000))
        model.fit(inputs, frame["late"].to_numpy())
        path = f"models/made-{self._count}"
        penstock.save_model(model, str(self._project.root / path), inputs)
        version, is_new = register_model(self._project, path=path)
        shutil.rmtree(self._project.root / path)
        assert is_new
        return version.ref
