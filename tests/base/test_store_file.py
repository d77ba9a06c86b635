"""A connection to a store knows which file it opened, also where another comes in its place in that moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.base.store.connection import PRAGMAS, open_store


def made(path: Path, text: str) -> Path:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE said (text)")
        connection.execute("INSERT INTO said VALUES (?)", (text,))
    connection.close()
    return path


def test_a_file_that_is_exchanged_while_it_is_opened_is_not_taken_for_the_other(tmp_path: Path) -> None:
    store, other = made(tmp_path / "store.db", "old"), made(tmp_path / "other.db", "new")

    def exchanging() -> Iterator[str]:
        yield "journal_mode"  # opens the file
        store.rename(tmp_path / "away.db")
        other.rename(store)
        yield "foreign_keys=ON"

    with pytest.raises(sqlite3.OperationalError, match="another one now"):
        open_store(store, exchanging())
    connection = open_store(store)
    assert connection.execute("SELECT text FROM said").fetchone() == ("new",)
    connection.close()


def test_a_file_that_goes_while_it_is_opened_is_not_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = made(tmp_path / "store.db", "old")
    connect = sqlite3.connect

    def gone(*given: object, **named: object) -> sqlite3.Connection:
        store.unlink(missing_ok=True)
        return connect(*given, **named)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(sqlite3, "connect", gone)
    with pytest.raises(sqlite3.OperationalError):
        open_store(store)
    assert not store.exists()
    with pytest.raises(sqlite3.OperationalError, match="gone"):
        open_store(store)


@pytest.mark.parametrize("name", ["a b.db", "50%25.db", "a?mode=ro.db", "a#b.db", "ü.db", "a&b=c.db"])
def test_any_name_is_opened_as_it_is(tmp_path: Path, name: str) -> None:
    connection = open_store(made(tmp_path / name, name))
    assert connection.execute("SELECT text FROM said").fetchone() == (name,)
    assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
    assert PRAGMAS[0] == "journal_mode=WAL" and connection.execute("PRAGMA journal_mode").fetchone() == (
        "wal",
    )
    connection.close()
