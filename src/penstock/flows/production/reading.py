"""What the store has of an endpoint's live traffic, as a look needs it. Judges nothing."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from penstock.flows.production.progress import Tally
from penstock.flows.production.rows.causes import find_cause
from penstock.flows.production.rows.enough import holds_enough, newest_holding
from penstock.flows.production.rows.labelled import read_labelled
from penstock.flows.production.rows.live import read_rows
from penstock.monitoring.estimating.losses import find_losses
from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.blocks import Block
from penstock.monitoring.guardrails.traffic import Traffic
from penstock.monitoring.quality.live import labelled, list_labelled
from penstock.monitoring.rowwise.causes import Cause, Untold
from penstock.monitoring.rowwise.rows import Rows
from penstock.monitoring.rowwise.slices import SliceQuality, Slices, find_slices
from penstock.monitoring.ruling import ruled_versions
from penstock.monitoring.settings import EndpointSettings
from penstock.monitoring.timings import count_route, last_endpoint_traffic_s, last_traffic_s, list_timings
from penstock.monitoring.windows import BATCH, Window, WindowKey, list_windows, merge_windows, recent
from penstock.records.classes import class_name
from penstock.registry.states import last_rolled_back_ms
from penstock.serving.deployments import Revision

SLACK_S = 5
"""How much later than its end a window may be written."""
MAX_STARTS = 640
"""How many windows are read at most to find enough traffic of a slow canary."""
GATHERED_S = 86_400
"""How old a window may be that is gathered because newer ones hold too few rows."""
HELD_MAX = 200
"""Windows with labels that an estimate is held to at most: their sketches are read."""
LABELLED_MAX = 5_000
"""Labelled requests that slices are told from at most."""
LONGEST_S = 2 * 86_400
"""A window that began before that, before a revision did, has nothing of it, however windows were merged."""


@dataclass(frozen=True)
class Reading:
    """One look at the store, in the caller's transaction.

    Args:
        rollout: the revisions in which the canary stood beside stable.
        is_quick: whether sketches of features and labels are left alone; then `recent` has counts and
            latency only, and nothing is labelled.
    """

    connection: sa.Connection
    revision: Revision
    settings: EndpointSettings
    rollout: tuple[int, ...]
    stable_since_ms: int
    time_ms: int
    is_quick: bool = False

    def stable(self) -> Traffic:
        """Return the stable version's recent traffic, and the newest predictions with labels."""
        monitor, version = self.settings.monitor, self.revision.stable
        fresh_s = self.time_ms // 1000 - (monitor.windows + 1) * monitor.window_s - SLACK_S
        fresh_s = max(fresh_s, self._acted_on_s())
        timings = self._timings(version, "stable", since_s=fresh_s)
        needed = max((one.quality.min_labels for one in self.settings.guardrails if one.quality), default=0)
        recent = self._recent(timings, monitor.windows) if self.is_quick else self._whole(fresh_s, "stable")
        return Traffic(
            key=self._key(version, "stable"),
            recent=recent,
            gathered={} if self.is_quick or recent is None else self._gathered(recent),
            rows=self._rows(version, "stable"),
            rows_by=self._rows_by(version, "stable"),
            slices=self._slices(version, "stable").judged,
            sliced=self._sliced,
            feature_ratio=monitor.feature_ratio,
            labelled=self._labelled(version, "stable", None, (monitor.windows, needed)),
            labels_by=self._labels_by(version, "stable"),
            blocks=_blocks(timings)[-monitor.windows :],
            earlier=max(0, fresh_s - self.stable_since_ms // 1000) // monitor.window_s,
            last_s=self._last_s(timings, version, "stable"),
            heard_s=self._heard_s(timings),
            began_s=self.revision.created_ms // 1000,
        )

    def batch(self) -> Traffic | None:
        """Return what batch jobs asked the stable version lately; None where none ever did, and of a quick look."""
        monitor, version = self.settings.monitor, self.revision.stable
        last_s = (
            None
            if self.is_quick
            else last_traffic_s(self.connection, self.revision.endpoint, version, BATCH, self._now_s)
        )
        if last_s is None:
            return None
        fresh_s = self.time_ms // 1000 - (monitor.windows + 1) * monitor.window_s - SLACK_S
        fresh_s = max(fresh_s, self._acted_on_s())
        needed = max((one.quality.min_labels for one in self.settings.guardrails if one.quality), default=0)
        return Traffic(
            key=self._key(version, BATCH),
            recent=self._whole(fresh_s, BATCH),
            rows=self._rows(version, BATCH),
            rows_by=self._rows_by(version, BATCH),
            slices=self._slices(version, BATCH).judged,
            sliced=self._sliced,
            feature_ratio=monitor.feature_ratio,
            labelled=self._labelled(version, BATCH, None, (monitor.windows, needed)),
            labels_by=self._labels_by(version, BATCH),
            blocks=_blocks(self._timings(version, BATCH, since_s=fresh_s))[-monitor.windows :],
            last_s=last_s,
        )

    def canary(self, beside: tuple[SliceQuality, ...] = ()) -> Traffic | None:
        """Return the canary's newest traffic, as much as the guardrails need, and all its labels.

        Args:
            beside: the stable version's slices, in which the canary is judged.
        """
        if self.revision.canary is None:
            return None
        version = self.revision.canary.version
        timings = self._timings(version, "canary", self.rollout)
        count = self.settings.monitor.windows
        slices = self._slices(version, "canary", beside)
        return Traffic(
            key=self._key(version, "canary"),
            recent=self._recent(timings, count) if self.is_quick else self._enough(),
            rows=self._rows(version, "canary"),
            rows_by=self._rows_by(version, "canary"),
            slices=slices.judged,
            slice_labels=slices.counts,
            sliced=self._sliced,
            feature_ratio=self.settings.monitor.feature_ratio,
            labelled=self._labelled(version, "canary", self.rollout),
            labels_by=self._labels_by(version, "canary", self.rollout),
            blocks=_blocks(timings),
            last_s=self._last_s(timings, version, "canary"),
        )

    def beside(self, slices: tuple[SliceQuality, ...] = ()) -> Traffic | None:
        """Return the stable route since the canary came, with its slices."""
        if self.revision.canary is None:
            return None
        version = self.revision.stable
        return Traffic(
            key=self._key(version, "stable"),
            labelled=self._labelled(version, "stable", self.rollout),
            labels_by=self._labels_by(version, "stable", self.rollout),
            slices=slices,
            blocks=_blocks(self._timings(version, "stable", self.rollout)),
        )

    def step(self) -> dict[str, Tally]:
        """Return the traffic of the canary since the current revision began; of a whole look, of stable too."""
        revision, canary = self.revision, self.revision.canary
        routes = [] if self.is_quick else [("stable", revision.stable)]
        routes += [("canary", canary.version)] if canary else []
        since_s = revision.created_ms // 1000 - LONGEST_S
        return {
            route: Tally(
                **count_route(
                    self.connection, revision.endpoint, revision.number, version, route, since_s, self._now_s
                )
            )
            for route, version in routes
        }

    def _whole(self, fresh_s: int, route: str) -> Window | None:
        """Merge the stable version's newest windows, with all that is known of them."""
        listed = list_windows(
            self.connection,
            self.revision.endpoint,
            route=route,
            since_s=fresh_s,
            before_s=self._now_s + 1,
        )
        mine = [one for one in listed if one.key.version == self.revision.stable]
        return recent(mine, route, self.settings.monitor.windows)

    def _gathered(self, recent: Window) -> dict[int, Window]:
        """Return, by the rows that a guardrail on features needs and `recent` lacks, the newest windows of stable with as many.

        None of another revision is added, since what was wrong then may have been mended by it.
        """
        limits = [limit for one in self.settings.guardrails for limit in (one.drift, one.values) if limit]
        lacking = sorted({one.min_rows for one in limits if one.min_rows > recent.features.row_count})
        if not lacking or not self.settings.monitor.feature_ratio:
            return {}
        since_s = max(self.time_ms // 1000 - GATHERED_S, self._acted_on_s())
        found: list[Window] = []
        before_s, limit = self._now_s + 1, 4 * self.settings.monitor.windows
        while sum(one.features.row_count for one in found) < lacking[-1] and len(found) < MAX_STARTS:
            part = list_windows(
                self.connection, self.revision.endpoint, revisions=[self.revision.number], route="stable",
                since_s=since_s, before_s=before_s, limit=limit,
            )  # fmt: skip
            found = [*(one for one in part if one.request_count), *found]
            if len(part) < limit:
                break
            before_s, limit = part[0].key.start_s, min(2 * limit, MAX_STARTS)
        chosen = {rows: newest_holding(found, rows) for rows in lacking}
        return {
            rows: merge_windows(windows)
            for rows, windows in chosen.items()
            if sum(one.features.row_count for one in windows) > recent.features.row_count
        }

    def _recent(self, timings: list[Window], count: int) -> Window | None:
        """Merge the newest windows, of which only counts and latency are known."""
        if not timings:
            return None
        found = merge_windows(timings[-count:])
        return msgspec.structs.replace(
            found, key=msgspec.structs.replace(found.key, revision=self.revision.number)
        )

    def _rows(self, version: int, route: str, window: tuple[float, int] | None = None) -> Rows | None:
        """Return the newest rows whose features are kept, where a guardrail judges rows: of one's own span, or of all."""
        limits = [one.multivariate.window for one in self.settings.guardrails if one.multivariate is not None]
        if self.is_quick or not limits or not self.settings.monitor.feature_ratio:
            return None
        span_s, most = window or (max(span_s for span_s, _ in limits), max(most for _, most in limits))
        if route != "canary":
            span_s = min(span_s, self.time_ms / 1000 - self._acted_on_s())
        return read_rows(self.connection, self._key(version, route), span_s, most)

    def _rows_by(self, version: int, route: str) -> dict[tuple[float, int], Rows | None]:
        """Return the rows of each guardrail that judges rows by its span, where several differ in that."""
        differing = {one.multivariate.window for one in self.settings.guardrails if one.multivariate}
        if len(differing) < 2:
            return {}
        return {window: self._rows(version, route, window) for window in differing}

    def _slices(self, version: int, route: str, beside: tuple[SliceQuality, ...] = ()) -> Slices:
        """Return the slices of the newest labelled rows, where the policy names features."""
        wanted = self.settings.monitor.slices
        if self.is_quick or not wanted:
            return Slices()
        key, since_s = self._key(version, route), float(self._horizon_s())
        if route != "canary":
            since_s = max(since_s, self._acted_on_s())
        rows = read_labelled(self.connection, key, "slices", since_s, LABELLED_MAX, self.settings.monitor)
        return find_slices(rows, wanted, {one.name for one in beside})

    def held(self, traffic: Traffic) -> Window | None:
        """Return the windows that labels came for as one, the newest `HELD_MAX`, with what was asked and answered in them.

        None where nothing estimates errors, so that nothing is held to labels, or none came.
        """
        labelled = traffic.labelled
        if labelled is None or find_losses(traffic.reference.profile) is None:
            return None
        listed = list_labelled(
            self.connection,
            self.revision.endpoint,
            traffic.key.version,
            since_s=labelled.key.start_s,
            now_s=self._now_s,
            most=HELD_MAX,
            of_batches=traffic.key.route == BATCH,
        )
        known = [one for one in listed if one.quality.label_count and one.features.row_count]
        return merge_windows(known) if known else None

    @property
    def _sliced(self) -> tuple[str, ...]:
        return tuple(one.feature for one in self.settings.monitor.slices)

    def cause(self, traffic: Traffic, worse: Finding) -> Cause | Untold:
        """Return why a metric of the stable version is worse than it was over its first labelled rows, or why not."""
        since_s = max(self.stable_since_ms / 1000, self._acted_on_s())
        return find_cause(self.connection, traffic.key, worse, since_s, self.settings.monitor)

    def _heard_s(self, timings: list[Window]) -> int | None:
        """Return when the newest window of the endpoint ended, whichever version answered; or None."""
        if timings and timings[-1].end_s >= self._now_s:
            return timings[-1].end_s
        endpoint, rules = self.revision.endpoint, self.settings.traffic.rules
        ruled = ruled_versions(self.connection, endpoint, rules, self.time_ms)
        return last_endpoint_traffic_s(self.connection, endpoint, self._now_s, ruled)

    def _last_s(self, timings: list[Window], version: int, route: str) -> int | None:
        """Return when the newest window with traffic ended, or None."""
        if timings:
            return timings[-1].end_s
        return last_traffic_s(self.connection, self.revision.endpoint, version, route, self._now_s)

    def _enough(self) -> Window | None:
        """Merge the canary's newest windows: as many as are judged together, more while they hold too little."""
        rows = max((one.drift.min_rows for one in self.settings.guardrails if one.drift), default=0)
        count = self.settings.monitor.windows
        limit = 2 * count
        while True:
            listed = list_windows(
                self.connection,
                self.revision.endpoint,
                revisions=self.rollout,
                before_s=self._now_s + 1,
                limit=limit,
            )
            mine = [one for one in listed if one.key.route == "canary" and one.request_count]
            chosen = mine[-count:]
            while len(chosen) < len(mine) and not holds_enough(chosen, rows):
                chosen = mine[-(2 * len(chosen)) :]
            starts = len({one.key.start_s for one in listed})
            if holds_enough(chosen, rows) or starts < limit or limit >= MAX_STARTS:
                return merge_windows(chosen) if chosen else None
            limit *= 4

    def _timings(
        self, version: int, route: str, revisions: tuple[int, ...] | None = None, since_s: int = 0
    ) -> list[Window]:
        return list_timings(
            self.connection,
            self.revision.endpoint,
            version=version,
            route=route,
            revisions=revisions,
            since_s=since_s,
            now_s=self._now_s,
        )

    @property
    def _now_s(self) -> int:
        """The last second in which a window may begin: one after it is of a clock that was ahead, and hides what is now."""
        return self.time_ms // 1000

    def _labelled(
        self,
        version: int,
        route: str,
        revisions: tuple[int, ...] | None,
        enough: tuple[int, int] | None = None,
        horizon_s: float | None = None,
    ) -> Window | None:
        """Merge a version's labelled predictions, told as of the route it is on now: within a horizon, or the longest."""
        if self.is_quick:
            return None
        since_s = self._horizon_s() if horizon_s is None else int(self.time_ms / 1000 - horizon_s)
        found = labelled(
            self.connection,
            self.revision.endpoint,
            version,
            since_s=since_s if route == "canary" else max(since_s, self._acted_on_s()),
            revisions=revisions,
            enough=enough,
            of_batches=route == BATCH,
            now_s=self._now_s,
        )
        if found is None:
            return None
        key = msgspec.structs.replace(self._key(version, route), start_s=found.key.start_s)
        positive = self.settings.monitor.positive
        quality = found.quality if positive is None else found.quality.turned(class_name(positive))
        return msgspec.structs.replace(found, key=key, quality=quality)

    def _labels_by(
        self, version: int, route: str, revisions: tuple[int, ...] | None = None
    ) -> dict[tuple[float, int], Window | None]:
        """Return the labels of each guardrail of quality by its horizon, where several differ in that."""
        differing = {one.quality.window for one in self.settings.guardrails if one.quality is not None}
        if self.is_quick or len(differing) < 2:
            return {}
        count = self.settings.monitor.windows
        return {
            (horizon_s, needed): self._labelled(
                version, route, revisions, None if revisions is not None else (count, needed), horizon_s
            )
            for horizon_s, needed in differing
        }

    def _acted_on_s(self) -> int:
        """Return since when traffic of the stable version counts: what it was rolled back for is judged no second time."""
        rolled_back_ms = last_rolled_back_ms(self.connection, self.revision.model, self.revision.stable)
        return -(-rolled_back_ms // 1000)

    def _horizon_s(self) -> int:
        spans = [one.quality.horizon_s for one in self.settings.guardrails if one.quality is not None]
        return int(self.time_ms / 1000 - max(spans, default=604_800.0))

    def _key(self, version: int, route: str) -> WindowKey:
        return WindowKey(self.revision.endpoint, self.time_ms // 1000, self.revision.number, version, route)


def _blocks(timings: list[Window]) -> tuple[Block, ...]:
    return tuple(Block.of(one, one.error_run_count) for one in timings)
