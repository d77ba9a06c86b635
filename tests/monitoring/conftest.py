from __future__ import annotations

from serving.fixtures import database

__all__ = ["database"]
