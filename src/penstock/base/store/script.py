"""Where the script of a new SQLite store is."""

from __future__ import annotations

from pathlib import Path

SCRIPT = Path(__file__).parent / "migrations" / "sqlite.sql"
