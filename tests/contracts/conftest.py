"""The backends that must keep the contract."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of its own, where the keys of servers are noted."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
