"""Where what an endpoint serves does not agree with what is said elsewhere: its alias, or a rollback of its version."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import msgspec
import sqlalchemy as sa

from penstock.monitoring.policies import policy_or_none_yet
from penstock.registry.aliases import list_aliases
from penstock.registry.states import list_rolled_back
from penstock.serving.deployments import Revision, list_endpoints


def notes_of(connection: sa.Connection, revisions: Sequence[Revision]) -> dict[str, tuple[str, ...]]:
    """Return what does not agree with what endpoints serve, in words, by endpoint; nothing for the most.

    An endpoint is declared with an alias where its policy says so: what stands in penstock.yaml when it is deployed.
    """
    declared_by = _declared(connection, revisions)
    aliases = {(one.model, one.name): one.version for one in list_aliases(connection)}
    marked = list_rolled_back(connection) if revisions else {}
    found: dict[str, tuple[str, ...]] = {}
    for one in revisions:
        declared = declared_by.get(one.endpoint)
        notes = []
        if declared is not None and (number := aliases.get(declared)) is not None:
            notes += _strays(one, declared, number)
        for version in one.answering:
            mark = marked.get((one.model, version))
            if mark is not None and mark.endpoint not in ("", one.endpoint):
                notes.append(
                    f"{mark.ref}, which it serves, was rolled back on {mark.endpoint} by {mark.actor}: {mark.reason}"
                )
        if notes:
            found[one.endpoint] = tuple(notes)
    return found


def strays_from(connection: sa.Connection, alias: tuple[str, str], number: int) -> list[str]:
    """Say which endpoints are declared with an alias and serve another version than it points at, or will.

    Args:
        alias: the model and the name.
        number: the version it points at, or will.
    """
    revisions = list_endpoints(connection)
    declared = _declared(connection, revisions)
    return [
        f"endpoint {one.endpoint}: {words}"
        for one in revisions
        if declared.get(one.endpoint) == alias
        for words in _strays(one, alias, number)
    ]


def _declared(connection: sa.Connection, revisions: Sequence[Revision]) -> dict[str, tuple[str, str]]:
    """Return the alias that endpoints are declared with; a policy that cannot be read declares none."""
    found = {}
    for one in revisions:
        with suppress(msgspec.ValidationError, ValueError):
            alias = policy_or_none_yet(connection, one.endpoint, one.model).settings.alias
            if alias is not None:
                found[one.endpoint] = alias
    return found


def _strays(revision: Revision, alias: tuple[str, str], number: int) -> list[str]:
    if (revision.model, number) in ((revision.model, one) for one in revision.answering) and alias[
        0
    ] == revision.model:
        return []
    name = "@".join(alias)
    return [
        f"it is declared with {name}, which is {alias[0]}/{number}, and serves {revision.model}/{revision.stable}: "
        f"penstock deploy {revision.endpoint} --model {name}"
    ]


def serving_elsewhere(connection: sa.Connection, endpoint: str, model: str, number: int) -> list[str]:
    """Return the other endpoints on which a version is stable."""
    return [
        one.endpoint
        for one in list_endpoints(connection)
        if one.endpoint != endpoint and (one.model, one.stable) == (model, number)
    ]
