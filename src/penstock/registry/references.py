"""References to versions as people write them: `name/3`, `name@champion`, `name@champion@2026-11-20`.

`latest` stands for the newest version, where a number or an alias may stand and in either case of its letters. What was
signed, or written as an event, goes on saying the names that versions had before their models were renamed.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

import sqlalchemy as sa

from penstock.base.clock import format_ms
from penstock.base.errors import Invalid, NotFound
from penstock.registry.aliases import find_alias, find_alias_at
from penstock.registry.entities import ModelVersion
from penstock.registry.models import MAX_MOVES
from penstock.registry.names import MAX_DIGITS, is_latest
from penstock.registry.tables import models, versions
from penstock.registry.versions import find_newest, get_version

Key = tuple[str, int]
"""A model's name and a version's number."""
_Moves = Mapping[str, tuple[str, int]]


def resolve_version(
    connection: sa.Connection, reference: str, default_alias: str = "champion", *, deleted: bool = False
) -> ModelVersion:
    """Return the version a reference means: `name/3`, `name@alias`, `name` (its champion), `name/latest`.

    `name@alias@TIME` is what the alias meant at a time (see `parse_time`), also when that version was
    deleted since. With `deleted`, a number also means a version that was.

    Raises:
        NotFound: no such version or alias.
        Invalid: the reference cannot be read.
    """
    name, slash, number = reference.partition("/")
    if slash:
        if is_latest(number):
            return _newest(connection, name)
        if not (number.isascii() and number.isdigit() and len(number) <= MAX_DIGITS):
            raise Invalid(
                f"{reference!r}: a version is a number",
                code="registry.bad_reference",
                hint="write NAME/3, NAME/latest or NAME@champion",
            )
        return get_version(connection, name, int(number), deleted=deleted)
    name, _, tail = reference.partition("@")
    alias, _, time = tail.partition("@")
    alias = alias or default_alias
    if time:
        time_ms = parse_time(time)
        found = find_alias_at(connection, name, alias, time_ms)
        when = f" at {format_ms(time_ms)}"
    elif is_latest(alias):
        return _newest(connection, name)
    else:
        found, when = find_alias(connection, name, alias), ""
    if found is None:
        raise NotFound(
            f"no version of {name!r} {'was' if when else 'is'} called {alias!r}{when}",
            code="registry.no_alias",
            hint=f"penstock alias history {shlex.quote(f'{name}@{alias}')}"
            if when
            else f"penstock model list, then penstock promote {shlex.quote(f'{name}/N')}",
            model=name,
            alias=alias,
        )
    return get_version(connection, name, found.version, deleted=bool(when))


def names_version(reference: str) -> bool:
    """Return whether a reference says which version of a model is meant, by number or alias, not the model alone.

    Example:
        >>> [names_version(one) for one in ("m/3", "m/latest", "m@champion", "m", "m/", "m/x", "@champion")]
        [True, True, True, False, False, False, False]
    """
    name, slash, number = reference.partition("/")
    if slash:
        is_number = number.isascii() and number.isdigit() and len(number) <= MAX_DIGITS
        return bool(name) and (is_latest(number) or is_number)
    name, _, alias = reference.partition("@")
    return bool(name and alias)


def list_former_names(connection: sa.Connection, keys: Collection[Key]) -> dict[Key, tuple[str, ...]]:
    """Return the names that models of versions had before, by name; a name means no version that another has by it now.

    Args:
        keys: the versions, by the names that they have now.
    """
    moves = _list_moves(connection)
    meant = {
        (old, number): (model, number)
        for old in sorted(moves)
        for model, number in keys
        if old != model and _follow(moves, old, number) == model
    }
    taken = _list_taken(connection, meant)
    found: dict[Key, list[str]] = {key: [] for key in keys}
    for (old, number), key in meant.items():
        if (old, number) not in taken:
            found[key].append(old)
    return {key: tuple(names) for key, names in found.items()}


def list_present_names(connection: sa.Connection, keys: Collection[Key]) -> dict[Key, str]:
    """Return the names that models have now of versions that were known as `keys`."""
    moves = _list_moves(connection)
    taken = _list_taken(connection, [key for key in keys if key[0] in moves])
    return {key: key[0] if key in taken else _follow(moves, *key) for key in keys}


def list_numbers(connection: sa.Connection, model: str) -> list[int]:
    """Return the numbers of the versions that a model has, and had taken away."""
    query = sa.select(versions.c.number).where(versions.c.model == model).order_by(versions.c.number)
    return list(connection.execute(query).scalars())


def _newest(connection: sa.Connection, name: str) -> ModelVersion:
    found = find_newest(connection, name)
    if found is None:
        raise NotFound(
            f"{name!r} has no version", code="registry.no_version", hint="penstock model list", model=name
        )
    return found


def parse_time(text: str) -> int:
    """Return a time in milliseconds: ISO 8601 (UTC where no zone is named), or milliseconds themselves.

    A date is its first moment.

    Raises:
        Invalid: it is neither.

    Example:
        >>> parse_time("1970-01-02"), parse_time("1970-01-01T00:01+00:00"), parse_time("864000000")
        (86400000, 60000, 864000000)
    """
    if text.isascii() and text.isdigit() and 8 < len(text) <= 15:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(
            f"{text[:40]!r} is not a time",
            code="registry.bad_time",
            hint="write 2026-11-20 or 2026-11-20T10:00, in UTC",
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _list_moves(connection: sa.Connection) -> _Moves:
    """Return where names that were given up lead, and the highest number that each gave."""
    query = sa.select(models.c.name, models.c.moved_to, models.c.newest_number).where(
        models.c.moved_to.is_not(None)
    )
    return {row.name: (row.moved_to, row.newest_number) for row in connection.execute(query)}


def _list_taken(connection: sa.Connection, keys: Collection[Key]) -> frozenset[Key]:
    if not keys:
        return frozenset()
    named = sa.tuple_(versions.c.model, versions.c.number).in_(sorted(keys))
    rows = connection.execute(sa.select(versions.c.model, versions.c.number).where(named))
    return frozenset((row.model, row.number) for row in rows)


def _follow(moves: _Moves, name: str, number: int) -> str:
    for _ in range(MAX_MOVES):
        if name not in moves or number > moves[name][1]:
            break
        name = moves[name][0]
    return name
