"""How much a reference differs from itself over time, so that what comes in bunches is no alarm.

The reference's rows are cut, in their order, into blocks of as many rows as a window may have, and each
block is compared with the whole. Rows that come one by one give what chance gives; hours that share one
weather value give much more. A reference in no order gives chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from penstock.monitoring.bins import NumberBins, bins_of
from penstock.monitoring.marks import Marks
from penstock.monitoring.profile import NumberColumn, Profile, Spread
from penstock.stats.distances import population_stability_of

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
SMALLEST = 128
BLOCKS_MIN = 16
"""Fewer blocks tell nothing of how far one may be off."""
FAR = 5.5
"""Standard deviations of the blocks: with 4, one of 20 features that come in bunches alarmed in 4 % of windows."""


class Noise(msgspec.Struct, frozen=True):
    """What the index and the distance of a window are on average without drift, and what they hardly exceed."""

    psi_mean: float
    psi: float
    ks: float


def reference_profile(columns: Mapping[str, Array]) -> Profile:
    """Return the profile of a reference in the order of its rows, with how it varies over them."""
    profile = Profile.of(columns)
    for name, values in columns.items():
        column = profile.column(name)
        if isinstance(column, NumberColumn):
            numbers = np.asarray(values, dtype=np.float64)
            column.marks = Marks.at(NumberBins(column).edges)
            column.marks.update(numbers[np.isfinite(numbers)])
    sizes = [size for power in range(7, 31) if (size := 2**power) * BLOCKS_MIN <= profile.row_count]
    for name, values in columns.items():
        if sizes:
            profile.variation[name] = tuple(_spreads(profile, name, values, sizes))
    return profile


def _spreads(profile: Profile, name: str, values: Array, sizes: list[int]) -> list[Spread]:
    column = profile.column(name)
    if column is None:
        return []
    bins = bins_of(column)
    places = bins.places(values)
    count = int(places.max()) + 1
    curve = np.zeros(0, dtype=np.int64)
    if isinstance(bins, NumberBins):
        curve = np.searchsorted(bins.curve, np.asarray(values, dtype=np.float64)).astype(np.int64)
    return [_spread(places, count, curve, size) for size in sizes]


def _spread(places: Array, count: int, curve: Array, size: int) -> Spread:
    psi = [population_stability_of(whole, part) for whole, part in _parts(places, count, size)]
    ks = [0.0]
    if len(curve):
        ks = [
            float(np.abs(np.cumsum(part) / part.sum() - np.cumsum(whole) / whole.sum()).max())
            for whole, part in _parts(curve, int(curve.max()) + 1, size)
        ]
    return Spread(
        size, float(np.mean(psi)), float(np.std(psi)), float(np.mean(ks)), float(np.std(ks))
    )  # fmt: skip


def _parts(places: Array, count: int, size: int) -> list[tuple[Floats, Floats]]:
    """Return the counts of everything and of each block; at most 400 blocks, spread over the rows."""
    blocks = len(places) // size
    whole = np.bincount(places, minlength=count).astype(np.float64)
    chosen = np.unique(np.linspace(0, blocks - 1, min(blocks, 400)).astype(int))
    return [
        (whole, np.bincount(places[one * size : (one + 1) * size], minlength=count).astype(np.float64))
        for one in chosen.tolist()
    ]


def noise_of(spreads: tuple[Spread, ...], row_count: int, reference_count: int) -> Noise | None:
    """Return the noise of windows of so many rows; None where the reference does not tell it.

    A block of b of the reference's N rows is off the whole as 1/b - 1/N goes, for it is part of it; a window
    of m other rows as 1/m + 1/N: a reference whose rows come in bunches is itself off, however large the
    window. Between two sizes of blocks what one row adds is interpolated; beyond the largest, blocks are
    taken as independent.
    """
    if not spreads:
        return None
    rows = np.log([spread.row_count for spread in spreads])
    at, apart = np.log(max(row_count, 1)), 1 / max(row_count, 1) + 1 / reference_count
    parts = np.array([1 / spread.row_count - 1 / reference_count for spread in spreads])

    def of(name: str, power: float) -> float:
        values = np.array([max(float(getattr(spread, name)), 1e-12) for spread in spreads])
        per_row = np.log(values) - power * np.log(parts)
        return float(np.exp(np.interp(at, rows, per_row)) * apart**power)

    psi_mean, psi_deviation = of("psi_mean", 1.0), of("psi_deviation", 1.0)
    ks_mean, ks_deviation = of("ks_mean", 0.5), of("ks_deviation", 0.5)
    return Noise(psi_mean, psi_mean + _far(psi_mean, psi_deviation), ks_mean + FAR * ks_deviation)


def _far(mean: float, deviation: float) -> float:
    """Return how far above its mean a gamma variable goes about once in a million (Wilson, Hilferty, 1931)."""
    if deviation <= 0 or mean <= 0:
        return 0.0
    shape = (mean / deviation) ** 2
    cube = max(0.0, 1 - 1 / (9 * shape) + 4.8 / (3 * np.sqrt(shape)))
    return float(mean * float(cube) ** 3 - mean)
