"""What people note on a version: description, stage, tags. Its content stays what it is.

Everything runs in the caller's transaction and writes its event there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import Invalid
from penstock.base.store.database import upsert
from penstock.base.store.events import record_event
from penstock.records.limits import check_key
from penstock.registry.cards import get_card
from penstock.registry.entities import VersionCard
from penstock.registry.models import touch
from penstock.registry.names import check_tag
from penstock.registry.tables import version_tags, versions
from penstock.registry.webhooks import announce

STAGES = ("None", "Staging", "Production", "Archived")
ACTIVE_STAGES = ("Staging", "Production")


def describe_version(
    connection: sa.Connection, model: str, number: int, description: str | None, actor: str
) -> VersionCard:
    """Set a version's description.

    Raises:
        NotFound: there is none.
    """
    before = get_card(connection, model, number)
    _update(connection, model, number, description=description, updated_ms=now_ms())
    record_event(
        connection,
        "model.described",
        f"model:{model}/{number}",
        actor,
        f"{model}/{number} was described",
        before={"description": before.description},
        after={"description": description},
    )
    return get_card(connection, model, number)


def parse_stage(text: str) -> str:
    """Return a stage by its name in any case.

    Raises:
        Invalid: there is none of this name.
    """
    stage = next((one for one in STAGES if one.lower() == text.lower()), None)
    if stage is None:
        raise Invalid(
            f"Invalid Model Version stage: {text}. Value must be one of {', '.join(STAGES)}.",
            code="registry.bad_stage",
        )
    return stage


def move_stage(
    connection: sa.Connection, card: VersionCard, stage: str, actor: str, *, archive: bool = False
) -> VersionCard:
    """Put a version into a stage; with `archive`, what was in it goes to Archived.

    Raises:
        Invalid: there is no such stage, or it is none that others are archived for.
    """
    target = parse_stage(stage)
    if archive and target not in ACTIVE_STAGES:
        raise Invalid(
            "Model version transition cannot archive existing model versions because "
            f"'{stage}' is not an Active stage. Valid stages are {list(ACTIVE_STAGES)}",
            code="registry.bad_stage",
        )
    time_ms = now_ms()
    if archive:
        connection.execute(
            versions.update()
            .where(versions.c.model == card.model, versions.c.number != card.number)
            .where(versions.c.stage == target, versions.c.deleted_ms.is_(None))
            .values(stage="Archived", updated_ms=time_ms)
        )
    _update(connection, card.model, card.number, stage=target, updated_ms=time_ms)
    touch(connection, card.model, time_ms)
    record_event(
        connection,
        "model.stage_moved",
        f"model:{card.model}/{card.number}",
        actor,
        f"{card.model}/{card.number} is in stage {target}",
        before={"stage": card.stage},
        after={"stage": target, "archived_others": archive},
    )
    return get_card(connection, card.model, card.number)


def set_version_tag(connection: sa.Connection, card: VersionCard, key: str, value: str, actor: str) -> None:
    """Set a tag, replacing its value.

    Raises:
        Invalid: key or value cannot be such.
    """
    check_tag(key, value)
    write_tags(connection, card.model, card.number, {key: value})
    record_event(
        connection,
        "model.tag_set",
        f"model:{card.model}/{card.number}",
        actor,
        f"{card.model}/{card.number} has the tag {key}",
        before={key: card.tags.get(key)},
        after={key: value},
    )
    names = {"name": card.model, "version": str(card.number), "key": key}
    announce(connection, "model_version_tag.set", {**names, "value": value})


def delete_version_tag(connection: sa.Connection, card: VersionCard, key: str, actor: str) -> None:
    """Take a tag away; one that is not there is away already."""
    check_key(key)
    if key not in card.tags:
        return
    its = version_tags.c
    connection.execute(
        version_tags.delete().where(its.model == card.model, its.number == card.number, its.key == key)
    )
    record_event(
        connection,
        "model.tag_deleted",
        f"model:{card.model}/{card.number}",
        actor,
        f"{card.model}/{card.number} has the tag {key} no more",
        before={key: card.tags[key]},
    )
    names = {"name": card.model, "version": str(card.number), "key": key}
    announce(connection, "model_version_tag.deleted", names)


def write_tags(connection: sa.Connection, model: str, number: int, tags: Mapping[str, str]) -> None:
    """Set tags without an event; the caller's says them."""
    if not tags:
        return
    insert = upsert(connection.dialect.name, version_tags)
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=["model", "number", "key"], set_={"value": insert.excluded.value}
        ),
        [{"model": model, "number": number, "key": key, "value": value} for key, value in tags.items()],
    )


def _update(connection: sa.Connection, model: str, number: int, **values: Any) -> None:
    connection.execute(
        versions.update().where(versions.c.model == model, versions.c.number == number).values(**values)
    )
