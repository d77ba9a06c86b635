"""What penstock.yaml says of a model is there: checked before a gate may pass without having asked for it."""

from __future__ import annotations

from pathlib import Path

from penstock.base.errors import Invalid
from penstock.data.formats.tables import column_names
from penstock.project.settings import ModelSettings


def require_stated(root: Path, settings: ModelSettings) -> None:
    """Check that the tables a model names can be read and have the columns it names.

    The champion's own version is compared with nothing, and a reference is read when a version is registered:
    without this a mistake would be told then, after the gate had passed.

    Raises:
        Invalid: a table or a column of it is not there.
    """
    for key, column_key in (("test", "label"), ("reference", "time")):
        table, column = getattr(settings, key), getattr(settings, column_key)
        if table is None:
            continue
        columns = column_names(root / table)
        if column is not None and column not in columns:
            raise Invalid(
                f"{table} has no column {column!r}, which penstock.yaml names as the model's `{column_key}`",
                code="gate.no_such_column",
                hint=f"its columns: {', '.join(columns[:20])}",
                column=column,
                table=table,
            )
