"""A comparison of a column means the same on SQLite and PostgreSQL."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa

from penstock.base.store.database import Database
from penstock.records.search.sql import compare
from tables import table

TEXTS = (
    "",
    "abc",
    "ABC",
    "aBc",
    "a_c",
    "a%c",
    "xabcx",
    "a\\c",
    "[abc]",
    "a*c",
    "äbc",
    "ÄBC",
    "ab\nc",
    "日本",
    None,
)
PATTERNS = (
    "",
    "%",
    "abc",
    "ABC",
    "a_c",
    "A_c",
    "%B%",
    "%b%",
    "a%",
    "%C",
    "_",
    "__",
    "a\\%",
    "[a%",
    "a*c",
    "ä%",
    "%%",
    "_%c",
)
NUMBERS = (-5, 0, 1, 2**62, None)


def passing(database: Database, values: tuple[Any, ...], type_: Any, operator: str, value: Any) -> list[Any]:
    """Return the values that pass, in one column of a statement without a table."""
    rows = sa.union_all(
        *(
            sa.select(sa.literal(at).label("at"), sa.literal(v, type_).label("v"))
            for at, v in enumerate(values)
        )
    ).subquery()
    asked = sa.select(rows.c.at).where(compare(rows.c.v, operator, value)).order_by(rows.c.at)
    with database.engine.connect() as connection:
        return [values[at] for (at,) in connection.execute(asked)]


def like(text: str | None, pattern: str, flags: int = 0) -> bool:
    expression = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in pattern)
    return text is not None and re.fullmatch(expression, text, flags | re.DOTALL) is not None


@table("pattern", PATTERNS)
def test_like_knows_case_and_no_escape(either_store: Database, pattern: str) -> None:
    found = passing(either_store, TEXTS, sa.Text(), "LIKE", pattern)

    assert found == [text for text in TEXTS if like(text, pattern)]


@table("pattern", [pattern for pattern in PATTERNS if pattern.isascii()])
def test_ilike_ignores_the_case_of_ascii(either_store: Database, pattern: str) -> None:
    found = passing(either_store, TEXTS, sa.Text(), "ILIKE", pattern)

    assert found == [text for text in TEXTS if like(text, pattern, re.IGNORECASE | re.ASCII)]


@table(
    ("operator", "value", "expected"),
    [
        ("=", "abc", ["abc"]),
        ("!=", "abc", [text for text in TEXTS if text not in ("abc", None)]),
        ("IN", ("abc", "日本", "none"), ["abc", "日本"]),
        ("NOT IN", ("abc",), [text for text in TEXTS if text not in ("abc", None)]),
        ("IS NULL", None, [None]),
        ("IS NOT NULL", None, [text for text in TEXTS if text is not None]),
    ],
)
def test_texts_compare_exactly(
    either_store: Database, operator: str, value: Any, expected: list[Any]
) -> None:
    assert passing(either_store, TEXTS, sa.Text(), operator, value) == expected


@table(
    ("operator", "value", "expected"),
    [
        ("=", 1, [1]),
        ("!=", 1, [-5, 0, 2**62]),
        (">=", 0.5, [1, 2**62]),
        ("<", 1, [-5, 0]),
        ("<=", -5, [-5]),
        (">", 10**30, []),
        ("<", 10**30, [-5, 0, 1, 2**62]),
        (">", -(10**30), [-5, 0, 1, 2**62]),
        ("<", float("inf"), [-5, 0, 1, 2**62]),
    ],
)
def test_numbers_compare_however_large(
    either_store: Database, operator: str, value: Any, expected: list[Any]
) -> None:
    assert passing(either_store, NUMBERS, sa.BigInteger(), operator, value) == expected
