"""What is made of stored bytes is kept by their digest, and shared."""

from __future__ import annotations

import pytest

from penstock.base.errors import NotFound
from penstock.storage.content import KEPT, ContentStore
from penstock.storage.memory import MemoryBackend


def test_contents_are_decoded_once_and_the_last_few_are_kept() -> None:
    content = ContentStore(MemoryBackend())
    digests = [content.put(f"text {number}".encode()) for number in range(KEPT + 1)]
    decoded: list[bytes] = []

    def decode(data: bytes) -> list[bytes]:
        decoded.append(data)
        return [data]

    first = content.load(digests[0], decode)
    assert content.load(digests[0], decode) is first and first == [b"text 0"]
    assert content.load(digests[0], bytes.decode) == "text 0"
    for digest in digests:
        content.load(digest, decode)
    assert len(decoded) == KEPT + 1
    content.load(digests[-1], decode)
    content.load(digests[0], decode)
    assert decoded[-1] == b"text 0" and len(decoded) == KEPT + 2
    with pytest.raises(NotFound):
        content.load("0" * 64, decode)
