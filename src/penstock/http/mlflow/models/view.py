"""Registered models and versions as MLflow's wire shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from penstock.artifacts.files import VERSIONS
from penstock.http.mlflow.files.places import PROXY
from penstock.http.mlflow.wire import given
from penstock.registry.aliases import list_aliases
from penstock.registry.cards import latest_cards
from penstock.registry.entities import RegisteredModel, VersionCard


def show_version(card: VersionCard) -> dict[str, Any]:
    """Return a version as the wire has it."""
    return given(
        name=card.model,
        version=str(card.number),
        creation_timestamp=card.created_ms,
        last_updated_timestamp=card.updated_ms,
        user_id=card.actor,
        current_stage=card.stage,
        description=card.description or "",
        source=card.source or download_uri(card),
        run_id=card.run_id or "",
        run_link=card.run_link or "",
        status="READY",
        tags=_pairs(card.tags),
        aliases=list(card.aliases),
        model_id=card.logged_model_id,
    )


def show_models(connection: sa.Connection, found: Sequence[RegisteredModel]) -> list[dict[str, Any]]:
    """Return models with the newest version of each stage, in this order."""
    latest = latest_cards(connection, [model.name for model in found])
    aliases: dict[str, list[dict[str, str]]] = {}
    for alias in list_aliases(connection, found[0].name if len(found) == 1 else None):
        aliases.setdefault(alias.model, []).append({"alias": alias.name, "version": str(alias.version)})
    return [
        given(
            name=model.name,
            creation_timestamp=model.created_ms,
            last_updated_timestamp=model.updated_ms,
            description=model.description,
            latest_versions=[_without_aliases(card) for card in latest.get(model.name, ())],
            tags=_pairs(model.tags),
            aliases=aliases.get(model.name, []),
        )
        for model in found
    ]


def _without_aliases(card: VersionCard) -> dict[str, Any]:
    return {name: value for name, value in show_version(card).items() if name != "aliases"}


def download_uri(card: VersionCard) -> str:
    """Return where a client fetches a version's files: the checked ones, where the server keeps them."""
    if card.digest:
        return f"{PROXY}/{VERSIONS}/{card.digest}"
    return f"{PROXY}/{card.path}" if card.path else card.source or ""


def _pairs(pairs: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in pairs.items()]
