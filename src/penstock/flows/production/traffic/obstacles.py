"""Whether a version can be served again: that a rollback goes back to nothing which no process can load."""

from __future__ import annotations

import sqlalchemy as sa

from penstock.base.errors import NotFound, PenstockError
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion
from penstock.registry.versions import get_version
from penstock.storage.content import ContentStore


def find_obstacle(project: Project, model: str, number: int) -> PenstockError | None:
    """Return why a version cannot be served again: it was deleted, or files of it are gone; None where it can.

    What cannot be asked now counts as there: an object store that is away is no reason to stay with what is bad.
    """
    try:
        with project.database.read() as connection:
            version = get_version(connection, model, number)
    except NotFound as error:
        return error
    return _find_gone(project.artifacts, version)


def obstacle_among(
    connection: sa.Connection, artifacts: ContentStore | None, model: str, number: int
) -> PenstockError | None:
    """Return what `find_obstacle` does, for who reads the store already; without artifacts, whether it was deleted."""
    try:
        version = get_version(connection, model, number)
    except NotFound as error:
        return error
    return None if artifacts is None else _find_gone(artifacts, version)


def _find_gone(artifacts: ContentStore, version: ModelVersion) -> PenstockError | None:
    try:
        gone = [one.path for one in version.manifest.files if artifacts.size(one.sha256) is None]
    except PenstockError:
        return None
    if not gone:
        return None
    return NotFound(
        f"{version.ref} cannot be served again: its file {gone[0]} is not among the artifacts any more",
        code="serving.files_gone",
        hint="penstock deploy MODEL/VERSION sends out another version",
        version=version.ref,
        files=gone,
    )
