"""What it costs to try a password, which the tests of users do without (`quick_passwords.py`)."""

from __future__ import annotations

import pytest
from argon2 import extract_parameters
from argon2.profiles import RFC_9106_LOW_MEMORY

from penstock.access import passwords
from quick_passwords import real_hasher

PASSWORD = "correct horse battery"


def test_a_password_is_kept_at_the_cost_that_is_recommended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", real_hasher)
    kept = passwords.hash_password(PASSWORD)
    assert extract_parameters(kept) == RFC_9106_LOW_MEMORY
    assert passwords.is_password(kept, PASSWORD)
    assert not passwords.is_password(kept, PASSWORD + "x")


def test_who_is_not_known_is_refused_at_the_same_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", real_hasher)
    assert extract_parameters(passwords._NOBODY) == RFC_9106_LOW_MEMORY
    assert not passwords.is_password(None, PASSWORD)


def test_one_that_was_kept_at_another_cost_is_still_right(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = passwords.hash_password(PASSWORD)
    assert extract_parameters(kept) != RFC_9106_LOW_MEMORY
    monkeypatch.setattr(passwords, "_hasher", real_hasher)
    assert passwords.is_password(kept, PASSWORD)
