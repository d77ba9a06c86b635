"""Whole rows of features: a bounded sample of a reference, and what was asked lately, in one form.

Numbers are kept as they are, of texts and booleans only a number that tells one from another: rows can be told apart,
and no text can be read. Profiles tell what single columns are like; rows, how columns go together.

Format: MessagePack `[1, rows, {column: [kind, bytes]}]`, columns in alphabetical order; kind `n` is little-endian
float32 with NaN for missing, kind `t` little-endian uint32 with 0 for missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from penstock.base.errors import Corrupt
from penstock.monitoring.profile import texts_of
from penstock.monitoring.settings import ROWS_MAX
from penstock.stats.hashed import hash_text

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
FORMAT = 1
NAME = "rows"
"""What the rows are called among what a reference's profile has learned."""


@dataclass(frozen=True)
class Rows:
    """Rows by column. `numbers` are `(n,)` with NaN for missing, `texts` `(n,)` with 0 for missing.

    `groups` says which rows came together, in one request; `start_s` since when they came, in seconds.
    """

    row_count: int
    numbers: Mapping[str, Floats] = field(default_factory=dict)
    texts: Mapping[str, Ints] = field(default_factory=dict)
    groups: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    start_s: int = 0

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns, in alphabetical order."""
        return tuple(sorted((*self.numbers, *self.texts)))

    @staticmethod
    def of(columns: Mapping[str, Array], groups: Ints | None = None, start_s: int = 0) -> Rows:
        """Return rows given as one `(n,)` array a column; without groups each row is its own."""
        count = max((len(values) for values in columns.values()), default=0)
        numbers, texts = {}, {}
        for name, values in columns.items():
            if values.dtype.kind in "biuf" and values.dtype.kind != "b":
                numbers[name] = np.where(np.isfinite(values), values, np.nan).astype(np.float64)
            elif values.dtype.kind in "ObUST":
                texts[name] = _codes(values)
        return Rows(count, numbers, texts, np.arange(count) if groups is None else groups, start_s)

    def taken(self, places: Ints) -> Rows:
        """Return the rows at some places."""
        return Rows(
            len(places),
            {name: values[places] for name, values in self.numbers.items()},
            {name: values[places] for name, values in self.texts.items()},
            self.groups[places],
            self.start_s,
        )

    def to_bytes(self) -> bytes:
        """Serialise in the module's format; numbers beyond float32 are its largest."""
        packed: dict[str, tuple[str, bytes]] = {}
        most = float(np.finfo(np.float32).max)
        for name in self.column_names:
            if name in self.numbers:
                packed[name] = ("n", np.clip(self.numbers[name], -most, most).astype("<f4").tobytes())
            else:
                packed[name] = ("t", self.texts[name].astype("<u4").tobytes())
        return msgspec.msgpack.encode([FORMAT, self.row_count, packed])

    @staticmethod
    def from_bytes(data: bytes) -> Rows:
        """Read what `to_bytes` wrote.

        Raises:
            Corrupt: the bytes are something else (`monitoring.rows_corrupt`).
        """
        try:
            version, count, packed = msgspec.msgpack.decode(
                data, type=tuple[int, int, dict[str, tuple[str, bytes]]]
            )
            if version != FORMAT:
                raise ValueError(f"format {version} is unknown")
            numbers, texts = {}, {}
            for name, (kind, values) in packed.items():
                if kind == "n":
                    numbers[name] = np.frombuffer(values, dtype="<f4").astype(np.float64)
                else:
                    texts[name] = np.frombuffer(values, dtype="<u4").astype(np.int64)
            if any(len(one) != count for one in (*numbers.values(), *texts.values())):
                raise ValueError("columns are of unlike lengths")
        except (msgspec.DecodeError, ValueError, TypeError) as error:
            raise Corrupt(f"rows of a reference cannot be read: {error}", code="monitoring.rows_corrupt") from None  # fmt: skip
        return Rows(count, numbers, texts, np.arange(count))


def sampled_rows(columns: Mapping[str, Array], most: int = ROWS_MAX) -> Rows:
    """Return a sample of a table, spread evenly over its rows, in their order."""
    count = max((len(values) for values in columns.values()), default=0)
    places = np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64)) if count else np.zeros(0, np.int64)  # fmt: skip
    return Rows.of({name: values[places] for name, values in columns.items()})


def _codes(values: Array) -> Ints:
    """Return a number for each text, the same for the same text everywhere; 0 for what is missing."""
    texts = texts_of(values)
    known = {text: 0 if text is None else hash_text(text) % (2**32 - 1) + 1 for text in set(texts)}
    return np.array([known[text] for text in texts], dtype=np.int64)
