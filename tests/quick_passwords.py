"""Passwords that cost nothing to keep and to check: on purpose, each takes up to 0.3 s of a processor otherwise.

Tests of users, pages and permissions are not about that. What it does cost is shown in `access/test_passwords.py`.
"""

from __future__ import annotations

import functools

from argon2 import PasswordHasher

from penstock.access import passwords

real_hasher = passwords._hasher


def use_quick_passwords() -> None:
    """Keep passwords of this process so; one that was kept at full cost is still checked at it."""
    made = functools.cache(lambda: PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._hasher = made
