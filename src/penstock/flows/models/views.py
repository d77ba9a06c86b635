"""Models and their versions as the pages and the API show them: with their aliases and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa

from penstock.flows.models.evidence.holds import Hold, list_holds
from penstock.flows.models.evidence.standing import went_out_ms
from penstock.project.project import Project
from penstock.registry.aliases import list_aliases
from penstock.registry.entities import Alias, ModelVersion, Verdict
from penstock.registry.states import VersionState, list_rolled_back, same_rolled_back
from penstock.registry.verdicts import glance_verdicts
from penstock.registry.versions import (
    count_versions,
    get_version,
    list_newest,
    list_versions,
    load_versions,
)
from penstock.serving.deployments import list_endpoints


class ModelView(msgspec.Struct, frozen=True, kw_only=True):
    """A registered model: its newest version and what its aliases point at."""

    name: str
    newest_version: int
    version_count: int
    aliases: dict[str, int]


class VersionView(msgspec.Struct, frozen=True, kw_only=True):
    """A model version, the aliases that point at it, and its verdict.

    `verdict` is the one that it went out on at `went_out_ms`; of what is not out the newest on its content.
    `rolled_back` is why it was rolled back, with the evidence, `held` why CI did not release it; None when it is not so.
    """

    version: ModelVersion
    aliases: tuple[str, ...]
    verdict: Verdict | None
    rolled_back: VersionState | None = None
    held: Hold | None = None
    went_out_ms: int | None = None


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
        found = list_rolled_back(connection, version.model)
        return _views(connection, [version], aliases, found)[0]


def view_versions(project: Project, limit: int, model: str) -> list[VersionView]:
    """Return the first `limit` versions of a model, newest first."""
    with project.database.read() as connection:
        aliases, found = list_aliases(connection, model), list_rolled_back(connection, model)
        return _views(connection, list_versions(connection, model, limit=limit), aliases, found)


def view_newest(project: Project, each: int) -> list[VersionView]:
    """Return the newest `each` versions of every model, and those that an alias means or an endpoint serves, newest first."""
    with project.database.read() as connection:
        aliases, found = list_aliases(connection), list_rolled_back(connection)
        keys = {*list_newest(connection, each), *((one.model, one.version) for one in aliases)}
        keys |= {(one.model, number) for one in list_endpoints(connection) for number in one.answering}
        versions = load_versions(connection, keys)
        versions.sort(key=lambda one: (one.model, -one.number))
        return _views(connection, versions, aliases, found)


def _views(
    connection: sa.Connection,
    versions: Sequence[ModelVersion],
    aliases: list[Alias],
    rolled_back: Mapping[tuple[str, int], VersionState],
) -> list[VersionView]:
    held = list_holds(connection, versions)
    out = went_out_ms(connection, list({one.model for one in versions}))
    asked = {
        (one.model, one.number): (one.model, one.digest, out.get((one.model, one.number))) for one in versions
    }
    verdicts = glance_verdicts(connection, set(asked.values()))
    named: dict[tuple[str, int], list[str]] = {}
    for alias in aliases:
        named.setdefault((alias.model, alias.version), []).append(alias.name)
    return [
        VersionView(
            version=one,
            aliases=tuple(named.get((one.model, one.number), ())),
            verdict=verdicts.get(asked[one.model, one.number]),
            went_out_ms=out.get((one.model, one.number)),
            rolled_back=same_rolled_back(rolled_back, one),
            held=held.get((one.model, one.number)),
        )
        for one in versions
    ]
