from __future__ import annotations

from serving.fixtures import database, released_root, server, source, two_versions_root

__all__ = ["database", "released_root", "server", "source", "two_versions_root"]
