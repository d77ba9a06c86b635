"""What a database refused or could not do, as errors with their cause and what to do."""

from __future__ import annotations

import os

import sqlalchemy as sa

from penstock.base.errors import Corrupt, Invalid, PenstockError, Unavailable, disk_full, has_no_room

QUERY_CANCELED = "57014"
READ_ONLY = frozenset({"25006", "42501"})
"""PostgreSQL's codes where it is a replica or set to be read only, and where the role lacks a right."""
UNDEFINED = frozenset({"42703", "42P01"})
_READ_ONLY_WORDS = "attempt to write a readonly database"
_UNDEFINED_WORDS = ("no such table", "no such column", "has no column named")


def shown_url(url: sa.URL) -> str:
    """Return a store's URL for messages: without its password, and without the driver, which nobody wrote."""
    return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)


def told_of_store(error: sa.exc.DatabaseError, url: sa.URL) -> PenstockError | None:
    """Return a database's failure as an error of ours; None where the statement itself is at fault."""
    place = shown_url(url)
    code = getattr(error.orig, "sqlstate", None)
    if isinstance(error, sa.exc.DataError):
        return unstorable(error)
    if _lacks_something(error):
        return Unavailable(
            f"the store {place} is not as this program knows it: {error.orig}",
            code="store.schema_changed",
            hint="a newer penstock may have upgraded it meanwhile: upgrade this one and start it anew; "
            "penstock db upgrade brings an older store up to date",
        )
    if code in READ_ONLY or _READ_ONLY_WORDS in str(error.orig):
        return Unavailable(
            f"the store {place} takes no writes: {error.orig}",
            code="store.read_only",
            hint="point `store:` at the server that does, not at a replica, with a role (or files) that may write",
        )
    if code == QUERY_CANCELED:
        return Invalid(
            "the store was asked for more than it finds in the time a question may take",
            code="store.too_slow",
            hint="ask for less: fewer comparisons, or fewer experiments",
        )
    if not isinstance(error, sa.exc.OperationalError):
        if "not a database" not in str(error.orig) and "malformed" not in str(error.orig):
            return None
        return Corrupt(
            f"the store {place} is damaged: {error.orig}",
            code="store.corrupt",
            hint="put a copy of it back; what is in git, cache and remote is not touched",
        )
    if _lacks_room(url, str(error.orig)):
        return disk_full(url.database or place)
    return away(place, str(error.orig))


def away(place: str, why: str) -> Unavailable:
    """Make the error for a store that does not answer."""
    return Unavailable(
        f"the store {place} did not answer: {why}",
        code="store.unavailable",
        hint="check `store:` in penstock.yaml and that the database runs",
    )


def unstorable(error: sa.exc.DataError) -> Invalid:
    """Make the error for a value that the database cannot hold, such as a zero byte in PostgreSQL's text."""
    return Invalid(
        f"the store cannot keep this: {error.orig}", code="store.bad_value", hint="change the value"
    )


def _lacks_something(error: sa.exc.DatabaseError) -> bool:
    """Whether a table or column is not there."""
    if isinstance(error, sa.exc.ProgrammingError):
        return getattr(error.orig, "sqlstate", None) in UNDEFINED
    return isinstance(error, sa.exc.OperationalError) and any(
        one in str(error.orig) for one in _UNDEFINED_WORDS
    )


def _lacks_room(url: sa.URL, words: str) -> bool:
    """Say whether SQLite's file finds no room; of the files beside it, it says only that they cannot be written."""
    path = url.database
    if url.get_backend_name() != "sqlite" or not path:
        return False
    return "disk is full" in words or ("disk I/O error" in words and has_no_room(os.path.dirname(path)))
