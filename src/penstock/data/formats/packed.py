"""The md5s of many files in one string of bytes, 16 for each."""

from __future__ import annotations

from collections.abc import Iterator

DIGEST_BYTES = 16


def place_of(at: int) -> slice:
    """Return where the digest of file number `at` stands.

    Example:
        >>> bytes(range(48))[place_of(1)] == bytes(range(16, 32))
        True
    """
    return slice(DIGEST_BYTES * at, DIGEST_BYTES * (at + 1))


def iter_digests(digests: bytes) -> Iterator[bytes]:
    """Yield each digest in turn."""
    return (digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES))


def iter_hex(digests: bytes) -> Iterator[str]:
    """Yield each digest in turn as it is written in trees and names."""
    return (digests[at : at + DIGEST_BYTES].hex() for at in range(0, len(digests), DIGEST_BYTES))
