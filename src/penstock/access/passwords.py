"""Passwords, kept as Argon2id hashes; the only place that knows the library.

A check takes some 30 ms and 64 MB on purpose. At most `CHECKS_AT_ONCE` run at the same time, so that wrong
passwords cannot use up a server; the others wait.

Source: RFC 9106, second recommended option, the defaults of argon2-cffi.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING

from penstock.base.errors import Invalid

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MIN_LENGTH = 12  # MLflow's
MAX_LENGTH = 1024
CHECKS_AT_ONCE = 2

_checks = threading.BoundedSemaphore(CHECKS_AT_ONCE)
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def hash_password(password: str) -> str:
    """Return the text that is kept of a password.

    Raises:
        Invalid: it is shorter than `MIN_LENGTH`, longer than `MAX_LENGTH`, or one character again and again.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH or len(set(password)) < 4:
        raise Invalid(
            f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters, at least 4 of them different",
            code="access.weak_password",
            hint="take several words, or leave the password out and use tokens: penstock token create NAME",
        )
    return _hasher().hash(password)


def is_password(kept: str | None, password: str) -> bool:
    """Say whether a password is the one that was kept; without one the answer takes as long."""
    if len(password) > MAX_LENGTH:
        return False
    from argon2.exceptions import InvalidHashError, VerificationError

    with _checks:
        try:
            return _hasher().verify(kept or _NOBODY, password) and kept is not None
        except (VerificationError, InvalidHashError):
            return False


@lru_cache(maxsize=1)
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher()
