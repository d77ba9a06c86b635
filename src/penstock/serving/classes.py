"""The classes that served versions know, in the store, so that a label of another class is told from a class
that is rare. They come from the loaded model and are written once a revision.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from penstock.base.store.database import metadata, upsert
from penstock.serving.deployments import endpoints, revisions

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


class KnownClasses(msgspec.Struct, frozen=True):
    """Classes of versions, and the model of each revision by its endpoint and number; of 0 it is the current one's."""

    classes: Mapping[Served, Classes] = {}
    models: Mapping[tuple[str, int], str] = {}

    def of(self, served: Served) -> Classes | None:
        """Return the classes of a version; where its revision does not know them, as another of the same model does."""
        own = self.classes.get(served)
        model = self.models.get((served.endpoint, served.revision))
        if own or model is None:
            return own
        return next(
            (
                found
                for one, found in self.classes.items()
                if (one.endpoint, one.version) == (served.endpoint, served.version)
                and one.revision
                and self.models.get((one.endpoint, one.revision)) == model
            ),
            None,
        )


def read_classes(connection: sa.Connection, names: Collection[str]) -> KnownClasses:
    """Return the classes of all versions that these endpoints served, and whose they are."""
    found = list_classes(connection, names)
    if not found:
        return KnownClasses()
    query = (
        sa.select(endpoints.c.name, endpoints.c.current_revision, revisions.c.number, revisions.c.model)
        .join(revisions, revisions.c.endpoint_id == endpoints.c.id)
        .where(endpoints.c.name.in_(sorted(names)))
    )
    models: dict[tuple[str, int], str] = {}
    for row in connection.execute(query):
        models[row.name, row.number] = row.model
        if row.number == row.current_revision:
            models[row.name, 0] = row.model
    return KnownClasses(found, models)


def list_classes(connection: sa.Connection, names: Collection[str]) -> dict[Served, Classes]:
    """Return the classes of all versions that these endpoints served, as far as they are known."""
    query = sa.select(served_classes).where(served_classes.c.endpoint.in_(sorted(names)))
    return {
        Served(row.endpoint, row.revision, row.version): tuple(msgspec.json.decode(row.classes))
        for row in connection.execute(query)
    }
