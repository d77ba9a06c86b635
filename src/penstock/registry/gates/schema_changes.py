"""What a schema file asks otherwise than an earlier one: what lets more pass, and what else changed; in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from penstock.registry.gates.asking import Weighed, asks_less
from penstock.registry.table_schema import ColumnRule, TableSchema

UNTOLD = "what it asked before cannot be told"


class Change(NamedTuple):
    """One rule that is another, and whether it lets more pass."""

    words: str
    is_looser: bool


def compare_schemas(before: bytes | None, after: bytes) -> tuple[Change, ...]:
    """Compare two schema files rule by rule; where one of both cannot be read, nobody can say that it asks as much."""
    try:
        old = msgspec.json.decode(before or b"", type=TableSchema)
        new = msgspec.json.decode(after, type=TableSchema)
    except msgspec.DecodeError:
        return (Change(UNTOLD, True),)
    return tuple(_changes(old, new))


def _changes(old: TableSchema, new: TableSchema) -> Iterator[Change]:
    for name, rule in old.columns.items():
        if name not in new.columns:
            yield Change(f"{name} is no longer asked for", True)
        else:
            yield from _of_column(name, rule, new.columns[name])
    for name, rule in new.columns.items():
        if name not in old.columns:
            is_let_in = old.extra_columns == "forbid" and not rule.required
            yield Change(f"{name} is asked for" if rule.required else f"{name} may be there", is_let_in)
    if old.rows.min != new.rows.min:
        yield Change(f"rows min {old.rows.min} → {new.rows.min}", new.rows.min < old.rows.min)
    if old.extra_columns != new.extra_columns:
        words = f"extra_columns {old.extra_columns} → {new.extra_columns}"
        yield Change(words, new.extra_columns == "allow")


def _of_column(name: str, old: ColumnRule, new: ColumnRule) -> Iterator[Change]:
    for key, before in _weighed(old).items():
        after = _weighed(new)[key].value
        is_same = set(before.value) == set(after) if key == "values" and before.value and after else False
        if before.value != after and not is_same:
            yield Change(
                f"{name} {key} {_shown(before.value)} → {_shown(after)}", _lets_more(key, before, after)
            )
    missing = [1.0 if one.nullable else 0.0 for one in (old, new)]
    allowed = [
        one.max_missing_ratio if one.max_missing_ratio is not None else share
        for one, share in zip((old, new), missing, strict=True)
    ]
    if allowed[0] != allowed[1]:
        yield Change(
            f"{name} may miss {allowed[0]:.4g} → {allowed[1]:.4g} of its values", allowed[1] > allowed[0]
        )


def _weighed(rule: ColumnRule) -> dict[str, Weighed]:
    return {
        "type": Weighed(rule.type, "any"),
        "required": Weighed(rule.required, {True: 0, False: 1}),
        "min": Weighed(rule.min, "lower"),
        "max": Weighed(rule.max, "higher"),
        "mean_min": Weighed(rule.mean_min, "lower"),
        "mean_max": Weighed(rule.mean_max, "higher"),
        "values": Weighed(rule.values, "more"),
    }


def _lets_more(key: str, before: Weighed, after: Any) -> bool:
    if key == "type":
        return (before.value, after) != ("number", "integer")
    if key == "values" and (before.value is None or after is None):
        return after is None
    return asks_less(before, after)


def _shown(value: Any) -> str:
    return (
        "–" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    )
