"""The ends of Parquet files: how many rows each row group has, and files of one schema as one file, not written anew.

Who wants a table's values asks polars. The end of a file says where each column of each row group lies; so files are
joined by putting their row groups one behind the other under one end, which costs what copying costs.

Source: apache/parquet-format, src/main/thrift/parquet.thrift (FileMetaData, RowGroup, ColumnChunk, ColumnMetaData).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.data.formats.thrift import I16, Field, Items, Struct, get, read_struct, write_struct

MARK = b"PAR1"
TAIL_BYTES = 8
FOOTER_MAX = 4 << 20
"""A longer end takes seconds to read here; such a file is read by polars alone."""
BLOCK_BYTES = 1 << 20
SCHEMA, ROWS, ROW_GROUPS, NOTES = 2, 3, 4, 5
COLUMNS, GROUP_ROWS, GROUP_OFFSET, ORDINAL = 1, 3, 5, 7
CHUNK_OFFSET, CHUNK, OFFSET_INDEX, COLUMN_INDEX = 2, 3, 4, 6
PAGE_OFFSETS = (9, 10, 11, 14)
"""Of a column's data, its index, its dictionary and its Bloom filter."""

DAMAGED = (ValueError, TypeError, AttributeError, IndexError, OverflowError)
"""What a structure leads to that is not what it says."""


@dataclass(frozen=True)
class Footer:
    """What a file's end says; its row groups lie before `data_end`."""

    path: Path
    data_end: int
    content: Struct

    @property
    def group_rows(self) -> list[int]:
        """How many rows each row group has."""
        return [int(get(group, GROUP_ROWS)) for group in _groups(self.content)]


def read_footer(path: Path) -> Footer | None:
    """Return what a file's end says; None where it is no plain Parquet file, or its end is too long.

    Raises:
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    if size < len(MARK) + TAIL_BYTES:
        return None
    with path.open("rb") as file:
        file.seek(size - TAIL_BYTES)
        tail = file.read(TAIL_BYTES)
        length = int.from_bytes(tail[:4], "little")
        data_end = size - TAIL_BYTES - length
        if tail[4:] != MARK or length > FOOTER_MAX or data_end < len(MARK):
            return None
        file.seek(data_end)
        data = file.read(length)
    try:
        found = Footer(path, data_end, read_struct(data))
        rows = found.group_rows
    except DAMAGED:
        return None
    is_sound = all(count >= 0 for count in rows) and sum(rows) == get(found.content, ROWS)
    return found if is_sound else None


class Joined:
    """Files of one schema as the bytes of one file, which may be gone through more than once."""

    def __init__(self, footers: Sequence[Footer]) -> None:
        self._footers = footers
        self._end = _joined_end(footers)

    @staticmethod
    def of(paths: Sequence[Path]) -> Joined | None:
        """Return files as one; None where they differ in their schema, or an end cannot be read."""
        footers = [read_footer(path) for path in paths]
        known = [one for one in footers if one is not None]
        if not known or len(known) < len(footers):
            return None
        try:
            schemas = {write_struct(_schema(one.content)) for one in known}
            return Joined(known) if len(schemas) == 1 else None
        except DAMAGED:
            return None

    @property
    def size_bytes(self) -> int:
        """How long the file is."""
        return sum(one.data_end - len(MARK) for one in self._footers) + len(MARK) + len(self._end)

    def __iter__(self) -> Iterator[bytes]:
        yield MARK
        for one in self._footers:
            with one.path.open("rb") as file:
                file.seek(len(MARK))
                left = one.data_end - len(MARK)
                while left:
                    block = file.read(min(BLOCK_BYTES, left))
                    if not block:
                        raise OSError(f"{one.path} became shorter while it was read")
                    left -= len(block)
                    yield block
        yield self._end


def _joined_end(footers: Sequence[Footer]) -> bytes:
    """Return the end of the joined file: the first one's, with the row groups of all, moved to where they lie now."""
    groups: list[Struct] = []
    moved = 0
    for one in footers:
        for group in _groups(one.content):
            groups.append(_moved_group(group, moved, len(groups)))
        moved += one.data_end - len(MARK)
    first = footers[0].content
    values: dict[int, Any] = {
        ROWS: sum(get(one.content, ROWS) for one in footers),
        ROW_GROUPS: Items(get(first, ROW_GROUPS).kind, groups),
    }
    end = write_struct([Field(one.number, one.kind, values.get(one.number, one.value)) for one in first])
    return end + len(end).to_bytes(4, "little") + MARK


def _moved_group(group: Struct, by: int, ordinal: int) -> Struct:
    moved: Struct = []
    for one in group:
        if one.number == COLUMNS:
            chunks = [_moved_chunk(chunk, by) for chunk in one.value.values]
            moved.append(Field(COLUMNS, one.kind, Items(one.value.kind, chunks)))
        elif one.number == GROUP_OFFSET:
            moved.append(_by(one, by))
        elif one.number == ORDINAL:
            if ordinal < 1 << 15:
                moved.append(Field(ORDINAL, I16, ordinal))
        else:
            moved.append(one)
    return moved


def _moved_chunk(chunk: Struct, by: int) -> Struct:
    moved: Struct = []
    for one in chunk:
        if one.number == CHUNK:
            inner = [_by(part, by) if part.number in PAGE_OFFSETS else part for part in one.value]
            moved.append(Field(CHUNK, one.kind, inner))
        else:
            moved.append(_by(one, by) if one.number in (CHUNK_OFFSET, OFFSET_INDEX, COLUMN_INDEX) else one)
    return moved


def _by(offset: Field, by: int) -> Field:
    """Return an offset moved; zero stands for none."""
    return Field(offset.number, offset.kind, offset.value + by if offset.value else offset.value)


def _groups(content: Struct) -> list[Struct]:
    groups = get(content, ROW_GROUPS)
    return [] if groups is None else list(groups.values)


def _schema(content: Struct) -> Struct:
    """Return what files have to agree on: columns, and what their writer noted about them."""
    return [one for one in content if one.number in (SCHEMA, NOTES)]
