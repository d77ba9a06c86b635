"""Runs as MLflow's wire shows them, many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from penstock.http.mlflow.files.places import run_root
from penstock.http.mlflow.wire import given
from penstock.tracking.datasets import list_datasets, list_models
from penstock.tracking.entities import DatasetInput, ModelLink, RunRow
from penstock.tracking.metrics import Stored, list_latest
from penstock.tracking.runs import list_rows
from penstock.tracking.tables import run_params, run_tags
from penstock.tracking.values import list_pairs


def show_info(row: RunRow) -> dict[str, Any]:
    """Return a run's own row as the wire has it."""
    return given(
        run_uuid=row.id,
        experiment_id=str(row.experiment_id),
        run_name=row.name,
        user_id=row.user,
        status=row.status,
        start_time=row.start_ms,
        end_time=row.end_ms,
        artifact_uri=run_root(row.experiment_id, row.experiment_artifact_uri, row.id, row.artifact_uri),
        lifecycle_stage="active" if row.deleted_ms is None else "deleted",
        run_id=row.id,
    )


def show_runs(connection: sa.Connection, run_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return runs with everything that was logged to them, in this order."""
    rows = list_rows(connection, run_ids)
    params, tags = (list_pairs(connection, table, run_ids) for table in (run_params, run_tags))
    metrics = list_latest(connection, run_ids)
    datasets, models = list_datasets(connection, run_ids), list_models(connection, run_ids)
    return [
        {
            "info": show_info(row),
            "data": given(
                metrics=[_metric(point) for point in metrics.get(row.id, ())],
                params=_pairs(params.get(row.id)),
                tags=_pairs(tags.get(row.id)),
            ),
            "inputs": given(
                dataset_inputs=[show_dataset(one) for one in datasets.get(row.id, ())],
                model_inputs=[
                    {"model_id": link.model_id}
                    for link in models.get(row.id, ())
                    if link.direction == "input"
                ],
            ),
            "outputs": given(
                model_outputs=[_output(link) for link in models.get(row.id, ()) if link.direction == "output"]
            ),
        }
        for row in rows
    ]


def show_dataset(one: DatasetInput) -> dict[str, Any]:
    """Return a data set with its tags as the wire has it."""
    data = one.dataset
    return given(
        tags=[{"key": key, "value": value} for key, value in one.tags],
        dataset=given(
            name=data.name,
            digest=data.digest,
            source_type=data.source_type,
            source=data.source,
            schema=data.schema,
            profile=data.profile,
        ),
    )


def _pairs(pairs: dict[str, str] | None) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in (pairs or {}).items()]


def _output(link: ModelLink) -> dict[str, Any]:
    return {"model_id": link.model_id, "step": link.step or 0}


def _metric(point: Stored) -> dict[str, Any]:
    key, value, time_ms, step, is_nan = point
    return {"key": key, "value": "NaN" if is_nan else value, "timestamp": time_ms, "step": step}
