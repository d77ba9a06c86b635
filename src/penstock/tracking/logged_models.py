"""Logged models in the store: model folders that clients upload, with parameters, tags and metrics.

A model is pending until its client says that every file is there; only then is it ready, and fixed.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import Invalid, NotFound
from penstock.base.store.database import upsert
from penstock.records.limits import invalid_value
from penstock.tracking.entities import LoggedModel
from penstock.tracking.experiments import require_active
from penstock.tracking.tables import (
    experiments,
    logged_model_metrics,
    logged_model_params,
    logged_model_tags,
    logged_models,
)
from penstock.tracking.values import in_parts

PENDING, READY, FAILED = "LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED"
STATUSES = {PENDING: 1, READY: 2, FAILED: 3}
VERSIONS_TAG = "mlflow.modelVersions"
FORBIDDEN_IN_NAMES = ("/", ":", ".", "%", '"', "'")


def new_model_id() -> str:
    """Return a fresh id: `m-` and 32 hexadecimal digits, as MLflow's."""
    return f"m-{uuid.uuid4().hex}"


def create_model(connection: sa.Connection, model: LoggedModel) -> None:
    """Write a new model's row.

    Raises:
        NotFound: there is no such experiment.
        Invalid: the experiment is deleted, or the name cannot be one.
    """
    require_active(connection, model.experiment_id)
    if not model.name or any(character in model.name for character in FORBIDDEN_IN_NAMES):
        raise Invalid(
            f"Invalid model name ({model.name!r}) provided. Model name must be a non-empty string and cannot "
            f"contain the following characters: {FORBIDDEN_IN_NAMES}",
            code="tracking.bad_name",
        )
    names = [name for name in LoggedModel.__struct_fields__ if name != "experiment_artifact_uri"]
    connection.execute(logged_models.insert().values(**{name: getattr(model, name) for name in names}))


def get_model(connection: sa.Connection, model_id: str) -> LoggedModel:
    """Return a model that is not deleted.

    Raises:
        NotFound: there is none.
    """
    found = list_models(connection, [model_id])
    if not found or found[0].deleted_ms is not None:
        raise _no_model(model_id)
    return found[0]


def list_models(connection: sa.Connection, model_ids: Sequence[str]) -> list[LoggedModel]:
    """Return the models of these ids in this order, deleted ones too; unknown ones are left out."""
    found: dict[str, LoggedModel] = {}
    for part in in_parts(model_ids):
        query = (
            sa.select(logged_models, experiments.c.artifact_uri.label("experiment_artifact_uri"))
            .join(experiments)
            .where(logged_models.c.id.in_(part))
        )
        for row in connection.execute(query).mappings():
            found[row["id"]] = LoggedModel(**{name: row[name] for name in LoggedModel.__struct_fields__})
    return [found[model_id] for model_id in model_ids if model_id in found]


def finish_model(
    connection: sa.Connection, model_id: str, status: str | int | None, message: str | None = None
) -> None:
    """Say that every file of a model is there, or that the upload failed.

    Raises:
        NotFound: there is no such model.
        Invalid: there is no such status.
    """
    get_model(connection, model_id)
    name = next((name for name, number in STATUSES.items() if str(status) in {name, str(number)}), None)
    if name is None:
        raise invalid_value("status", status, f"one of {', '.join(STATUSES)}")
    _update(connection, model_id, status=name, status_message=message)


def delete_model(connection: sa.Connection, model_id: str) -> None:
    """Take a model away; its files stay until a purge.

    Raises:
        NotFound: there is none.
    """
    get_model(connection, model_id)
    _update(connection, model_id, deleted_ms=now_ms())


def set_model_tags(connection: sa.Connection, model_id: str, tags: Mapping[str, str]) -> None:
    """Set tags, replacing those of the same name.

    Raises:
        NotFound: there is no such model.
    """
    get_model(connection, model_id)
    if tags:
        insert = upsert(connection.dialect.name, logged_model_tags)
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=["model_id", "key"], set_={"value": insert.excluded.value}
            ),
            [{"model_id": model_id, "key": key, "value": value} for key, value in tags.items()],
        )
        _update(connection, model_id)


def delete_model_tag(connection: sa.Connection, model_id: str, key: str) -> None:
    """Take a tag away.

    Raises:
        NotFound: there is no such model or tag.
    """
    get_model(connection, model_id)
    tags = logged_model_tags.c
    done = connection.execute(logged_model_tags.delete().where(tags.model_id == model_id, tags.key == key))
    if not done.rowcount:
        raise NotFound(
            f"No tag with key '{key}' found for model with ID '{model_id}'.", code="tracking.no_tag"
        )
    _update(connection, model_id)


def log_model_params(connection: sa.Connection, model_id: str, params: Mapping[str, str]) -> None:
    """Add parameters; one that is there keeps its value.

    Raises:
        NotFound: there is no such model.
    """
    get_model(connection, model_id)
    if params:
        connection.execute(
            upsert(connection.dialect.name, logged_model_params).on_conflict_do_nothing(),
            [{"model_id": model_id, "key": key, "value": value} for key, value in params.items()],
        )


def list_model_metrics(connection: sa.Connection, model_ids: Sequence[str]) -> dict[str, list[Any]]:
    """Return every point by model, in order of key, time, step, run and data set."""
    found: dict[str, list[Any]] = {}
    for part in in_parts(model_ids):
        query = (
            sa.select(logged_model_metrics)
            .where(logged_model_metrics.c.model_id.in_(part))
            .order_by(*logged_model_metrics.primary_key.columns)
        )
        for row in connection.execute(query):
            found.setdefault(row.model_id, []).append(row)
    return found


def _update(connection: sa.Connection, model_id: str, **values: Any) -> None:
    connection.execute(
        logged_models.update().where(logged_models.c.id == model_id).values(updated_ms=now_ms(), **values)
    )


def _no_model(model_id: str) -> NotFound:
    return NotFound(f"Logged model with ID '{model_id}' not found.", code="tracking.no_model", model=model_id)
