"""A comparison of one column in SQL, with one meaning on SQLite and PostgreSQL.

`%` stands for any characters and `_` for one; nothing escapes them (PostgreSQL's backslash is switched off).
LIKE tells upper and lower case apart. SQLite's does not, and its pragma would change every statement of the
connection; so there the pattern must match twice: once as SQLite sees it, which throws nearly every row out,
and once with the capitals of the pattern's own letters replaced, on both sides, by noncharacters. Those have no
case, and Unicode reserves them for a program's own use, so no text holds them. ILIKE ignores the case of ASCII
letters; of others only PostgreSQL does, by its locale.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import eq, ge, gt, le, lt, ne
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from penstock.records.search.values import Value

_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MARKS = {capital: chr(0xFDD0 + index) for index, capital in enumerate(_CAPITALS)}
# No stored integer is as large, and every engine can be told this one.
_BEYOND_INTEGERS = 1e19
_ORDERED: dict[str, Callable[[Any, Any], Any]] = {
    "=": eq,
    "!=": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}


class _Like(FunctionElement[bool]):
    """LIKE with case: clauses are the column, the pattern, and for SQLite both again with capitals marked."""

    name = "penstock_like"
    type = sa.Boolean()
    inherit_cache = True


class _ILike(FunctionElement[bool]):
    """LIKE without case: clauses are the column and the pattern."""

    name = "penstock_ilike"
    type = sa.Boolean()
    inherit_cache = True


@compiles(_Like, "sqlite")
def _like_sqlite(element: _Like, compiler: SQLCompiler, **options: Any) -> str:
    sides = [compiler.process(clause, **options) for clause in element.clauses]
    return f"({sides[0]} LIKE {sides[1]} AND {sides[2]} LIKE {sides[3]})"


@compiles(_Like)
def _like(element: _Like, compiler: SQLCompiler, **options: Any) -> str:
    column, pattern = list(element.clauses)[:2]
    return f"({compiler.process(column, **options)} LIKE {compiler.process(pattern, **options)} ESCAPE '')"


@compiles(_ILike, "sqlite")
def _ilike_sqlite(element: _ILike, compiler: SQLCompiler, **options: Any) -> str:
    column, pattern = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({column} LIKE {pattern})"


@compiles(_ILike)
def _ilike(element: _ILike, compiler: SQLCompiler, **options: Any) -> str:
    column, pattern = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({column} ILIKE {pattern} ESCAPE '')"


def compare(column: sa.ColumnElement[Any], operator: str, value: Value) -> sa.ColumnElement[bool]:
    """Return the condition that a column compares so with a value.

    NULL passes nothing but IS NULL, as in SQL.

    Args:
        operator: as in a `Comparison`: `= != < <= > >= LIKE ILIKE IN`, `NOT IN`, `IS NULL`, `IS NOT NULL`.
        value: a tuple for IN and NOT IN, a pattern for LIKE and ILIKE. An integer too large for a column
            compares as what it is: larger than all.
    """
    match operator:
        case "IS NULL":
            return column.is_(None)
        case "IS NOT NULL":
            return column.is_not(None)
        case "IN" | "NOT IN":
            found = column.in_(value if isinstance(value, tuple) else ())
            return found if operator == "IN" else sa.not_(found)
        case "LIKE":
            return _case_like(column, str(value))
        case "ILIKE":
            return _ILike(column, sa.literal(str(value), sa.Text()))
    condition: sa.ColumnElement[bool] = _ORDERED[operator](column, _bound(value))
    return condition


def _bound(value: Value) -> sa.ColumnElement[Any]:
    if isinstance(value, int) and abs(value) >= 2**63:
        value = _BEYOND_INTEGERS if value > 0 else -_BEYOND_INTEGERS
    if isinstance(value, float):
        return sa.literal(value, sa.Double())
    return sa.literal(value, sa.BigInteger() if isinstance(value, int) else sa.Text())


def _case_like(column: sa.ColumnElement[Any], pattern: str) -> sa.ColumnElement[bool]:
    marked: sa.ColumnElement[Any] = column
    letters = sorted({letter.upper() for letter in pattern if letter.isascii() and letter.isalpha()})
    for capital in letters:
        marked = sa.func.replace(
            marked, sa.literal(capital, sa.Text()), sa.literal(_MARKS[capital], sa.Text())
        )
    marked_pattern = pattern.translate({ord(capital): mark for capital, mark in _MARKS.items()})
    return _Like(column, sa.literal(pattern, sa.Text()), marked, sa.literal(marked_pattern, sa.Text()))
