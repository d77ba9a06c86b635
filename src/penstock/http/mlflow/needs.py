"""What is needed to touch runs and logged models beside the one a request is about.

What does not exist needs nothing: the work refuses it.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from penstock.access.roles import Role
from penstock.http.mlflow.dispatch import Also
from penstock.tracking.logged_models import list_models
from penstock.tracking.runs import list_rows


def touch_runs(connection: sa.Connection, run_ids: Iterable[str], role: Role) -> list[Also]:
    """Return what is needed of the experiments of runs."""
    found = list_rows(connection, sorted({one for one in run_ids if one}))
    return _experiments((row.experiment_id for row in found), role)


def touch_models(connection: sa.Connection, model_ids: Iterable[str], role: Role) -> list[Also]:
    """Return what is needed of the experiments of logged models."""
    found = list_models(connection, sorted({one for one in model_ids if one}))
    return _experiments((model.experiment_id for model in found), role)


def _experiments(numbers: Iterable[int], role: Role) -> list[Also]:
    return [("experiment", str(number), role) for number in sorted(set(numbers))]
