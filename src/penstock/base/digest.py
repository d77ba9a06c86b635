"""Digests of bytes and files, and of values as canonical JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from penstock.base.errors import NotFound, PenstockError, Unavailable

Algorithm = Literal["md5", "sha256"]
CHUNK_BYTES = 1 << 20
BLOCK_BYTES = 4 << 20
FIRST_BYTES = 64 << 10


def digest_bytes(data: bytes, algorithm: Algorithm = "sha256") -> str:
    """Return the lower-case hex digest of `data`.

    Example:
        >>> digest_bytes(b"", "md5")
        'd41d8cd98f00b204e9800998ecf8427e'
    """
    import hashlib

    return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()


def digest_blocks(blocks: Iterable[bytes], algorithm: Algorithm = "sha256") -> str:
    """Return the lower-case hex digest of all blocks, one after the other."""
    import hashlib

    digest = hashlib.new(algorithm, usedforsecurity=False)
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def digest_file(path: Path, algorithm: Algorithm = "sha256") -> str:
    """Return the lower-case hex digest of a file's bytes, reading it once.

    Raises:
        OSError: the file cannot be read.
    """
    import hashlib

    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


class FileBlocks:
    """The bytes of a file in blocks of 4 MiB, from its start each time it is gone through."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[bytes]:
        """Yield the blocks.

        Raises:
            NotFound: there is no file.
            Unavailable: it cannot be read.
        """
        try:
            with self.path.open("rb", buffering=0) as file:
                while block := file.read(BLOCK_BYTES):
                    yield block
        except OSError as error:
            raise _unreadable(self.path, error) from error


def _unreadable(path: Path, error: OSError) -> PenstockError:
    if isinstance(error, FileNotFoundError):
        return NotFound(f"{path} does not exist", code="file.missing", path=str(path))
    return Unavailable(
        f"{path} cannot be read: {error.strerror}",
        code="file.unreadable",
        hint=f"ls -l {path}",
        path=str(path),
    )


def read_up_to(descriptor: int, limit: int) -> bytes:
    """Return the next bytes of a regular file: `limit` of them, or fewer at its end.

    Most files are small, and `os.read` sets aside what it is asked for: a first read of 64 KiB comes from memory
    the process has, one of 4 MiB is mapped and unmapped each time (measured on files of 4 KB, open and close
    and md5 included: 3.3 times as slow).
    """
    data = os.read(descriptor, min(FIRST_BYTES, limit))
    if len(data) < FIRST_BYTES:
        return data
    parts = [data]
    while (left := limit - sum(map(len, parts))) > 0 and (data := os.read(descriptor, left)):
        parts.append(data)
    return b"".join(parts)


def canonical_json(value: object) -> bytes:
    """Encode a JSON value with sorted keys and no blanks, so that equal values give equal bytes.

    Example:
        >>> canonical_json({"b": 1, "a": [True, None]})
        b'{"a":[true,null],"b":1}'
    """
    separators = (",", ":")
    return json.dumps(sortable(value), sort_keys=True, separators=separators, ensure_ascii=False).encode()


def sortable(value: object) -> object:
    """Return a value whose mappings can be sorted: where keys are of several kinds, all become texts."""
    if value.__class__ is str:  # most are, and asking what else they might be takes longer
        return value
    if isinstance(value, list | tuple):
        return [sortable(one) for one in value]
    if isinstance(value, Mapping):
        mixed = len({isinstance(key, str) for key in value}) > 1
        return {str(key) if mixed else key: sortable(one) for key, one in value.items()}
    return value


def digest_value(value: object) -> str:
    """Return the sha256 of a JSON value's canonical form."""
    return digest_bytes(canonical_json(value))
