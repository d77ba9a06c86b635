"""What MLflow has kept, as rows of Penstock's tables: the role, and the database of a server as one place.

The other place is the folder `mlruns`, in `mlflow_folder`.

Source: the schema of MLflow 3.17, `mlflow/store/tracking/dbmodels/models.py` and
`mlflow/store/model_registry/dbmodels/models.py`; tables and columns that an older one lacks are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa

from penstock.base.errors import NotFound
from penstock.base.store.database import connect
from penstock.registry import tables as registry
from penstock.tracking import tables as tracking
from penstock.tracking.logged_models import STATUSES

BATCH = 5000
_STATUS_NAMES = {number: name for name, number in STATUSES.items()}

_QUERIES: tuple[tuple[sa.Table, str], ...] = (
    (
        tracking.experiments,
        "SELECT experiment_id AS id, name, coalesce(creation_time, 0) AS created_ms, "
        "coalesce(last_update_time, 0) AS updated_ms, artifact_location AS artifact_uri, "
        "CASE WHEN lifecycle_stage = 'deleted' THEN coalesce(last_update_time, 0) END AS deleted_ms FROM experiments",
    ),
    (tracking.experiment_tags, "SELECT experiment_id, key, value FROM experiment_tags"),
    (
        tracking.runs,
        "SELECT run_uuid AS id, experiment_id, coalesce(name, run_uuid) AS name, status, start_time AS start_ms, "
        "end_time AS end_ms, coalesce(user_id, '') AS \"user\", artifact_uri, "
        "CASE WHEN lifecycle_stage = 'deleted' THEN coalesce(deleted_time, 0) END AS deleted_ms, "
        "nullif(source_version, '') AS \"commit\" FROM runs",
    ),
    (tracking.run_params, "SELECT run_uuid AS run_id, key, value FROM params"),
    (tracking.run_tags, "SELECT run_uuid AS run_id, key, coalesce(value, '') AS value FROM tags"),
    (
        tracking.run_metrics,
        "SELECT run_uuid AS run_id, key, step, timestamp AS time_ms, value, is_nan FROM metrics",
    ),
    (
        tracking.run_latest_metrics,
        "SELECT latest_metrics.run_uuid AS run_id, key, value, is_nan, step, timestamp AS time_ms, experiment_id "
        "FROM latest_metrics JOIN runs ON runs.run_uuid = latest_metrics.run_uuid",
    ),
    (
        tracking.datasets,
        "SELECT dataset_uuid AS id, experiment_id, name, digest, dataset_source_type AS source_type, "
        'dataset_source AS source, dataset_schema AS "schema", dataset_profile AS profile FROM datasets',
    ),
    (
        tracking.run_datasets,
        "SELECT destination_id AS run_id, source_id AS dataset_id, 0 AS position, "
        "(SELECT value FROM input_tags WHERE input_tags.input_uuid = inputs.input_uuid "
        "AND input_tags.name = 'mlflow.data.context') AS context, input_uuid FROM inputs "
        "WHERE source_type = 'DATASET' AND destination_type = 'RUN'",
    ),
    (
        tracking.logged_models,
        "SELECT model_id AS id, experiment_id, name, nullif(model_type, '') AS model_type, status, status_message, "
        "source_run_id, artifact_location AS artifact_uri, creation_timestamp_ms AS created_ms, "
        "last_updated_timestamp_ms AS updated_ms, "
        "CASE WHEN lifecycle_stage = 'deleted' THEN last_updated_timestamp_ms END AS deleted_ms FROM logged_models",
    ),
    (
        tracking.logged_model_params,
        "SELECT model_id, param_key AS key, param_value AS value FROM logged_model_params",
    ),
    (
        tracking.logged_model_tags,
        "SELECT model_id, tag_key AS key, tag_value AS value FROM logged_model_tags",
    ),
    (
        tracking.logged_model_metrics,
        "SELECT model_id, metric_name AS key, metric_timestamp_ms AS time_ms, metric_step AS step, run_id, "
        "coalesce(metric_value, 0) AS value, metric_value IS NULL AS is_nan, "
        "coalesce(dataset_name, '') AS dataset_name, coalesce(dataset_digest, '') AS dataset_digest "
        "FROM logged_model_metrics",
    ),
    (
        tracking.run_models,
        "SELECT source_id AS run_id, 'output' AS direction, destination_id AS model_id, step, 0 AS position "
        "FROM inputs WHERE source_type = 'RUN_OUTPUT' AND destination_type = 'MODEL_OUTPUT'",
    ),
    (
        registry.models,
        "SELECT name, coalesce(creation_time, 0) AS created_ms, coalesce(last_updated_time, 0) AS updated_ms, "
        "description FROM registered_models",
    ),
    (
        registry.model_tags,
        "SELECT name AS model, key, coalesce(value, '') AS value FROM registered_model_tags",
    ),
    (
        registry.versions,
        "SELECT name AS model, version AS number, coalesce(creation_time, 0) AS created_ms, "
        "coalesce(last_updated_time, 0) AS updated_ms, description, coalesce(user_id, 'mlflow') AS actor, "
        "coalesce(current_stage, 'None') AS stage, source, nullif(run_id, '') AS run_id, run_link "
        "FROM model_versions WHERE coalesce(current_stage, 'None') <> 'Deleted_Internal'",
    ),
    (
        registry.version_tags,
        "SELECT name AS model, version AS number, key, coalesce(value, '') AS value FROM model_version_tags",
    ),
    (registry.aliases, "SELECT name AS model, alias AS name, version FROM registered_model_aliases"),
)


Rows = tuple[sa.Table, list[dict[str, Any]]]


class MlflowSource(Protocol):
    """A place where MLflow has kept experiments, runs and models."""

    @property
    def name(self) -> str:
        """Where it is, without credentials."""
        ...

    def experiments(self) -> list[tuple[int, str]]:
        """Return the experiments' ids and names."""
        ...

    def rows(self) -> Iterator[Rows]:
        """Yield rows for Penstock's tables, in parts, those first that others refer to."""
        ...

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield the artifacts that lie beside the records, with their paths in the artifact proxy."""
        ...

    def close(self) -> None:
        """Release what is open."""
        ...


class DatabaseSource:
    """The database of an MLflow server; its artifacts lie elsewhere."""

    def __init__(self, url: str) -> None:
        self._database = connect(url, must_exist=True)
        self._open = ExitStack()
        self._open.callback(self._database.close)
        self._connection = self._open.enter_context(self._database.read())
        if not sa.inspect(self._connection).has_table("latest_metrics"):
            self.close()
            raise NotFound(
                f"{self.name} is not the database of an MLflow server",
                code="store.not_mlflow",
                hint="name what its --backend-store-uri says",
            )

    @property
    def name(self) -> str:
        """The database's URL."""
        return self._database.url

    def experiments(self) -> list[tuple[int, str]]:
        """Return the experiments' ids and names."""
        query = sa.text("SELECT experiment_id, name FROM experiments")
        return [(int(number), str(name)) for number, name in self._connection.execute(query)]

    def rows(self) -> Iterator[Rows]:
        """Yield rows for Penstock's tables."""
        return _read(self._connection)

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield nothing."""
        return iter(())

    def close(self) -> None:
        """Close the database."""
        self._open.close()


def _read(connection: sa.Connection) -> Iterator[Rows]:
    there = set(sa.inspect(connection).get_table_names())
    for table, query in _QUERIES:
        if not set(re.findall(r"\b(?:FROM|JOIN) (\w+)", query)) <= there:
            continue
        rows = connection.execution_options(yield_per=BATCH).execute(sa.text(query)).mappings()
        for part in rows.partitions(BATCH):
            yield table, [_row(connection, table, row) for row in part]


def _row(connection: sa.Connection, table: sa.Table, row: sa.RowMapping) -> dict[str, Any]:
    values = dict(row)
    if "is_nan" in values:
        values["is_nan"] = bool(values["is_nan"])
    if table is tracking.experiments:
        values["artifact_uri"] = _own(values["artifact_uri"], f"mlflow-artifacts:/{values['id']}")
    elif table is tracking.runs:
        root = f"mlflow-artifacts:/{values['experiment_id']}/{values['id']}/artifacts"
        values["artifact_uri"] = _own(values["artifact_uri"], root)
    elif table is tracking.logged_models:
        root = f"mlflow-artifacts:/{values['experiment_id']}/models/{values['id']}/artifacts"
        values["artifact_uri"] = _own(values["artifact_uri"], root)
        values["status"] = status_name(values["status"])
    elif table is tracking.run_datasets:
        query = sa.text("SELECT name, value FROM input_tags WHERE input_uuid = :input")
        tags = connection.execute(query, {"input": values.pop("input_uuid")})
        values["tags"] = [[name, value] for name, value in tags]
    return values


def status_name(status: Any) -> str:
    """Return the name of a logged model's status, which MLflow stores as a number."""
    return _STATUS_NAMES.get(status, "LOGGED_MODEL_READY")


def _own(uri: str | None, usual: str) -> str | None:
    """Return an artifact location where it is not the place that a server would have chosen."""
    return None if uri is None or uri.rstrip("/") == usual else uri
