"""Pages by key: the next page begins behind the last row's place in the order, not after a count of rows.

So rows that come or go meanwhile shift nothing, and a page far in costs what the first one does. An order is a
list of keys that together tell every two rows apart. A key that can be NULL is preceded by one that ranks its
NULLs, so that a NULL is only ever compared with another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from penstock.base.errors import Invalid

Cursor = list[str | float | int | None]
"""The values of an order's keys in one row."""
MAX_INTEGER = 2**63


@dataclass(frozen=True)
class Key:
    """One key of an order."""

    column: sa.ColumnElement[Any]
    ascending: bool = True

    @property
    def order(self) -> sa.ColumnElement[Any]:
        """The key in ORDER BY."""
        return self.column if self.ascending else self.column.desc()


def in_order(query: sa.Select[Any], keys: Sequence[Key]) -> sa.Select[Any]:
    """Return a query whose rows come in the order of the keys."""
    return query.order_by(*(key.order for key in keys))


def ranked(column: sa.ColumnElement[Any], ascending: bool) -> list[Key]:
    """Return the keys that order by a column with its NULLs last; one key where it has none."""
    key = Key(column, ascending)
    if isinstance(column, sa.Column) and not column.nullable:
        return [key]
    return [Key(sa.case((column.is_(None), 1), else_=0)), key]


def beyond(keys: Sequence[Key], cursor: Cursor) -> sa.ColumnElement[bool]:
    """Return the condition that a row comes behind a place in the order.

    Raises:
        Invalid: the cursor is not one of this order (`request.bad_page_token`).
    """
    values = _bound(keys, cursor)
    equal: list[sa.ColumnElement[bool]] = []
    ways: list[sa.ColumnElement[bool]] = []
    for key, value in zip(keys, values, strict=True):
        if value is None:
            equal.append(key.column.is_(None))
            continue
        ways.append(sa.and_(*equal, key.column > value if key.ascending else key.column < value))
        equal.append(key.column == value)
    if not ways:
        raise _not_ours()
    first, start = keys[0], values[0]
    if start is None:
        return sa.or_(*ways)
    # implied by the rest, and a range that an index on the first key can begin at
    reach = first.column >= start if first.ascending else first.column <= start
    return sa.and_(reach, sa.or_(*ways))


def read_cursor(connection: sa.Connection, keys: Sequence[Key], where: sa.ColumnElement[bool]) -> Cursor:
    """Return the values of the keys in the one row that a condition finds; empty where it is gone."""
    row = connection.execute(sa.select(*(key.column for key in keys)).where(where)).first()
    return [] if row is None else list(row)


def _bound(keys: Sequence[Key], cursor: Cursor) -> list[sa.ColumnElement[Any] | None]:
    if len(cursor) != len(keys):
        raise _not_ours()
    return [_literal(key, value) for key, value in zip(keys, cursor, strict=True)]


def _literal(key: Key, value: str | float | None) -> sa.ColumnElement[Any] | None:
    if value is None:
        return None
    kind = key.column.type
    if isinstance(kind, sa.Float):
        is_right = isinstance(value, int | float) and not isinstance(value, bool)
        value, kind = (float(value), sa.Double()) if is_right else (value, kind)
    elif isinstance(kind, sa.Integer):
        is_right = isinstance(value, int) and not isinstance(value, bool) and abs(value) < MAX_INTEGER
    else:
        is_right = isinstance(value, str) and "\0" not in value
    if not is_right:
        raise _not_ours()
    return sa.literal(value, kind)


def _not_ours() -> Invalid:
    return Invalid("Invalid page token", code="request.bad_page_token", hint="start at the first page")
