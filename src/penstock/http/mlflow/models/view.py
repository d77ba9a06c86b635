"""Registered models and versions as MLflow's wire shows them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from penstock.artifacts.files import VERSIONS
from penstock.base.errors import NotFound
from penstock.http.mlflow.files.places import PROXY
from penstock.http.mlflow.wire import given
from penstock.registry.aliases import list_aliases
from penstock.registry.cards import latest_cards
from penstock.registry.entities import RegisteredModel, VersionCard
from penstock.registry.versions import get_version

MAX_COPIES = 100
_ORIGIN = re.compile(r"models:/([^/@]+)/(\d{1,9})\Z")


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
            latest_versions=[show_version(card) for card in latest.get(model.name, ())],
            tags=_pairs(model.tags),
            aliases=aliases.get(model.name, []),
        )
        for model in found
    ]


def download_uri(card: VersionCard) -> str:
    """Return where a client fetches a version's files: the checked ones, where the server keeps them."""
    if card.digest:
        return f"{PROXY}/{VERSIONS}/{card.digest}"
    return f"{PROXY}/{card.path}" if card.path else card.source or ""


def resolve_uri(connection: sa.Connection, card: VersionCard) -> str:
    """Return where a client fetches a version's files; of a copy, where those of its origin are."""
    uri = download_uri(card)
    for _ in range(MAX_COPIES):
        found = _ORIGIN.match(uri)
        if found is None:
            break
        try:
            origin = get_version(connection, found[1], int(found[2]), deleted=True)
        except NotFound:
            break
        uri = f"{PROXY}/{VERSIONS}/{origin.digest}" if origin.digest else origin.source or uri
    return uri


def _pairs(pairs: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in pairs.items()]
