"""What is known of files is thrown away where it is damaged, and never where others only use it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from penstock.data.files import state as states
from penstock.data.files.state import State


def test_a_locked_state_stays_and_a_damaged_one_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.db"
    known = State(path)
    known.note_ignored("a")
    known.close()
    monkeypatch.setattr(states, "WAIT_S", 0.01)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        locked = State(path)
        assert not locked.take_ignored("a")
        locked.close()
        other.execute("COMMIT")
    again = State(path)
    assert again.take_ignored("a")
    again.close()
    path.write_bytes(b"no database" * 1000)
    anew = State(path)
    anew.note_ignored("b")
    anew.close()
    last = State(path)
    assert last.take_ignored("b") and not last.take_ignored("a")
    last.close()
