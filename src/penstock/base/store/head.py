"""The schema that this program knows: its number, which is its last migration's, and where its script is."""

from __future__ import annotations

from pathlib import Path

HEAD = "0016"
SCRIPT = Path(__file__).parent / "migrations" / "sqlite.sql"
