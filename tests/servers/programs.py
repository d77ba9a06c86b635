"""What a test does where a program it needs is missing: a newcomer sees a skip, CI a failure."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(what: str, package: str) -> NoReturn:
    """End the test: skipped with the reason, or failed under `CI=true`."""
    reason = f"{what} is not installed (Debian package {package}; `make test` installs it as root)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
