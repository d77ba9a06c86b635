"""Thrift's compact protocol, as far as the ends of Parquet files are written in it: structures as lists of fields.

It knows nothing of what fields mean; that is in `footers`.

Source: apache/thrift, doc/specs/thrift-compact-protocol.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
DEPTH_MAX = 16
"""Parquet's own structures are half as deep; a hostile file must not use up the stack."""


@dataclass
class Field:
    """A field of a structure: its number, its type, and its value."""

    number: int
    kind: int
    value: Any


@dataclass
class Items:
    """A list's values and their type."""

    kind: int
    values: list[Any] = field(default_factory=list)


Struct = list[Field]


def get(struct: Struct, number: int) -> Any:
    """Return the value of a field; None where it is not there."""
    return next((one.value for one in struct if one.number == number), None)


def read_struct(data: bytes) -> Struct:
    """Read a structure.

    Raises:
        ValueError: it is none.
    """
    try:
        return _Reader(data).struct(0)
    except IndexError:
        raise ValueError("a structure ends too early") from None


def write_struct(struct: Struct) -> bytes:
    """Return a structure's bytes."""
    out = bytearray()
    _put_struct(out, struct)
    return bytes(out)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def struct(self, depth: int) -> Struct:
        if depth > DEPTH_MAX:
            raise ValueError("a structure is nested too deeply")
        found: Struct = []
        number = 0
        while head := self._byte():
            step, kind = head >> 4, head & 15
            number = number + step if step else self._signed()
            found.append(Field(number, kind, self._value(kind, depth, is_field=True)))
        return found

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _number(self) -> int:
        found, shift = 0, 0
        while True:
            byte = self._byte()
            found |= (byte & 127) << shift
            if byte < 128:
                return found
            shift += 7
            if shift > 63:
                raise ValueError("a number is too long")

    def _signed(self) -> int:
        number = self._number()
        return number >> 1 ^ -(number & 1)

    def _bytes(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise ValueError("a text is longer than the structure")
        self._at += count
        return self._data[self._at - count : self._at]

    def _value(self, kind: int, depth: int, *, is_field: bool) -> Any:
        if kind in (TRUE, FALSE):
            return kind == TRUE if is_field else self._byte() == TRUE
        if kind == BYTE:
            return self._byte()
        if kind in (I16, I32, I64):
            return self._signed()
        if kind == DOUBLE:
            return self._bytes(8)
        if kind == BINARY:
            return self._bytes(self._number())
        if kind == STRUCT:
            return self.struct(depth + 1)
        if kind in (LIST, SET):
            head = self._byte()
            count = self._number() if head >> 4 == 15 else head >> 4
            if count > len(self._data) - self._at:
                raise ValueError("a list is longer than the structure")
            return Items(head & 15, [self._value(head & 15, depth + 1, is_field=False) for _ in range(count)])
        raise ValueError(f"a field of the unknown type {kind}")


def _put_struct(out: bytearray, struct: Struct) -> None:
    before = 0
    for one in struct:
        kind = one.kind if one.kind not in (TRUE, FALSE) else TRUE if one.value else FALSE
        step = one.number - before
        if 0 < step <= 15:
            out.append(step << 4 | kind)
        else:
            out.append(kind)
            _put_signed(out, one.number)
        before = one.number
        if kind not in (TRUE, FALSE):
            _put_value(out, kind, one.value)
    out.append(0)


def _put_value(out: bytearray, kind: int, value: Any) -> None:
    if kind in (TRUE, FALSE):
        out.append(TRUE if value else FALSE)
    elif kind == BYTE:
        out.append(value)
    elif kind in (I16, I32, I64):
        _put_signed(out, value)
    elif kind == DOUBLE:
        out += value
    elif kind == BINARY:
        _put_number(out, len(value))
        out += value
    elif kind == STRUCT:
        _put_struct(out, value)
    else:
        count = len(value.values)
        out.append(min(count, 15) << 4 | value.kind)
        if count >= 15:
            _put_number(out, count)
        for one in value.values:
            _put_value(out, value.kind, one)


def _put_signed(out: bytearray, value: int) -> None:
    _put_number(out, (value << 1 ^ value >> 63) & 0xFFFFFFFFFFFFFFFF)


def _put_number(out: bytearray, value: int) -> None:
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
