"""The counts behind quality: what labels say of predictions, in a form that merges.

The scores of each class are kept in 1,000 bins, how often each class was hit, missed and wrongly told, and sums of losses.
Rows of one request belong together, so all of it is kept in 32 groups of whole requests beside the totals. An
output that is no number of any size is counted and left out. What the counts mean as metrics is in `quality`.

Format (version 2): MessagePack, see `to_bytes`. Version 1, without groups, is read; each such part then
counts as one request. So are pairs of different classes, which were kept at first.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any, Self

import msgspec
import numpy as np
import numpy.typing as npt

from penstock.base.errors import Corrupt
from penstock.monitoring.quality.useless import LARGEST_ANSWER
from penstock.stats.losses import log_losses_of_truth, losses

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
BINS = 1000
COARSE = 50
GROUPS = 32
PAIRS_MAX = 3000
"""Three counts of each of 1,000 classes; what comes of further ones is `UNKNOWN`."""
OTHERS = "others"
"""Any other class than the one beside it in a pair; the names of classes begin with a sign."""
UNKNOWN = (OTHERS, OTHERS)
"""Rows of which it is not known what class was taken for which, so that nothing is known of each class."""
POSITIVE, NEGATIVE = "+", "-"
"""The names that the positive class and the other have in the counts of binary classification."""
IS_POSITIVE = "positive"
"""In a pair with a name, without counts: which class is `POSITIVE`."""
SUMS = (
    "scored", "brier", "log_loss", "classed", "right", "valued", "absolute", "squared", "label",
    "label_squares", "sized", "percent",
)  # fmt: skip
AT = {name: index for index, name in enumerate(SUMS)}
NONE: Counts = np.zeros(0, dtype=np.int64)


class QualityCounts:
    """Mergeable counts of how right predictions were.

    A merge is associative and commutative: exactly for counts, to rounding for sums. Of two parts that have different
    classes as the positive one, the last says which it is.

    Attributes:
        positive: the name of the positive class; empty where there is none, or nobody knows.
    """

    def __init__(self) -> None:
        self.positive = ""
        self.left_out = 0
        self.fine: Counts = NONE
        self.coarse: Counts = NONE
        self.sums = np.zeros((GROUPS, len(SUMS)))
        self.squares = np.zeros(len(SUMS))
        self.classes: dict[tuple[str, str], Counts] = {}

    def add_binary(
        self, scores: Floats, labels: npt.ArrayLike, requests: Sequence[int] | None = None
    ) -> None:
        """Add probabilities of the positive class and whether it was the truth.

        Args:
            requests: a number of the request of each row; without them each row is a request.
        """
        values = np.asarray(scores, dtype=np.float64)
        keep = np.isfinite(values)
        self.left_out += int((~keep).sum())
        truth = np.asarray(labels, dtype=np.float64)[keep] > 0.5
        groups, values = _groups(len(keep), requests)[keep], np.clip(values[keep], 0.0, 1.0)
        if not len(values):
            return
        if self.fine is NONE:
            self.fine = np.zeros((2, BINS), dtype=np.int64)
            self.coarse = np.zeros((GROUPS, 2, COARSE), dtype=np.int64)
        bins = np.minimum((values * BINS).astype(np.int64), BINS - 1)
        np.add.at(self.fine, (truth.astype(np.int64), bins), 1)
        np.add.at(self.coarse, (groups, truth.astype(np.int64), bins * COARSE // BINS), 1)
        self._add("scored", groups, np.ones(len(values)))
        self._add("brier", groups, losses("brier", truth.astype(np.float64), values))
        self._add("log_loss", groups, losses("log_loss", truth.astype(np.float64), values))

    def add_probabilities(
        self, probabilities: Floats, truth: Sequence[int], requests: Sequence[int] | None = None
    ) -> None:
        """Add the probabilities of more than two classes and which of them was the truth.

        Args:
            probabilities: `(n_rows, n_classes)`, finite.
            truth: the column of each row's true class.
            requests: a number of the request of each row; without them each row is a request.

        Source: Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review
        78, 1950, eq. 2 (the sum over all classes, in [0, 2]).
        """
        count = len(truth)
        if not count:
            return
        groups, rows = _groups(count, requests), np.arange(count)
        values = np.clip(probabilities, 0.0, 1.0)
        of_truth = values[rows, np.asarray(truth, dtype=np.int64)]
        self._add("scored", groups, np.ones(count))
        self._add("brier", groups, np.square(values).sum(axis=1) - 2 * of_truth + 1)
        self._add("log_loss", groups, log_losses_of_truth(of_truth))

    def add_classes(
        self,
        predicted: Sequence[Any] | npt.NDArray[Any],
        labels: Sequence[Any] | npt.NDArray[Any],
        requests: Sequence[int] | None = None,
    ) -> None:
        """Add predicted classes and true ones; in binary classification the positive one is `POSITIVE`."""
        count = len(labels)
        if not count:
            return
        groups = _groups(count, requests)
        told = [*map(str, labels), *map(str, predicted)]
        names = sorted(set(told))
        at = {name: place for place, name in enumerate(names)}
        codes = np.array([at[name] for name in told], dtype=np.int64)
        truth, guess = codes[:count], codes[count:]
        self._add("classed", groups, np.ones(count))
        self._add("right", groups, (truth == guess).astype(np.float64))
        for is_of, codes, pair in (
            (truth == guess, truth, lambda name: (name, name)),
            (truth != guess, truth, lambda name: (name, OTHERS)),
            (truth != guess, guess, lambda name: (OTHERS, name)),
        ):
            places = codes[is_of] * GROUPS + groups[is_of]
            table = np.bincount(places, minlength=len(names) * GROUPS).reshape(-1, GROUPS)
            for index in np.flatnonzero(table.any(axis=1)).tolist():
                self._add_class(pair(names[index]), table[index])

    def _add_class(self, pair: tuple[str, str], counts: Counts) -> None:
        known = self.classes.get(pair)
        if known is None:
            if len(self.classes) >= PAIRS_MAX:
                pair = UNKNOWN
            known = self.classes.setdefault(pair, np.zeros(GROUPS, dtype=np.int64))
        known += counts

    def add_values(self, predicted: Floats, labels: Floats, requests: Sequence[int] | None = None) -> None:
        """Add predicted numbers and true ones."""
        guess, truth = np.asarray(predicted, dtype=np.float64), np.asarray(labels, dtype=np.float64)
        keep = np.abs(guess) <= LARGEST_ANSWER
        self.left_out += int((~keep).sum())
        groups, guess, truth = _groups(len(keep), requests)[keep], guess[keep], truth[keep]
        self._add("valued", groups, np.ones(len(guess)))
        self._add("absolute", groups, np.abs(guess - truth))
        self._add("squared", groups, np.square(guess - truth))
        self._add("label", groups, truth)
        self._add("label_squares", groups, np.square(truth))
        sized = truth != 0
        self._add("sized", groups[sized], np.ones(int(sized.sum())))
        with np.errstate(over="ignore"):  # of a truth next to zero
            percent = np.abs((guess - truth)[sized] / truth[sized])
        self._add("percent", groups[sized], np.minimum(percent, LARGEST_ANSWER))

    def _add(self, name: str, groups: Counts, values: Floats) -> None:
        self.sums[:, AT[name]] += np.bincount(groups, values, GROUPS)
        self.squares[AT[name]] += float(np.square(values).sum())

    def total(self, name: str) -> float:
        """Return a sum over all groups, by its name in `SUMS`."""
        return float(self.sums[:, AT[name]].sum())

    @property
    def label_count(self) -> int:
        """How many labelled rows there are that count."""
        return round(max(self.total("scored"), self.total("classed"), self.total("valued")))

    @property
    def positive_count(self) -> int:
        """How many labels of scored rows were positive."""
        return 0 if self.fine is NONE else int(self.fine[1].sum())

    def merge(self, other: Self) -> Self:
        """Return the quality of both; neither argument changes."""
        result = type(self)()
        result.positive = other.positive or self.positive
        result.left_out = self.left_out + other.left_out
        result.sums = self.sums + other.sums
        result.squares = self.squares + other.squares
        for one in (self.turned(result.positive), other.turned(result.positive)):
            if one.fine is not NONE:
                result.fine = one.fine if result.fine is NONE else result.fine + one.fine
                result.coarse = one.coarse if result.coarse is NONE else result.coarse + one.coarse
            for pair, counts in one.classes.items():
                result._add_class(pair, counts)
        result.classes = {pair: counts for pair, counts in result.classes.items() if counts.any()}
        if result.fine is not NONE and (self.fine is NONE or other.fine is NONE):
            result.fine, result.coarse = result.fine.copy(), result.coarse.copy()
        return result

    def without(self, other: Self) -> Self:
        """Return this quality with another's taken out, as a difference to be merged with what holds it.

        What was taken out and is not in here is below nothing until then.
        """
        other = other.turned(self.positive)
        negative = type(self)()
        negative.positive = other.positive
        negative.left_out = -other.left_out
        negative.sums, negative.squares = -other.sums, -other.squares
        negative.fine, negative.coarse = -other.fine, -other.coarse
        if other.fine is NONE:
            negative.fine = negative.coarse = NONE
        negative.classes = {pair: -counts for pair, counts in other.classes.items()}
        return self.merge(negative)

    def turned(self, positive: str) -> Self:
        """Return the same with another class as the positive one, where it is known which it is now."""
        if positive in ("", self.positive):
            return self
        names = {one for pair in self.classes for one in pair}
        if not self.positive and (POSITIVE in names or self.fine is not NONE):
            return self
        new = {POSITIVE: f"={self.positive}", f"={positive}": POSITIVE}
        if self.fine is not NONE or NEGATIVE in names or {self.positive, positive} == {"0", "1"}:
            new = {POSITIVE: NEGATIVE, NEGATIVE: POSITIVE}
        result = type(self)()
        result.positive, result.left_out = positive, self.left_out
        result.sums, result.squares = self.sums, self.squares
        if self.fine is not NONE:  # the score of one class is what the other's lacks to one
            result.fine, result.coarse = self.fine[::-1, ::-1], self.coarse[:, ::-1, ::-1]
        for (truth, guess), counts in self.classes.items():
            result._add_class((new.get(truth, truth), new.get(guess, guess)), counts)
        return result

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing at all: neither of labels that count nor of any left out."""
        return not (self.left_out or self.sums.any() or self.squares.any() or self.classes)

    def to_bytes(self) -> bytes:
        """Serialise as MessagePack `[2, left_out, fine, coarse, sums, squares, classes]`.

        Counts are sparse: [index, count, …] of the flattened array; sums are [index, value, …] alike;
        classes are [[truth, prediction, group counts], …] in alphabetical order, of a class with itself and with
        `OTHERS`, one way and the other; then [`IS_POSITIVE`, name, []], where it is known.
        """
        classes = [(*pair, _sparse(self.classes[pair])) for pair in sorted(self.classes)]
        classes += [(IS_POSITIVE, self.positive, [])] if self.positive else []
        sums = (_sparse_floats(self.sums), _sparse_floats(self.squares))
        return msgspec.msgpack.encode(
            [2, self.left_out, _sparse(self.fine), _sparse(self.coarse), *sums, classes]
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote, now or in version 1.

        Raises:
            Corrupt: the bytes are something else.
        """
        try:
            parts = msgspec.msgpack.decode(data)
            if not isinstance(parts, list) or not parts or parts[0] not in (1, 2):
                raise ValueError("the format is unknown")
            result = cls()
            _read_first(result, parts, data) if parts[0] == 1 else _read(result, parts)
            return result
        except (msgspec.DecodeError, ValueError, IndexError, TypeError) as error:
            raise Corrupt(
                f"quality counts cannot be read: {error}", code="monitoring.quality_corrupt"
            ) from None


def _groups(count: int, requests: Sequence[int] | None) -> Counts:
    """Return the group of each row's request."""
    numbers = np.arange(count) if requests is None else np.asarray(requests, dtype=np.int64)
    return np.asarray(numbers % GROUPS, dtype=np.int64)


def request_number(prediction_id: str) -> int:
    """Return the number by which a request's rows are kept together, the same in every process."""
    return zlib.crc32(prediction_id.encode())


def _sparse(counts: Counts) -> list[int]:
    flat = counts.ravel()
    return [int(value) for index in np.flatnonzero(flat) for value in (index, flat[index])]


def _sparse_floats(values: Floats) -> list[Any]:
    flat = values.ravel()
    return [part for index in np.flatnonzero(flat) for part in (int(index), float(flat[index]))]


def _dense(parts: list[Any], shape: tuple[int, ...], kind: Any) -> npt.NDArray[Any]:
    flat = np.zeros(math.prod(shape), dtype=kind)
    flat[parts[::2]] = parts[1::2]
    return flat.reshape(shape)


def _read(result: QualityCounts, parts: list[Any]) -> None:
    _, left_out, fine, coarse, sums, squares, classes = parts
    result.left_out = int(left_out)
    if fine:
        result.fine = _dense(fine, (2, BINS), np.int64)
        result.coarse = _dense(coarse, (GROUPS, 2, COARSE), np.int64)
    result.sums = _dense(sums, (GROUPS, len(SUMS)), np.float64)
    result.squares = _dense(squares, (len(SUMS),), np.float64)
    for truth, guess, counts in classes:
        if truth == IS_POSITIVE:
            result.positive = str(guess)
            continue
        pair = (str(truth), str(guess))
        # which class was taken for which was told apart at first
        for one in [pair] if truth == guess or OTHERS in pair else [(pair[0], OTHERS), (OTHERS, pair[1])]:
            result._add_class(one, _dense(counts, (GROUPS,), np.int64))


def _read_first(result: QualityCounts, parts: list[Any], data: bytes) -> None:
    """Read version 1: `[1, positives, negatives, [[count, total, squares] of brier, log loss, right, …]]`."""
    _, positives, negatives, sums = parts
    group = zlib.crc32(data) % GROUPS
    if positives or negatives:
        result.fine = np.stack([_dense(one, (BINS,), np.int64) for one in (negatives, positives)])
        result.coarse = np.zeros((GROUPS, 2, COARSE), dtype=np.int64)
        result.coarse[group] = result.fine.reshape(2, COARSE, -1).sum(axis=2)
    names = ("brier", "log_loss", "right", "absolute", "squared")
    counted = ("scored", "scored", "classed", "valued", "valued")
    for name, count_name, (count, total, squares) in zip(names, counted, sums, strict=True):
        result.sums[group, AT[count_name]] = count
        result.sums[group, AT[name]] = total
        result.squares[AT[name]] = squares
