"""What a test does where a program it needs is missing: it is skipped, which `conftest` makes a failure in CI."""

from __future__ import annotations

from typing import NoReturn

import pytest


def missing(what: str, packages: str) -> NoReturn:
    """Skip the test, naming what to install."""
    pytest.skip(f"{what} not installed: apt-get install {packages} (`make test` does, as root)")
