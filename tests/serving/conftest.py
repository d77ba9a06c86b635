from __future__ import annotations

from serving.fixtures import database, server, source

__all__ = ["database", "server", "source"]
