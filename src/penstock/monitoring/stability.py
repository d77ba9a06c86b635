"""The population stability index of a column against its reference, with what it is by chance. The other measures: `drift`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from penstock.monitoring.bins import NumberBins, TextBins, bins_of
from penstock.monitoring.profile import ColumnProfile, Profile, TextColumn
from penstock.monitoring.variation import Noise, noise_of
from penstock.stats.distances import population_stability_of, stability_noise

Floats = npt.NDArray[np.float64]
SKETCH_INDEX_ERROR = 0.003
"""What two sketches may add to a stability index where no bin is nearly empty; measured: at most 0.0028."""


@dataclass(frozen=True)
class Stability:
    """One column against its reference: the index less what it is by chance, and `noise` that it hardly exceeds without drift.

    `before` and `now` are the counts of the bins that are used on either side, one for what is missing among them;
    `bunched` is how much more the index varies than the rows say, `unseen_ratio` the share of texts the reference never had.
    """

    psi: float
    noise: float
    before: Floats
    now: Floats
    missing: tuple[int, int]
    present: int
    varied: Noise | None
    bunched: float
    unseen_ratio: float | None


class Stabilities:
    """Compares profiles with one reference. What the reference's columns have for themselves is computed once a column."""

    def __init__(self, reference: Profile) -> None:
        self._reference = reference
        self._bins: dict[str, NumberBins | TextBins] = {}
        self._counts: dict[str, Floats] = {}

    def column(self, name: str) -> ColumnProfile:
        """Return a column of the reference; one without values where it has none."""
        return self._reference.column(name) or TextColumn()

    def bins(self, name: str) -> NumberBins | TextBins:
        """Return the bins of a column of the reference."""
        if name not in self._bins:
            self._bins[name] = bins_of(self.column(name))
        return self._bins[name]

    def of(self, name: str, current: Profile) -> Stability:
        """Compare a column; one that the current rows never had counts as missing in all of them. Both have rows."""
        before, now, bins = self.column(name), current.column(name), self.bins(name)
        n, m = self._reference.row_count, current.row_count
        present = now.count if type(now) is type(before) and now is not None else 0
        missing = max(0, n - before.count), max(0, m - present)
        if name not in self._counts:
            self._counts[name] = np.append(bins.counts(before), missing[0])
        bins_before, bins_now = self._counts[name], np.append(bins.counts(now), missing[1])
        used = (bins_before > 0) | (bins_now > 0)
        bins_before, bins_now = bins_before[used], bins_now[used]
        by_chance = (len(bins_before) - 1) * (1 / n + 1 / m)
        noise = by_rows = stability_noise(len(bins_before), n, m)
        if isinstance(bins, NumberBins) and not (bins.counts_exactly(before) and bins.counts_exactly(now)):
            noise += SKETCH_INDEX_ERROR
        varied = noise_of(self._reference.variation.get(name, ()), m, n)
        if varied is not None:
            by_chance = max(by_chance, varied.psi_mean)
            noise = max(noise, varied.psi - by_chance)
        bunched = (max(1.0, noise / by_rows)) ** 0.5 if by_rows else 1.0
        psi = max(0.0, population_stability_of(bins_before, bins_now) - by_chance)
        unseen_psi, unseen_noise, unseen_ratio = _unseen(before, now)
        if unseen_psi - unseen_noise > psi - noise:
            psi, noise = unseen_psi, unseen_noise
        return Stability(psi, noise, bins_before, bins_now, missing, present, varied, bunched, unseen_ratio)


def _unseen(before: object, now: object) -> tuple[float, float, float | None]:
    """Return index and noise of texts new against known, and the share of new ones.

    Where the reference's own rows bring new texts all the time, so many are expected. (0, 0, None) where
    the texts are not known well enough.
    """
    if not isinstance(before, TextColumn) or not isinstance(now, TextColumn):
        return 0.0, 0.0, None
    known, seen = before.sketch.hashed, now.sketch.hashed
    if known is None or seen is None:
        return 0.0, 0.0, None
    unseen, looked = seen.unseen_in(known)
    total = sum(known.sample.values())
    if not looked or not total:
        return 0.0, 0.0, None
    expected = known.new_ratio * total
    index = population_stability_of(
        np.array([total - expected, expected]), np.array([looked - unseen, unseen], dtype=np.float64)
    )
    noise = stability_noise(2, total, min(looked, len(seen.sample)))
    is_more = unseen / looked > known.new_ratio
    return (index if is_more else 0.0), noise, unseen / looked
