"""Models and their versions as the pages and the API show them: with their aliases and verdicts."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from penstock.project.project import Project
from penstock.registry.aliases import list_aliases
from penstock.registry.entities import Alias, ModelVersion, Verdict
from penstock.registry.states import VersionState, find_rolled_back, list_rolled_back, same_rolled_back
from penstock.registry.verdicts import find_verdict
from penstock.registry.versions import count_versions, get_version, list_versions


class ModelView(msgspec.Struct, frozen=True, kw_only=True):
    """A registered model: its newest version and what its aliases point at."""

    name: str
    newest_version: int
    version_count: int
    aliases: dict[str, int]


class VersionView(msgspec.Struct, frozen=True, kw_only=True):
    """A model version, the aliases that point at it, and the newest verdict on its content.

    `rolled_back` is why it was rolled back, with the evidence; None when it is not.
    """

    version: ModelVersion
    aliases: tuple[str, ...]
    verdict: Verdict | None
    rolled_back: VersionState | None = None


def view_models(project: Project) -> list[ModelView]:
    """Return every model that has a version, by name."""
    with project.database.read() as connection:
        counts, aliases = count_versions(connection), list_aliases(connection)
    return [
        ModelView(
            name=one.model,
            newest_version=one.newest,
            version_count=one.total,
            aliases={alias.name: alias.version for alias in aliases if alias.model == one.model},
        )
        for one in counts
    ]


def view_version(project: Project, model: str, number: int) -> VersionView:
    """Return one version; by an old name of its model too.

    Raises:
        NotFound: there is none.
    """
    with project.database.read() as connection:
        version = get_version(connection, model, number)
        aliases = list_aliases(connection, version.model)
        return _view(connection, version, aliases, find_rolled_back(connection, version))


def view_versions(project: Project, limit: int, model: str | None = None) -> list[VersionView]:
    """Return the first `limit` versions by model, newest first; of one model where it is named."""
    with project.database.read() as connection:
        aliases, found = list_aliases(connection, model), list_rolled_back(connection, model)
        return [
            _view(connection, version, aliases, same_rolled_back(found, version))
            for version in list_versions(connection, model, limit=limit)
        ]


def _view(
    connection: sa.Connection, version: ModelVersion, aliases: list[Alias], rolled_back: VersionState | None
) -> VersionView:
    names = tuple(one.name for one in aliases if (one.model, one.version) == (version.model, version.number))
    return VersionView(
        version=version,
        aliases=names,
        verdict=find_verdict(connection, version.model, version.digest),
        rolled_back=rolled_back,
    )
