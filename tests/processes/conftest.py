from __future__ import annotations

from serving.fixtures import released_root

__all__ = ["released_root"]
