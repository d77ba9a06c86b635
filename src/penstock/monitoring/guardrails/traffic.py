"""What guardrails are asked about: the traffic of one route, as far as it was read."""

from __future__ import annotations

import msgspec

from penstock.monitoring.drift import FeatureDrift
from penstock.monitoring.guardrails.blocks import Block
from penstock.monitoring.guardrails.measured import Reference
from penstock.monitoring.profile import Profile
from penstock.monitoring.rowwise.rows import Rows
from penstock.monitoring.rowwise.slices import SliceQuality
from penstock.monitoring.windows import Window, WindowKey


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """One route: `recent` is its newest traffic merged, `labelled` the predictions whose labels count.

    `gathered` is `recent` with older windows, where it holds fewer rows than a guardrail on features needs; None where
    nobody gathered. `drifts` are the features of `of_rows` compared with the reference, where that was done already.
    `rows` are its newest rows whose features are kept, without the columns `left_out`; None where nobody asked
    for them. `feature_ratio` is the share of requests whose features are kept.
    `slices` are the slices that have enough labels, of the features `sliced`. `blocks` are its traffic since what is compared began, in spans of time, oldest first, and `earlier` how
    many came before them and are no longer looked at. `last_s` is when its newest window ended, also when that is too long ago to be judged.
    """

    key: WindowKey
    recent: Window | None = None
    gathered: Window | None = None
    labelled: Window | None = None
    blocks: tuple[Block, ...] = ()
    earlier: int = 0
    last_s: int | None = None
    reference: Reference = Reference()
    drifts: tuple[FeatureDrift, ...] | None = None
    rows: Rows | None = None
    left_out: tuple[str, ...] = ()
    feature_ratio: float = 1.0
    slices: tuple[SliceQuality, ...] = ()
    sliced: tuple[str, ...] = ()

    @property
    def of_rows(self) -> Window | None:
        """What a guardrail is judged on that needs a number of rows: the newest, however slowly they came."""
        return self.gathered or self.recent

    def holding(self, row_count: int) -> Window | None:
        """Return the newest traffic where it has so many rows with features, else what was gathered."""
        is_enough = self.recent is not None and self.recent.features.row_count >= row_count
        return self.recent if is_enough else self.of_rows

    def bare(self) -> Traffic:
        """Return it as it can be kept: its windows tell counts, latency and quality, and no features."""
        return msgspec.structs.replace(
            self, recent=_unsketched(self.recent), gathered=None, labelled=_unsketched(self.labelled), drifts=None, rows=None,
            slices=(), reference=Reference(),
        )  # fmt: skip


def _unsketched(window: Window | None) -> Window | None:
    return window and msgspec.structs.replace(window, features=Profile(), outputs=Profile())
