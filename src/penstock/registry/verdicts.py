"""Verdicts in the store: written once, found by exactly what they judged. Whether one is proof says `registry.proof`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa

from penstock.base.errors import Corrupt, NotFound
from penstock.registry.entities import Verdict
from penstock.registry.tables import models, verdicts

MAX_NAMES = 50
Asked = tuple[str, str, int | None]
"""A model, the digest of some content, and until when a verdict counts; None for ever."""


def add_verdict(connection: sa.Connection, verdict: Verdict) -> None:
    """Write a verdict; it is never changed afterwards."""
    connection.execute(verdicts.insert().values(**msgspec.to_builtins(verdict)))


def add_envelope(connection: sa.Connection, verdict: Verdict) -> bool:
    """Give a verdict that has none its signed statement; False where it has one or is gone."""
    query = verdicts.update().where(verdicts.c.id == verdict.id, verdicts.c.envelope.is_(None))
    return connection.execute(query.values(envelope=verdict.envelope)).rowcount == 1


def find_verdict(
    connection: sa.Connection,
    model: str,
    model_digest: str,
    settings_digest: str | None = None,
    *,
    until_ms: int | None = None,
) -> Verdict | None:
    """Return the newest verdict on exactly this content (under exactly these settings, until that time), or None.

    There is none on a version whose files are elsewhere, since nobody knows what they are.

    Raises:
        Corrupt: its row cannot be read.
    """
    if not model_digest:
        return None
    asked: dict[str, Any] = {"of_model": model, "of_digest": model_digest}
    if settings_digest is not None:
        asked["of_settings"] = settings_digest
    if until_ms is not None:
        asked["until_ms"] = until_ms
    query = _newest(settings_digest is not None, until_ms is not None)
    return next(_read(connection, query, asked), None)


def list_verdicts_on(connection: sa.Connection, model_digest: str) -> list[Verdict]:
    """Return all verdicts on some content, whatever its name was, newest first.

    Raises:
        Corrupt: a row cannot be read.
    """
    if not model_digest:
        return []
    query = sa.select(verdicts).where(verdicts.c.model_digest == model_digest)
    return list(_read(connection, query.order_by(verdicts.c.created_ms.desc())))


def glance_verdicts_on(connection: sa.Connection, model_digest: str) -> tuple[list[Verdict], list[str]]:
    """Return what `list_verdicts_on` does without the rows that cannot be read, and the ids of those: open no door on it."""
    if not model_digest:
        return [], []
    query = sa.select(verdicts.c.id).where(verdicts.c.model_digest == model_digest)
    found, unreadable = [], []
    for verdict_id in connection.execute(query.order_by(verdicts.c.created_ms.desc())).scalars().all():
        try:
            found.append(get_verdict(connection, verdict_id))
        except Corrupt:
            unreadable.append(verdict_id)
    return found, unreadable


def was_judged(connection: sa.Connection, model: str) -> bool:
    """Say whether a gate ever judged anything of a model."""
    query = sa.select(verdicts.c.id).where(verdicts.c.model == model).limit(1)
    return connection.execute(query).first() is not None


def glance_verdict(
    connection: sa.Connection,
    model: str,
    model_digest: str,
    settings_digest: str | None = None,
    *,
    until_ms: int | None = None,
) -> Verdict | None:
    """Return what `find_verdict` does, or None where its row cannot be read: to show it, never to open a door on it."""
    try:
        return find_verdict(connection, model, model_digest, settings_digest, until_ms=until_ms)
    except Corrupt:
        return None


def glance_verdicts(connection: sa.Connection, wanted: Collection[Asked]) -> dict[Asked, Verdict]:
    """Return what `glance_verdict` does for each of many; what has none, or one that cannot be read, is left out.

    Cost: two statements, however many are wanted.
    """
    columns = verdicts.c
    made = sa.select(columns.id, columns.model, columns.model_digest, columns.created_ms).where(
        columns.model.in_({model for model, _, _ in wanted}),
        columns.model_digest.in_({digest for _, digest, _ in wanted if digest}),
    )
    history: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for row in connection.execute(made.order_by(columns.created_ms)).all():
        history.setdefault((row.model, row.model_digest), []).append((row.created_ms, row.id))
    chosen: dict[Asked, str] = {}
    for one in wanted:
        model, digest, until_ms = one
        for created_ms, verdict_id in history.get((model, digest), ()):
            if until_ms is None or created_ms <= until_ms:
                chosen[one] = verdict_id
    found: dict[str, Verdict] = {}
    query = sa.select(verdicts).where(columns.id.in_(set(chosen.values())))
    try:
        found = {one.id: one for one in _read(connection, query)}
    except Corrupt:  # then each by itself: one that was changed hides no other
        return {
            one: verdict
            for one in wanted
            if (verdict := glance_verdict(connection, one[0], one[1], until_ms=one[2])) is not None
        }
    return {one: found[verdict_id] for one, verdict_id in chosen.items() if verdict_id in found}


def list_verdicts_since(
    connection: sa.Connection, model: str, model_digest: str, since_ms: int, limit: int
) -> list[Verdict]:
    """Return the newest verdicts on some content that were made after a time, newest first; none where a row cannot be read."""
    columns = verdicts.c
    query = sa.select(verdicts).where(
        columns.model == model, columns.model_digest == model_digest, columns.created_ms > since_ms
    )
    try:
        return list(_read(connection, query.order_by(columns.created_ms.desc()).limit(limit)))
    except Corrupt:
        return []


def get_verdict(connection: sa.Connection, verdict_id: str) -> Verdict:
    """Return a verdict by its id.

    Raises:
        NotFound: there is none.
        Corrupt: its row cannot be read.
    """
    found = next(_read(connection, sa.select(verdicts).where(verdicts.c.id == verdict_id)), None)
    if found is None:
        raise NotFound(
            f"there is no verdict {verdict_id!r}",
            code="registry.no_verdict",
            hint="penstock gate show MODEL/N",
        )
    return found


def list_verdict_ids(
    connection: sa.Connection, model: str | None = None, model_digest: str | None = None
) -> list[str]:
    """Return the ids of all verdicts, oldest first; of a model, or on some content."""
    query = sa.select(verdicts.c.id).order_by(verdicts.c.created_ms, verdicts.c.id)
    if model is not None:
        query = query.where(verdicts.c.model == model)
    if model_digest is not None:
        query = query.where(verdicts.c.model_digest == model_digest)
    return list(connection.execute(query).scalars())


def signed_until(connection: sa.Connection, until_ms: int) -> Iterator[str]:
    """Yield the signed statements of verdicts that were made until a time, oldest first."""
    query = sa.select(verdicts.c.envelope).where(
        verdicts.c.envelope.is_not(None), verdicts.c.created_ms <= until_ms
    )
    yield from connection.execute(query.order_by(verdicts.c.created_ms)).scalars()


def count_models_judged(connection: sa.Connection, digest: str, until_ms: int) -> int:
    """Return how many different models were judged until that time on data that have a digest, such as a held-out table."""
    query = sa.select(verdicts.c.model_digest, verdicts.c.data).where(
        verdicts.c.created_ms <= until_ms, sa.cast(verdicts.c.data, sa.Text).contains(digest, autoescape=True)
    )
    return len({row.model_digest for row in connection.execute(query) if digest in row.data.values()})


def was_called(connection: sa.Connection, old: str, new: str) -> bool:
    """Say whether the model `new` had the name `old` before."""
    name: str | None = old
    for _ in range(MAX_NAMES):
        name = connection.execute(sa.select(models.c.moved_to).where(models.c.name == name)).scalar()
        if name is None or name == new:
            return name == new
    return False


@cache
def _newest(has_settings: bool, has_end: bool) -> sa.Select[Any]:
    columns = verdicts.c
    query = sa.select(verdicts).where(
        columns.model == sa.bindparam("of_model"), columns.model_digest == sa.bindparam("of_digest")
    )
    if has_settings:
        query = query.where(columns.settings_digest == sa.bindparam("of_settings"))
    if has_end:
        query = query.where(columns.created_ms <= sa.bindparam("until_ms"))
    return query.order_by(columns.created_ms.desc()).limit(1)


def _read(
    connection: sa.Connection, query: sa.Select[Any], asked: dict[str, Any] | None = None
) -> Iterator[Verdict]:
    try:
        for row in connection.execute(query, asked).mappings():
            yield msgspec.convert({str(key): value for key, value in row.items()}, Verdict)
    except (ValueError, msgspec.ValidationError) as error:
        raise Corrupt(
            f"a verdict in the store was changed and cannot be read: {error}",
            code="gate.verdict_damaged",
            hint="penstock model verify tells which; penstock gate run MODEL/N judges anew",
        ) from None
