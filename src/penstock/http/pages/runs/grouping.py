"""Runs of a list by the values of a parameter, as rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from penstock.base.numbers import is_endless
from penstock.http.pages.runs.tables import MAX_FILTER, Asked, RunTable, clause, is_loss
from penstock.http.pages.telling.formatting import column
from penstock.tracking.grouping import Spread, group_runs
from penstock.tracking.search import RunSearch

MAX_GROUPS = 100
GROUP_METRICS = 2
"""So many metrics of groups are told where nobody chose columns: each costs 25 ms of 10,000 runs."""


@dataclass(frozen=True)
class Group:
    """Runs with one value of a parameter: how many, by metric the best (the greatest where no name tells which it is) and the mean, and the address that shows them."""

    value: str | None
    count: int
    cells: Mapping[str, tuple[str, str]]
    link: str


def find_groups(
    connection: sa.Connection, experiment_ids: Sequence[int], table: RunTable
) -> tuple[Group, ...]:
    """Return all runs that match, by the parameter that the address names; none where it names none."""
    asked = table.asked
    if not asked.group or table.problem:
        return ()
    param = asked.group.partition(".")[2]
    metrics = [one.key for one in table.columns if one.kind == "metrics"]
    metrics = metrics if asked.columns else metrics[:GROUP_METRICS]
    out = {key: tuple(table.rolled_back) for key in metrics if is_loss(key) is not None}
    wanted = RunSearch(list(experiment_ids), asked.filter, limit=MAX_GROUPS)
    found = group_runs(connection, wanted, param, metrics, out)
    cells: list[dict[str, tuple[str, str]]] = [{} for _ in found]
    for key in metrics:
        spreads = [one.metrics.get(key) for one in found]
        best = [None if one is None else one.least if is_loss(key) else one.greatest for one in spreads]
        means = [None if one is None else _mean(one) for one in spreads]
        for cell, texts in zip(cells, zip(column(best), column(means), strict=True), strict=True):
            cell[key] = texts
    return tuple(
        Group(one.value, one.count, cell, _link_of(asked, param, one.value))
        for one, cell in zip(found, cells, strict=True)
    )


def _mean(spread: Spread) -> float:
    """Return the mean of a group; infinities are stored as the greatest numbers, whose mean would be one of no meaning."""
    ends = [one for one in (spread.least, spread.greatest) if one is not None and is_endless(one)]
    return sum(math.copysign(math.inf, one) for one in ends) if ends else spread.mean


def _link_of(asked: Asked, param: str, value: str | None) -> str:
    """Return the query that shows the runs of a group; empty where the grammar cannot name their value."""
    if value is None or ("'" in value and '"' in value):
        return ""
    quote = "'" if "'" not in value else '"'
    own = f"{clause('params', param)} = {quote}{value}{quote}"
    whole = f"{asked.filter} and {own}" if asked.filter else own
    return asked.link(filter=whole, group="") if len(whole) <= MAX_FILTER else ""
