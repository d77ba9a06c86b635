"""The variables that the clouds' own clients read; no setting of Penstock's is among them."""

from __future__ import annotations

import os
from collections.abc import Mapping


def read_variables() -> Mapping[str, str]:
    """Return the process's environment."""
    return os.environ
