"""Verdicts in the store: written once, found by exactly what they judged."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from penstock.base.errors import NotFound
from penstock.registry.entities import Verdict
from penstock.registry.tables import verdicts


def add_verdict(connection: sa.Connection, verdict: Verdict) -> None:
    """Write a verdict; it is never changed afterwards."""
    connection.execute(verdicts.insert().values(**msgspec.to_builtins(verdict)))


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
    """
    if not model_digest:
        return None
    query = sa.select(verdicts).where(verdicts.c.model == model, verdicts.c.model_digest == model_digest)
    if settings_digest is not None:
        query = query.where(verdicts.c.settings_digest == settings_digest)
    if until_ms is not None:
        query = query.where(verdicts.c.created_ms <= until_ms)
    row = connection.execute(query.order_by(verdicts.c.created_ms.desc()).limit(1)).mappings().first()
    return _verdict(row) if row else None


def get_verdict(connection: sa.Connection, verdict_id: str) -> Verdict:
    """Return a verdict by its id.

    Raises:
        NotFound: there is none.
    """
    row = connection.execute(sa.select(verdicts).where(verdicts.c.id == verdict_id)).mappings().first()
    if row is None:
        raise NotFound(
            f"there is no verdict {verdict_id!r}",
            code="registry.no_verdict",
            hint="penstock gate show MODEL/N",
        )
    return _verdict(row)


def _verdict(row: Any) -> Verdict:
    return msgspec.convert({str(key): value for key, value in row.items()}, Verdict)
