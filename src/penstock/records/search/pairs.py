"""A comparison of a tag or parameter in SQL, where they are rows of (owner, key, value)."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from penstock.records.search.entities import Entity
from penstock.records.search.grammar import Comparison, matches_absent
from penstock.records.search.sql import compare


def pair_matches(
    entity: Entity, comparison: Comparison, table: sa.Table, *owner: tuple[str, sa.ColumnElement[Any]]
) -> sa.ColumnElement[bool]:
    """Return the condition that an owner's pair compares so; see `matches_absent` for one it does not have.

    Args:
        table: rows with `key`, `value` and the owner's columns.
        owner: the owner's columns in `table`, each with what it must equal.
    """
    pairs = table.alias()
    its = [pairs.c.key == comparison.key, *(pairs.c[name] == value for name, value in owner)]
    absent = ~sa.exists().where(*its)
    if comparison.operator == "IS NULL":
        return absent
    found = sa.exists().where(*its, compare(pairs.c.value, comparison.operator, comparison.value))
    return sa.or_(found, absent) if matches_absent(entity, comparison) else found
