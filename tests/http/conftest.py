from __future__ import annotations

from serving.fixtures import database, released_root, server, source

__all__ = ["database", "released_root", "server", "source"]
