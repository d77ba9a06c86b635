"""The files of a directory object, held in few bytes: a million of them take less than a hundred megabytes."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from itertools import islice
from operator import lt

from penstock.base.errors import Corrupt
from penstock.data.formats.output import TREE_SUFFIX
from penstock.data.formats.packed import iter_hex, place_of
from penstock.data.formats.tree import are_plain, check_nesting, parse_tree

_PLAIN_ENTRY = re.compile(rb'\{"md5": "([0-9a-f]{32})", "relpath": "([^"\\]*)"\}')
_ENTRY = re.compile(
    rb'\{"md5": "([0-9a-f]{32})", "relpath": ("[^"\\]*(?:\\.[^"\\]*)*")\}(?:, (?=\{)|\Z)', re.DOTALL
)
_BETWEEN = b'"}, {"md5": "'
_AROUND_NAME = len('{"md5": "", "relpath": ""}') + 32
_BLOCK_BYTES = 1 << 18


class TreeFiles(Mapping[str, str]):
    """md5 by relative path: `names` in order (by code point), and their packed `digests`.

    A lookup is a bisection; what is asked for all files had better go through `items()`.
    """

    __slots__ = ("digests", "names")

    def __init__(self, names: list[str], digests: bytes) -> None:
        self.names = names
        self.digests = digests

    @classmethod
    def of(cls, files: Mapping[str, str]) -> TreeFiles:
        """Return the same files in this form.

        Raises:
            Corrupt: one has a digest that is not a file's, such as a directory's.
        """
        if isinstance(files, TreeFiles):
            return files
        names = sorted(files)
        try:
            return cls(names, bytes.fromhex("".join([files[name] for name in names])))
        except ValueError:
            odd = next(name for name in names if files[name].endswith(TREE_SUFFIX))
            raise Corrupt(
                f"{odd!r} in a list of files has the digest of a directory: {files[odd]}",
                code="data.bad_tree",
                hint="penstock verify",
            ) from None

    def md5_at(self, at: int) -> str:
        """Return the md5 of the file at a place of `names`."""
        return self.digests[place_of(at)].hex()

    def __getitem__(self, name: str) -> str:
        at = bisect_left(self.names, name)
        if at == len(self.names) or self.names[at] != name:
            raise KeyError(name)
        return self.md5_at(at)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def values(self) -> ValuesView[str]:
        """Return a view of the digests, in the order of the names."""
        return _Values(self)

    def items(self) -> ItemsView[str, str]:
        """Return a view of (path, md5), in the order of the paths."""
        return _Items(self)


class _Values(ValuesView[str]):
    def __init__(self, files: TreeFiles) -> None:
        super().__init__(files)
        self._files = files

    def __iter__(self) -> Iterator[str]:
        return iter_hex(self._files.digests)


class _Items(ItemsView[str, str]):
    def __init__(self, files: TreeFiles) -> None:
        super().__init__(files)
        self._files = files

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return zip(self._files.names, self._files.values(), strict=True)


def parse_files(data: bytes, where: str) -> TreeFiles:
    """Decode a directory object as `parse_tree` does, entry by entry where it is written as DVC writes it.

    Raises:
        Corrupt: it is not a list of files, or an entry names a path outside the directory.
    """
    found = _scan_entries(data)
    if found is None:
        return TreeFiles.of(parse_tree(data, where))
    check_nesting(found, where)
    return found


def _scan_entries(data: bytes) -> TreeFiles | None:
    names: list[str] = []
    digests = bytearray()
    at, end = 1, len(data) - 1
    if end < 1 or data[:1] != b"[" or data[end:] != b"]":
        return None
    while at < end:
        cut = data.find(_BETWEEN, at + _BLOCK_BYTES, end)
        block = data[at : end if cut < 0 else cut + 2]
        found = _scan_escaped(block) if b"\\" in block else _scan_plain(block)
        if found is None:
            return None
        names += found[0]
        digests += found[1]
        at += len(block) + len(", ")
    in_order = all(map(lt, names, islice(names, 1, None)))
    return TreeFiles(names, bytes(digests)) if names and in_order and are_plain(names) else None


def _scan_plain(block: bytes) -> tuple[list[str], bytes] | None:
    """Return the names and digests of entries of which no name is escaped; none if there is anything else."""
    entries = _PLAIN_ENTRY.findall(block)
    joined = b"\n".join([name for _, name in entries])
    length = len(entries) * (_AROUND_NAME + len(", ")) - len(", ") + len(joined) - (len(entries) - 1)
    if length != len(block) or block.count(_BETWEEN) != len(entries) - 1 or not joined.isascii():
        return None
    names = joined.decode("ascii").split("\n")
    if len(names) != len(entries):
        return None
    return names, bytes.fromhex(b"".join([md5 for md5, _ in entries]).decode("ascii"))


def _scan_escaped(block: bytes) -> tuple[list[str], bytes] | None:
    names: list[str] = []
    digests = bytearray()
    end = 0
    for entry in _ENTRY.finditer(block):
        if entry.start() != end:
            return None
        try:
            names.append(json.loads(entry[2]))
        except ValueError:
            return None
        digests += bytes.fromhex(entry[1].decode())
        end = entry.end()
    return (names, bytes(digests)) if end == len(block) else None
