"""Join the comparisons of a filter in a form whose planning does not outgrow its work.

PostgreSQL turns every EXISTS that a query demands into a join, and what it takes to order the joins grows
without bound: a filter of 300 comparisons was planned for over a minute. A sub-select with an OFFSET stays
what it is, and conditions within one CASE count as one, so that a walk in the order of the answer still looks
worthwhile. 500 comparisons that 10,000 runs all pass: 0.5 s, where 50 took 31 s.

Source: PostgreSQL, `convert_EXISTS_sublink_to_join` and `simplify_EXISTS_query` in
`src/backend/optimizer/plan/subselect.c`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.visitors import replacement_traverse

MAX_JOINED = 3
"""So many conditions are left to the planner, which finds rare rows first: 35 ms instead of 50 for five."""


def all_of(
    connection: sa.Connection, conditions: Iterable[sa.ColumnElement[bool]]
) -> list[sa.ColumnElement[bool]]:
    """Return what a query's WHERE gets so that a row passes all conditions.

    SQLite plans every sub-select by itself and gets them as they are.
    """
    found = list(conditions)
    if len(found) <= MAX_JOINED or connection.dialect.name != "postgresql":
        return found
    return [sa.case((sa.and_(*map(_fenced, found)), sa.true()), else_=sa.false())]


def _fenced(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Return a condition whose sub-selects are planned one by one."""

    def fence(element: Any, **_options: Any) -> Any:
        return element.offset(sa.literal_column("0")) if isinstance(element, sa.Select) else None

    fenced: sa.ColumnElement[bool] = replacement_traverse(condition, {}, fence)
    return fenced
