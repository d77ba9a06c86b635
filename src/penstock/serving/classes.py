"""The classes that served versions know, in the store, so that a label of another class is told from a class
that is rare. They come from the loaded model and are written once a revision.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from penstock.base.store.database import metadata, upsert

Classes = tuple[Any, ...]
served_classes = sa.Table(
    "served_classes",
    metadata,
    sa.Column("endpoint", sa.String(256), primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("classes", sa.LargeBinary, nullable=False),
)


class Served(msgspec.Struct, frozen=True):
    """A version under a revision of an endpoint; `revision` 0 where it was asked directly."""

    endpoint: str
    revision: int
    version: int


def add_classes(connection: sa.Connection, known: Mapping[Served, Classes]) -> None:
    """Write the classes of versions in the model's order; those that are there stay as they are."""
    rows = [
        {**msgspec.structs.asdict(one), "classes": msgspec.json.encode(classes)}
        for one, classes in known.items()
    ]
    if rows:
        connection.execute(upsert(connection.dialect.name, served_classes).on_conflict_do_nothing(), rows)


def classes_of(known: Mapping[Served, Classes], served: Served) -> Classes | None:
    """Return the classes of a version, where its own revision does not know them as another one does."""
    return known.get(served) or next(
        (
            found
            for one, found in known.items()
            if (one.endpoint, one.version) == (served.endpoint, served.version)
        ),
        None,
    )


def list_classes(connection: sa.Connection, endpoints: Collection[str]) -> dict[Served, Classes]:
    """Return the classes of all versions that these endpoints served, as far as they are known."""
    query = sa.select(served_classes).where(served_classes.c.endpoint.in_(sorted(endpoints)))
    return {
        Served(row.endpoint, row.revision, row.version): tuple(msgspec.json.decode(row.classes))
        for row in connection.execute(query)
    }
