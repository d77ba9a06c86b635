"""Whether what a prediction was asked about is far from the reference of its version, and in which columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.base.errors import PenstockError
from penstock.base.numbers import counted
from penstock.monitoring.profile import Profile
from penstock.monitoring.rowwise.outliers import OutlierModel, outliers_of
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion
from penstock.serving.matching import iterate_columns
from penstock.serving.predictions.encoding import decode_columns
from penstock.serving.predictions.stored import Prediction

TOLD = 3
"""So many columns, and so many rows, are named."""


def outlier_details(project: Project, version: ModelVersion, kept: Sequence[Prediction]) -> dict[str, Any]:
    """Return under `outlier` what there is to say; nothing where the features or the reference are not known."""
    stored = next((one for one in kept if one.features is not None and one.version == version.number), None)
    if stored is None or stored.features is None or version.profile_digest is None:
        return {}
    try:
        model = outliers_of(project.artifacts.load(version.profile_digest, Profile.from_bytes))
        columns = dict(iterate_columns(decode_columns(stored.features)))
    except PenstockError:
        return {}
    return {} if model is None else {"outlier": describe(model, columns, stored.row_count)}


def describe(model: OutlierModel, columns: dict[str, Any], row_count: int) -> str:
    """Say which rows are outliers and what makes them so."""
    rows = [int(row) for row in model.is_outlier(columns, row_count).nonzero()[0]]
    share = f"{1 - model.expected:.1%} of the reference's rows"
    if not rows:
        return f"no: it is within the distance of {share}"
    told = []
    for row in rows[:TOLD]:
        parts = model.farthest(columns, row, row_count)[:TOLD]
        named = ", ".join(f"{name} ({part:.0%})" for name, part in parts)
        told.append(f"mostly in {named}" if row_count == 1 else f"row {row} mostly in {named}")
    more = f" and {counted(len(rows) - TOLD, 'row')} more" if len(rows) > TOLD else ""
    return f"yes: farther than {share}, {'; '.join(told)}{more}"
