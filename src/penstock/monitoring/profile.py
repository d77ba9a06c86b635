"""Profiles: mergeable summaries of a table's columns.

Numbers keep a quantile sketch with exact count, sum, extremes; texts and booleans keep their most frequent
values. Profiles of parts of a table merge to the profile of the table, whoever made them. What differs
between two profiles is told in `drift`.

Format (version 1): MessagePack `[1, rows, {column: [kind, …]}]`, columns in alphabetical order; version 2
of a reference has `{column: [[block rows, …], …]}` after them, how it varies over its rows (see
`variation`); version 3 after that `{name: bytes}`, what else was learned of the reference (see `learned`).
Equal profiles that were read back give equal bytes, and so equal digests.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from penstock.base.errors import Corrupt
from penstock.base.threads import give_way
from penstock.monitoring.marks import Marks
from penstock.stats.sketches import ORDERED_MIN, ItemSketch, QuantileSketch
from penstock.stats.weighted import WeightedSample

Array = npt.NDArray[Any]
FORMAT = 1
FORMAT_OF_REFERENCE = 2
FORMAT_WITH_LEARNED = 3


class Spread(msgspec.Struct, frozen=True, array_like=True):
    """Of blocks of so many rows: mean and standard deviation of index and distance from the whole."""

    row_count: int
    psi_mean: float
    psi_deviation: float
    ks_mean: float
    ks_deviation: float


SORTED_MIN = 200
"""So many values are put in order first: sketch and marks together then take a third of the time."""
MOMENT_LIMIT = 1e140
"""Mean and deviation see larger values as this one: the square of 1e308 is no number that sums can go on with."""

LOST = 1e-8
"""A smaller share of the mean square is lost in rounding: what is left of a difference of sums has few digits."""


class NumberColumn:
    """The summary of a numeric column; NaN, infinities and absence count as missing.

    `marks` count all its present values exactly, at edges that somebody asked for; None where nobody did.
    """

    def __init__(self, marks: Marks | None = None) -> None:
        self.sketch = QuantileSketch()
        self.marks = marks
        self.total = 0.0
        self.total_squares = 0.0
        self.low = math.inf
        self.high = -math.inf

    @property
    def count(self) -> int:
        """How many values were present."""
        return self.sketch.count

    @property
    def mean(self) -> float:
        """Mean of the present values; NaN without any."""
        return self.total / self.count if self.count else math.nan

    @property
    def deviation(self) -> float:
        """Standard deviation of the present values; NaN without any.

        Of values that differ little beside their size, as times since 1970 do, sums keep no digit of it: then it is that of
        the sketch, a hundredth off.
        """
        if not self.count:
            return math.nan
        squares = self.total_squares / self.count
        variance = squares - self.mean**2
        if variance > LOST * squares:
            return math.sqrt(variance)
        sample = self.sketch.sample()
        return WeightedSample(np.clip(sample.values, -MOMENT_LIMIT, MOMENT_LIMIT), sample.weights).deviation()

    def update(self, values: Array) -> None:
        """Add values of any numeric type."""
        numbers = np.asarray(values, dtype=np.float64)
        finite = numbers if all_finite(numbers) else numbers[np.isfinite(numbers)]
        if not len(finite):
            return
        if self.marks is not None and not self.marks.can_count:
            self.marks = None
        if len(finite) >= SORTED_MIN:
            finite = np.sort(finite)
            low, high = float(finite[0]), float(finite[-1])
            if len(finite) >= ORDERED_MIN:
                self.sketch.update_ordered(finite)
            else:
                self.sketch.update(finite)
            if self.marks is not None:
                self.marks.update_ordered(finite)
        else:
            low, high = float(finite.min()), float(finite.max())
            self.sketch.update(finite)
            if self.marks is not None:
                self.marks.update(finite)
        self.low, self.high = min(self.low, low), max(self.high, high)
        if max(-low, high) > MOMENT_LIMIT:
            finite = np.clip(finite, -MOMENT_LIMIT, MOMENT_LIMIT)
        self.total += float(finite.sum())
        self.total_squares += float(np.square(finite).sum())

    def merged(self, other: NumberColumn) -> NumberColumn:
        """Return the summary of both."""
        return self._with(other, self.sketch.merged(other.sketch))

    def _with(self, other: NumberColumn, sketch: QuantileSketch) -> NumberColumn:
        result = NumberColumn()
        result.sketch = sketch
        result.total = self.total + other.total
        result.total_squares = self.total_squares + other.total_squares
        result.low, result.high = min(self.low, other.low), max(self.high, other.high)
        if self.marks is not None and other.marks is not None:
            result.marks = self.marks.merged(other.marks)
        elif not self.count or not other.count:
            result.marks = other.marks if other.count else self.marks
        return result

    def grown(self, other: NumberColumn) -> NumberColumn:
        """Return the summary of both, which is as small as one (`QuantileSketch.grown`)."""
        return self._with(other, self.sketch.grown(other.sketch))

    def pack(self) -> list[Any]:
        """Return what the format keeps."""
        parts = ["n", self.sketch.to_bytes(), self.total, self.total_squares, self.low, self.high]
        return parts if self.marks is None else [*parts, *self.marks.pack()]

    @staticmethod
    def unpack(parts: list[Any]) -> NumberColumn:
        """Read what `pack` gave."""
        result = NumberColumn()
        sketch, result.total, result.total_squares, result.low, result.high, *marks = parts
        result.sketch = QuantileSketch.from_bytes(sketch)
        result.marks = Marks.unpack(*marks) if marks else None
        return result


def all_finite(numbers: Array) -> bool:
    """Whether no value is NaN or infinite; a sum tells it in half the time that a look at each takes."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = numbers.sum()
    return bool(np.isfinite(total)) or bool(np.isfinite(numbers).all())


class TextColumn:
    """The summary of a text or boolean column; None and absence count as missing."""

    def __init__(self) -> None:
        self.sketch = ItemSketch()

    @property
    def count(self) -> int:
        """How many values were present."""
        return self.sketch.count

    def update(self, values: Array) -> None:
        """Add texts or booleans."""
        self.update_counts({text: weight for text, weight in _counted(values).items() if text is not None})

    def update_counts(self, counts: Mapping[str, int]) -> None:
        """Add texts with how often each was there."""
        self.sketch.update(counts)

    def merged(self, other: TextColumn) -> TextColumn:
        """Return the summary of both."""
        result = TextColumn()
        result.sketch = self.sketch.merged(other.sketch)
        return result

    def pack(self) -> list[Any]:
        """Return what the format keeps."""
        return ["t", *self.sketch.to_parts()]

    @staticmethod
    def unpack(parts: list[Any]) -> TextColumn:
        """Read what `pack` gave."""
        result = TextColumn()
        result.sketch = ItemSketch.from_parts(*parts)
        return result


def _counted(values: Array) -> Counter[str | None]:
    """Return how often each text is there; a column of nothing but texts takes a third of the time of others."""
    try:
        raw = Counter(values.tolist())
    except TypeError:  # something that cannot be counted as it is
        return Counter(texts_of(values))
    return raw if all(type(one) is str or one is None for one in raw) else Counter(texts_of(values))


def texts_of(values: Array) -> list[str | None]:
    """Return texts or booleans as texts, `true` and `false`; None for what is missing, a NaN too."""
    return [_text_of(value) for value in values.tolist()]


def _text_of(value: Any) -> str | None:
    if value is None or value != value:  # noqa: PLR0124 - a NaN is the one value that differs from itself
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


ColumnProfile = NumberColumn | TextColumn


class Profile:
    """The summary of a table. Not thread-safe while it is updated.

    Args:
        edges: of numeric columns by name, at which their values are also counted exactly.
    """

    def __init__(
        self,
        row_count: int = 0,
        columns: Mapping[str, ColumnProfile] | None = None,
        *,
        edges: Mapping[str, npt.NDArray[np.float64]] | None = None,
    ) -> None:
        self.row_count = row_count
        self._edges = edges or {}
        self._columns: dict[str, ColumnProfile] = dict(columns or {})
        self.variation: dict[str, tuple[Spread, ...]] = {}
        self.learned: dict[str, bytes] = {}

    @staticmethod
    def of(columns: Mapping[str, Array]) -> Profile:
        """Return the profile of a table given as one `(n,)` array a column."""
        profile = Profile()
        profile.update(columns)
        return profile

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns seen, in alphabetical order."""
        return tuple(sorted(self._columns))

    @property
    def digest(self) -> str:
        """The sha256 of the serialised profile."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def column(self, name: str) -> ColumnProfile | None:
        """Return a column's summary, or None when it was never seen."""
        return self._columns.get(name)

    def missing_ratio(self, name: str) -> float:
        """Return the share of rows in [0, 1] where the column was missing or absent; 0.0 without rows."""
        column = self._columns.get(name)
        present = column.count if column else 0
        return 1 - present / self.row_count if self.row_count else 0.0

    def update(
        self,
        columns: Mapping[str, Array],
        row_count: int | None = None,
        counted: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:
        """Add rows given as one `(n,)` array a column; update with hundreds of rows at once.

        A column of text where numbers were seen before (or the reverse) counts as missing there.

        Args:
            row_count: n; needed only when there are no columns.
            counted: columns of text as how often each text is there.
        """
        for name, values in columns.items():
            give_way()
            column = self._column_of(name, is_text=values.dtype.kind in "ObUST")
            if column is not None:
                column.update(values)
        for name, counts in (counted or {}).items():
            column = self._column_of(name, is_text=True)
            if isinstance(column, TextColumn):
                column.update_counts(counts)
        lengths = [len(values) for values in columns.values()]
        self.row_count += row_count if row_count is not None else max(lengths, default=0)

    def _column_of(self, name: str, *, is_text: bool) -> ColumnProfile | None:
        """Return a column, a new one where it was never seen; None where it holds the other kind."""
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = TextColumn() if is_text else self._numbers(name)
        return column if isinstance(column, TextColumn) == is_text else None

    def _numbers(self, name: str) -> NumberColumn:
        return NumberColumn(Marks.at(self._edges[name]) if name in self._edges else None)

    def merge(self, other: Profile) -> Profile:
        """Return the profile of both tables; neither argument changes."""
        columns: dict[str, ColumnProfile] = {}
        for name in (*self._columns, *(key for key in other._columns if key not in self._columns)):
            columns[name] = _merged_column(self._columns.get(name), other._columns.get(name))
        return Profile(self.row_count + other.row_count, columns)

    def grown(self, other: Profile) -> Profile:
        """Return the profile of both, as small as one, for who adds one part after the other; neither changes."""
        columns = dict(self._columns)
        for name, theirs in other._columns.items():
            give_way()
            ours = columns.get(name, NumberColumn())
            if isinstance(ours, NumberColumn) and isinstance(theirs, NumberColumn):
                columns[name] = ours.grown(theirs)
            else:
                columns[name] = _merged_column(columns.get(name), theirs)
        return Profile(self.row_count + other.row_count, columns)

    def to_bytes(self) -> bytes:
        """Serialise in the module's format."""
        packed = {name: _packed(self._columns[name]) for name in self.column_names}
        if not self.variation and not self.learned:
            return msgspec.msgpack.encode([FORMAT, self.row_count, packed])
        variation = {name: self.variation[name] for name in sorted(self.variation)}
        if self.learned:
            learned = {name: self.learned[name] for name in sorted(self.learned)}
            return msgspec.msgpack.encode([FORMAT_WITH_LEARNED, self.row_count, packed, variation, learned])
        return msgspec.msgpack.encode([FORMAT_OF_REFERENCE, self.row_count, packed, variation])

    @staticmethod
    def from_bytes(data: bytes, only: Collection[str] | None = None) -> Profile:
        """Read what `to_bytes` wrote.

        Args:
            only: the columns that are read; None: all.

        Raises:
            Corrupt: the bytes are something else.
        """
        try:
            version, row_count, packed, *more = msgspec.msgpack.decode(data, type=list[Any])
            formats = ((FORMAT, 0), (FORMAT_OF_REFERENCE, 1), (FORMAT_WITH_LEARNED, 2))
            if (version, len(more)) not in formats:
                raise ValueError(f"format {version} is unknown")
            variation = msgspec.convert(more[0] if more else {}, dict[str, tuple[Spread, ...]])
            learned = msgspec.convert(more[1] if len(more) > 1 else {}, dict[str, bytes])
            columns: dict[str, ColumnProfile] = {}
            for name, (kind, *parts) in packed.items():
                if only is not None and name not in only:
                    continue
                columns[name] = NumberColumn.unpack(parts) if kind == "n" else TextColumn.unpack(parts)
        except (msgspec.DecodeError, ValueError, TypeError, AttributeError) as error:
            raise Corrupt(f"a profile cannot be read: {error}", code="monitoring.profile_corrupt") from None
        result = Profile(int(row_count), columns)
        result.variation, result.learned = variation, learned
        return result


def _packed(column: ColumnProfile) -> list[Any]:
    give_way()
    return column.pack()


def _merged_column(ours: ColumnProfile | None, theirs: ColumnProfile | None) -> ColumnProfile:
    """Return a new column of both; where they differ in kind, ours stands and theirs counts as missing."""
    if isinstance(ours, NumberColumn):
        return ours.merged(theirs if isinstance(theirs, NumberColumn) else NumberColumn())
    if isinstance(ours, TextColumn):
        return ours.merged(theirs if isinstance(theirs, TextColumn) else TextColumn())
    if isinstance(theirs, NumberColumn):
        return theirs.merged(NumberColumn())
    return (theirs or TextColumn()).merged(TextColumn())
