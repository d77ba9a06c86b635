"""Take models and versions away or give them another name, unless an endpoint serves them."""

from __future__ import annotations

import sqlalchemy as sa

from penstock.access.grants import rename_resource
from penstock.base.errors import Conflict
from penstock.flows.models.aliases import AliasPolicy, drop_aliases, require_free
from penstock.registry import models, versions
from penstock.registry.aliases import list_aliases
from penstock.registry.cards import get_card
from penstock.registry.entities import RegisteredModel
from penstock.registry.references import list_numbers
from penstock.serving.deployments import list_endpoints, rename_served


def rename_model(
    connection: sa.Connection, policy: AliasPolicy, name: str, new_name: str, actor: str
) -> RegisteredModel:
    """Give a model another name; everything it has follows, the grants on it and what revisions call it.

    Raises:
        NotFound: there is no such model.
        Conflict: an endpoint serves it, or the new name is or was another model's.
        Refused: a protected alias points at one of its versions: who follows it would find nothing.
        Invalid: the new name cannot be one.
    """
    models.get_model(connection, name)
    if new_name != name:
        _require_unserved(connection, name, None)
        for alias in list_aliases(connection, name):
            require_free(connection, policy, alias)
    renamed = models.rename_model(connection, name, new_name, actor)
    if new_name != name:
        rename_served(connection, name, new_name, list_numbers(connection, new_name))
        rename_resource(connection, "model", name, new_name)
    return renamed


def delete_model(connection: sa.Connection, policy: AliasPolicy, name: str, actor: str) -> None:
    """Take a model away with its aliases and versions; rows and files stay until a purge.

    Raises:
        NotFound: there is no such model.
        Conflict: an endpoint serves it.
        Refused: a protected alias points at one of its versions.
    """
    models.get_model(connection, name)
    _require_unserved(connection, name, None)
    drop_aliases(connection, policy, actor, model=name)
    models.delete_model(connection, name, actor)


def delete_version(
    connection: sa.Connection, policy: AliasPolicy, name: str, number: int, actor: str
) -> None:
    """Take a version away with its aliases; its number is not given again.

    Raises:
        NotFound: there is no such version.
        Conflict: an endpoint serves it.
        Refused: a protected alias points at it.
    """
    card = get_card(connection, name, number)
    _require_unserved(connection, name, number)
    drop_aliases(connection, policy, actor, model=name, version=number)
    versions.delete_version(connection, card, actor)


def _require_unserved(connection: sa.Connection, model: str, number: int | None) -> None:
    for revision in list_endpoints(connection):
        if revision.model == model and (number is None or number in revision.versions):
            what = model if number is None else f"{model}/{number}"
            raise Conflict(
                f"endpoint {revision.endpoint} serves {what}",
                code="registry.model_served",
                hint=f"deploy another model to {revision.endpoint} first",
                endpoint=revision.endpoint,
            )
