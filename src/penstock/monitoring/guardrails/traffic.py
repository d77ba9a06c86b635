"""What guardrails are asked about: the traffic of one route, as far as it was read."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from penstock.monitoring.drift import FeatureDrift
from penstock.monitoring.guardrails.blocks import Block
from penstock.monitoring.guardrails.limits import MultivariateLimit, QualityLimit
from penstock.monitoring.guardrails.measured import Reference
from penstock.monitoring.profile import Profile
from penstock.monitoring.rowwise.rows import Rows
from penstock.monitoring.rowwise.slices import SliceQuality
from penstock.monitoring.windows import Window, WindowKey


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """One route: `recent` is its newest traffic merged, `labelled` the predictions whose labels count.

    `labels_by` has, by horizon and labels needed, those that count for a guardrail of quality where several differ in that,
    `rows_by`, by span and most rows, the rows of a multivariate one; `labelled` and `rows` are the widest of them.

    `gathered` has, by the number of rows that a guardrail on features needs, the newest windows that hold as many, where
    `recent` does not. `drifts` are the features of what holds `drifts_of` rows compared with the reference, where that was done already.
    `rows` are its newest rows whose features are kept, without the columns `left_out`; None where nobody asked
    for them. `feature_ratio` is the share of requests whose features are kept.
    `slices` are the slices that have enough labels, of the features `sliced`, `slice_labels` how many labels each slice has by its name. `blocks` are its traffic since what is compared began, in spans of time, oldest first, and `earlier` how
    many came before them and are no longer looked at. `last_s` is when its newest window ended, also when that is too long ago to be judged,
    `heard_s` when the endpoint's did, whichever version answered, and `began_s` when the revision began.
    """

    key: WindowKey
    recent: Window | None = None
    gathered: dict[int, Window] = {}
    labelled: Window | None = None
    blocks: tuple[Block, ...] = ()
    earlier: int = 0
    last_s: int | None = None
    heard_s: int | None = None
    began_s: int = 0
    reference: Reference = Reference()
    drifts: tuple[FeatureDrift, ...] | None = None
    drifts_of: int = 0
    rows: Rows | None = None
    left_out: tuple[str, ...] = ()
    feature_ratio: float = 1.0
    labels_by: Mapping[tuple[float, int], Window | None] = {}
    rows_by: Mapping[tuple[float, int], Rows | None] = {}
    slices: tuple[SliceQuality, ...] = ()
    sliced: tuple[str, ...] = ()
    slice_labels: Mapping[str, int] = {}

    def holding(self, row_count: int) -> Window | None:
        """Return the newest traffic where it has so many rows with features, else what was gathered for as many."""
        return self.gathered.get(row_count, self.recent)

    def labels_for(self, limit: QualityLimit) -> Window | None:
        """Return the predictions whose labels count for a guardrail: none older than its own horizon."""
        return self.labels_by.get(limit.window, self.labelled)

    def rows_for(self, limit: MultivariateLimit) -> Rows | None:
        """Return the rows that a guardrail judges: none older than its own span, and no more than its own most."""
        return self.rows_by.get(limit.window, self.rows)

    def bare(self) -> Traffic:
        """Return it as it can be kept: its windows tell counts, latency and quality, and no features."""
        return msgspec.structs.replace(
            self, recent=_unsketched(self.recent), gathered={}, labelled=_unsketched(self.labelled), drifts=None, rows=None,
            labels_by={}, rows_by={}, slices=(), slice_labels={}, reference=Reference(),
        )  # fmt: skip


def _unsketched(window: Window | None) -> Window | None:
    return window and msgspec.structs.replace(window, features=Profile(), outputs=Profile())
