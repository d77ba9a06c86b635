"""What runs read and made: data sets as clients describe them, and links to logged models."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from penstock.base.store.database import upsert
from penstock.records.limits import limit_count, limit_length
from penstock.tracking.entities import Dataset, DatasetInput, ModelLink
from penstock.tracking.inputs import digests_of
from penstock.tracking.metrics import RunReference
from penstock.tracking.tables import datasets, run_datasets, run_inputs, run_models
from penstock.tracking.values import in_parts

CONTEXT_TAG = "mlflow.data.context"
# Statements are built once: building one costs three times as much as running it.
_DATASETS = (
    sa.select(run_datasets.c.run_id, run_datasets.c.tags, datasets)
    .join(datasets, datasets.c.id == run_datasets.c.dataset_id)
    .where(run_datasets.c.run_id.in_(sa.bindparam("run_ids", expanding=True)))
    .order_by(run_datasets.c.run_id, run_datasets.c.position, run_datasets.c.dataset_id)
)
_MODELS = (
    sa.select(run_models)
    .where(run_models.c.run_id.in_(sa.bindparam("run_ids", expanding=True)))
    .order_by(run_models.c.run_id, run_models.c.direction, run_models.c.position)
)
_LIMITS = {"name": 500, "digest": 36, "source": 65_535, "schema": 1_048_575, "profile": 16_777_215}


def check_input(one: DatasetInput) -> None:
    """Check that a data set can be kept.

    Raises:
        Invalid: a field is too long.
    """
    for name, limit in _LIMITS.items():
        limit_length(name, getattr(one.dataset, name) or "", limit)
    for key, value in one.tags:
        limit_length("key", key, 255)
        limit_length("value", value, 500)


def log_datasets(connection: sa.Connection, run: RunReference, inputs: Sequence[DatasetInput]) -> None:
    """Link a run to data sets, each kept once in its experiment; a link that is there stays as it is.

    Raises:
        Invalid: as `check_input`.
    """
    for path, digest in digests_of(inputs).items():
        row = {"run_id": run.id, "path": path, "digest": digest}
        connection.execute(upsert(connection.dialect.name, run_inputs).values(row).on_conflict_do_nothing())
    for position, one in enumerate(inputs, _next_position(connection, run.id)):
        check_input(one)
        connection.execute(
            upsert(connection.dialect.name, run_datasets)
            .values(
                run_id=run.id,
                dataset_id=_ensure_dataset(connection, run.experiment_id, one.dataset),
                position=position,
                context=dict(one.tags).get(CONTEXT_TAG),
                tags=[list(pair) for pair in one.tags],
            )
            .on_conflict_do_nothing()
        )


def _next_position(connection: sa.Connection, run_id: str) -> int:
    known = sa.select(sa.func.max(run_datasets.c.position)).where(run_datasets.c.run_id == run_id)
    last = connection.execute(known).scalar()
    return 0 if last is None else int(last) + 1


def link_models(connection: sa.Connection, run_id: str, links: Sequence[ModelLink]) -> None:
    """Link a run to logged models; a link that is there stays as it is."""
    for position, link in enumerate(links):
        connection.execute(
            upsert(connection.dialect.name, run_models)
            .values(
                run_id=run_id,
                model_id=link.model_id,
                direction=link.direction,
                step=link.step,
                position=position,
            )
            .on_conflict_do_nothing()
        )


def list_datasets(connection: sa.Connection, run_ids: Sequence[str]) -> dict[str, list[DatasetInput]]:
    """Return the data sets by run, in the order they were logged."""
    found: dict[str, list[DatasetInput]] = {}
    for part in in_parts(run_ids):
        for row in connection.execute(_DATASETS, {"run_ids": part}).mappings():
            one = DatasetInput(_dataset(row), tuple((key, value) for key, value in row["tags"]))
            found.setdefault(row["run_id"], []).append(one)
    return found


def list_models(connection: sa.Connection, run_ids: Sequence[str]) -> dict[str, list[ModelLink]]:
    """Return the links to logged models by run."""
    found: dict[str, list[ModelLink]] = {}
    for part in in_parts(run_ids):
        for row in connection.execute(_MODELS, {"run_ids": part}):
            found.setdefault(row.run_id, []).append(ModelLink(row.model_id, row.direction, row.step))
    return found


def list_dataset_names(connection: sa.Connection, experiment_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return experiment, name, digest and context of every data set in use, at most 1000.

    Raises:
        Invalid: there are too many experiments.
    """
    limit_count("experiment_ids", len(experiment_ids))
    query = (
        sa.select(datasets.c.experiment_id, datasets.c.name, datasets.c.digest, run_datasets.c.context)
        .join(run_datasets, run_datasets.c.dataset_id == datasets.c.id)
        .where(datasets.c.experiment_id.in_(experiment_ids))
        .distinct()
        .order_by(datasets.c.experiment_id, datasets.c.name, datasets.c.digest, run_datasets.c.context)
        .limit(1000)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def _ensure_dataset(connection: sa.Connection, experiment_id: int, dataset: Dataset) -> str:
    same = (
        datasets.c.experiment_id == experiment_id,
        datasets.c.name == dataset.name,
        datasets.c.digest == dataset.digest,
    )
    insert = upsert(connection.dialect.name, datasets).values(
        id=uuid.uuid4().hex,
        experiment_id=experiment_id,
        name=dataset.name,
        digest=dataset.digest,
        source_type=dataset.source_type[:36],
        source=dataset.source,
        schema=dataset.schema,
        profile=dataset.profile,
    )
    connection.execute(insert.on_conflict_do_nothing())
    return str(connection.execute(sa.select(datasets.c.id).where(*same)).scalar_one())


def _dataset(row: Any) -> Dataset:
    return Dataset(**{name: row[name] for name in Dataset.__struct_fields__})
