"""What was made of stored rows, kept by the rows' digest: the rows themselves, of tens of kilobytes each, are let go."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Generic, TypeVar

Made = TypeVar("Made")
DIGEST_BYTES = 16


class Remembered(Generic[Made]):
    """The newest `size` things that were asked for. Thread-safe; two that ask at once may both make one.

    Example:
        >>> lengths = Remembered[int](size=2)
        >>> lengths.get(digest_of([b"abc"]), lambda: 3)
        3
        >>> lengths.get(digest_of([b"abc"]), lambda: 4)
        3
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._made: OrderedDict[bytes, Made] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._made)

    def get(self, key: bytes, make: Callable[[], Made]) -> Made:
        """Return what was made of the rows with this digest, made now where it is not there."""
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key]
        made = make()
        with self._lock:
            self._made[key] = made
            while len(self._made) > self._size:
                self._made.popitem(last=False)
        return made


def digest_of(values: Iterable[object]) -> bytes:
    """Return the digest of values as a store gives them, in their order; 0.1 ms for 60 kB."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for value in values:
        data = value if isinstance(value, bytes) else repr(value).encode("utf-8", "surrogatepass")
        digest.update(b"%d%c:" % (len(data), b"b" if isinstance(value, bytes) else b"r"))
        digest.update(data)
    return digest.digest()
