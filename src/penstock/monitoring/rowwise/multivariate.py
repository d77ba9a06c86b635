"""Multivariate drift: whether a classifier tells live rows from rows of the reference, and by which features.

It sees what no single feature shows: features that no longer go together as they did. Like drift it is an effect
size. Beside it stands what chance gives, and how well the reference's own stretches are told from the whole: a
reference whose rows come in bunches differs from each hour of itself.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from penstock.base.errors import Corrupt
from penstock.monitoring.rowwise.rows import Rows
from penstock.stats.separation import scores_of, separate

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[Any]
CATEGORIES = 8
"""So many texts of a column are told apart; the others are one."""
RARE = 0.005
"""Texts, and missing values, of a smaller share of the rows are no column of their own."""
FAR = 4.75
"""Standard errors that chance hardly exceeds: once in a million."""
BLOCKS, BLOCKS_MIN = 12, 6
BLOCK_ROWS = (100, 500)
"""Rows of a stretch of the reference, at least and at most."""
TELLS = 0.01
"""A feature without which the area falls by less is not named."""
NAME = "separation"
"""What the reference's own separation is called among what its profile has learned."""


class OwnSeparation(msgspec.Struct, frozen=True, array_like=True):
    """How well stretches of a reference are told from the rest of it: mean and standard deviation of the areas."""

    mean: float
    deviation: float


class Separated(msgspec.Struct, frozen=True, kw_only=True):
    """How well live rows are told from the reference: `area` under the ROC curve, with its standard error.

    `noise` is the area that is hardly exceeded without drift. `features` are those that give it away, each with what
    the area loses without it.
    """

    area: float
    error: float
    noise: float
    n_reference: int
    n_current: int
    features: tuple[tuple[str, float], ...] = ()


def separation(
    reference: Rows,
    current: Rows,
    own: OwnSeparation | None = None,
    left_out: Collection[str] = (),
    *,
    tells_features: bool = True,
) -> Separated | None:
    """Tell live rows from those of the reference; None with too few requests, or without a column that both have.

    A column that the current rows never had counts as missing in all of them.

    Args:
        own: how well the reference is told from itself.
        left_out: columns that are not compared, since they are not kept.
        tells_features: whether it is asked which features give it away.
    """
    columns, owners, names = matrix_of(reference, current, left_out)
    if not columns:
        return None
    is_current = np.arange(reference.row_count + current.row_count) >= reference.row_count
    groups = np.concatenate([reference.groups, current.groups]).astype(np.int64)
    found = separate(columns, owners, is_current, groups, tells_parts=tells_features)
    if found is None:
        return None
    noise = 0.5 + FAR * found.error
    if own is not None:
        noise = max(noise, own.mean + FAR * own.deviation)
    return Separated(
        area=found.area,
        error=found.error,
        noise=noise,
        n_reference=reference.row_count,
        n_current=current.row_count,
        features=tuple((names[place], part) for place, part in found.parts if part >= TELLS),
    )


def matrix_of(
    reference: Rows, current: Rows, left_out: Collection[str] = ()
) -> tuple[list[Floats], list[int], list[str]]:
    """Return the rows of both as columns of numbers, which feature each is made of by its place, and the features."""
    names = [name for name in reference.column_names if name not in left_out]
    columns: list[Floats] = []
    owners: list[int] = []
    for place, name in enumerate(names):
        make = _numeric if name in reference.numbers else _text
        made = make(reference, current, name)
        columns += made
        owners += [place] * len(made)
    return columns, owners, names


def own_separation(columns: Mapping[str, Array]) -> OwnSeparation | None:
    """Return how well stretches of a reference are told from its other rows; None where it has too few rows.

    Args:
        columns: all of its rows, in their order, one `(n,)` array a column.
    """
    count = max((len(values) for values in columns.values()), default=0)
    size = min(BLOCK_ROWS[1], count // BLOCKS_MIN)
    if size < BLOCK_ROWS[0]:
        return None
    areas = []
    for start in np.unique(np.linspace(0, count - size, BLOCKS).astype(np.int64)).tolist():
        others = np.unique(np.linspace(0, count - size - 1, min(count - size, 2 * size)).astype(np.int64))
        others[others >= start] += size
        block = np.arange(start, start + size)
        whole = Rows.of({name: values[others] for name, values in columns.items()})
        stretch = Rows.of({name: values[block] for name, values in columns.items()})
        found = separation(whole, stretch, tells_features=False)
        if found is not None:
            areas.append(found.area)
    if len(areas) < BLOCKS_MIN:
        return None
    return OwnSeparation(float(np.mean(areas)), float(np.std(areas, ddof=1)))


def read_own(data: bytes | None) -> OwnSeparation | None:
    """Read what was learned of a reference.

    Raises:
        Corrupt: the bytes are something else (`monitoring.rows_corrupt`).
    """
    if data is None:
        return None
    try:
        found = msgspec.msgpack.decode(data, type=OwnSeparation)
    except msgspec.DecodeError as error:
        raise Corrupt(f"the separation of a reference cannot be read: {error}", code="monitoring.rows_corrupt") from None  # fmt: skip
    return found if math.isfinite(found.mean) and math.isfinite(found.deviation) else None


def _numeric(reference: Rows, current: Rows, name: str) -> list[Floats]:
    now = current.numbers.get(name, np.full(current.row_count, np.nan))
    values = np.concatenate([reference.numbers[name], now])
    missing = ~np.isfinite(values)
    found = []
    scores = scores_of(values)
    if len(values) > missing.sum() and np.nanstd(scores) > 0:
        found.append(np.where(missing, 0.0, scores))
    if RARE <= missing.mean() <= 1 - RARE:
        found.append(missing - missing.mean())
    return found


def _text(reference: Rows, current: Rows, name: str) -> list[Floats]:
    """Return a column for each frequent text, for the others, and for what is missing."""
    now = current.texts.get(name, np.zeros(current.row_count, dtype=np.int64))
    values = np.concatenate([reference.texts[name], now])
    codes, places = np.unique(values, return_inverse=True)
    before = np.bincount(places[: reference.row_count], minlength=len(codes)) / max(1, reference.row_count)
    later = np.bincount(places[reference.row_count :], minlength=len(codes)) / max(1, current.row_count)
    # frequent in one sample is enough: a text that is new to the live rows must not drown in a large reference
    shares = np.maximum(before, later)
    order = np.argsort(-shares, kind="stable")
    kept = [int(codes[one]) for one in order if codes[one] != 0 and shares[one] >= RARE][:CATEGORIES]
    told = [values == code for code in kept]
    told += [(values != 0) & ~np.isin(values, kept), values == 0]
    return [one - one.mean() for one in told if RARE / 2 <= one.mean() <= 1 - RARE / 2]
