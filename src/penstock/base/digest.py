"""Digests of bytes and files, and of values as canonical JSON."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

Algorithm = Literal["md5", "sha256"]
CHUNK_BYTES = 1 << 20


def digest_bytes(data: bytes, algorithm: Algorithm = "sha256") -> str:
    """Return the lower-case hex digest of `data`.

    Example:
        >>> digest_bytes(b"", "md5")
        'd41d8cd98f00b204e9800998ecf8427e'
    """
    return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()


def digest_file(path: Path, algorithm: Algorithm = "sha256") -> str:
    """Return the lower-case hex digest of a file's bytes, reading it once.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def canonical_json(value: object) -> bytes:
    """Encode a JSON value with sorted keys and no blanks, so that equal values give equal bytes.

    Example:
        >>> canonical_json({"b": 1, "a": [True, None]})
        b'{"a":[true,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_value(value: object) -> str:
    """Return the sha256 of a JSON value's canonical form."""
    return digest_bytes(canonical_json(value))
