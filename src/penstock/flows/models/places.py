"""Where the folder of a model lies in the artifact proxy: of a logged model, or below a run.

What a request may name is checked in `http.mlflow.registry_sources`; this is for callers who own the store.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from penstock.base.errors import Invalid, Refused
from penstock.tracking.entities import LoggedModel, RunRow
from penstock.tracking.logged_models import READY, get_model
from penstock.tracking.runs import get_row
from penstock.tracking.tables import logged_model_tags, logged_models
from penstock.tracking.values import list_pairs

PROXY = "mlflow-artifacts:"


@dataclass(frozen=True)
class ModelPlace:
    """A model's folder below the prefix of the artifact proxy, and what is noted of it."""

    folder: str
    run_id: str | None
    model_id: str | None = None
    tags: tuple[tuple[str, str], ...] = ()


def place_of_model(connection: sa.Connection, model_id: str) -> ModelPlace:
    """Return where a logged model's files are.

    Raises:
        NotFound: there is no such model.
        Invalid: it was never finished.
        Refused: its files are at a place that needs its own client.
    """
    model = get_model(connection, model_id)
    if model.status != READY:
        raise Invalid(
            f"models:/{model_id} was never finished: its status is {model.status}",
            code="tracking.model_not_ready",
            hint="log it again",
        )
    return _place(connection, model)


def place_in_run(connection: sa.Connection, run_id: str, path: str) -> ModelPlace:
    """Return where the model is that a run logged under a name, or, without one, the folder of the run.

    Raises:
        NotFound: there is no such run.
        Refused: its files are at a place that needs its own client.
    """
    row = get_row(connection, run_id)
    columns = logged_models.c
    newest = (
        sa.select(columns.id)
        .where(columns.source_run_id == run_id, columns.name == path, columns.status == READY)
        .where(columns.deleted_ms.is_(None))
        .order_by(columns.created_ms.desc(), columns.id)
        .limit(1)
    )
    found = connection.execute(newest).scalar()
    if found is not None:
        return _place(connection, get_model(connection, found))
    return ModelPlace(f"{folder_of_run(row)}/{path}", run_id)


def folder_of_run(row: RunRow) -> str:
    """Return where a run's artifacts are, below the prefix of the artifact proxy.

    Raises:
        Refused: they are at a place that needs its own client.
    """
    uri = row.artifact_uri or _below(row.experiment_artifact_uri, f"{row.id}/artifacts")
    return _folder(uri, f"{row.experiment_id}/{row.id}/artifacts")


def _place(connection: sa.Connection, model: LoggedModel) -> ModelPlace:
    root = f"{model.experiment_id}/models/{model.id}/artifacts"
    uri = model.artifact_uri or _below(model.experiment_artifact_uri, f"models/{model.id}/artifacts")
    tags = list_pairs(connection, logged_model_tags, [model.id]).get(model.id, {})
    return ModelPlace(_folder(uri, root), model.source_run_id, model.id, tuple(tags.items()))


def _below(experiment_uri: str | None, path: str) -> str | None:
    return None if experiment_uri is None else f"{experiment_uri}/{path}"


def _folder(uri: str | None, usual: str) -> str:
    if uri is None:
        return usual
    if not uri.startswith(PROXY):
        raise Refused(
            f"the files lie in {uri}, which needs its own client",
            code="artifacts.elsewhere",
            hint="use an experiment whose artifacts are kept here",
        )
    return uri.removeprefix(PROXY).strip("/")
