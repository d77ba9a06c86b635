"""The variables that the clouds' own clients read; no setting of Penstock's is among them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def read_variables() -> Mapping[str, str]:
    """Return the process's environment."""
    return os.environ


def expand(path: str) -> Path | None:
    """Return a path with its `~` filled in, or None where that home is not known."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return None
