"""Keep the store small in the background: merge old windows, delete what is past its retention.

A little at a time, each in a transaction of its own, so that nobody waits. A process that is killed leaves
what it merged and deleted so far.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import msgspec

from penstock.base.background import Background
from penstock.base.clock import format_ms, now_ms
from penstock.base.errors import Conflict, Corrupt, PenstockError, Unavailable
from penstock.base.store.events import list_events, record_event
from penstock.flows.production.live.ingesting import Ingest
from penstock.flows.production.payloads.tidying import tidy
from penstock.monitoring.compaction import HOUR_S, Bundle, delete_windows, find_bundles, merge_bundle
from penstock.monitoring.findings import delete_findings
from penstock.monitoring.policies import find_monitor, list_policies
from penstock.monitoring.refusals import KEPT_S, forget_refusals
from penstock.project.project import Project
from penstock.serving.predictions.stored import delete_predictions, forget_features
from penstock.serving.predictions.waiting import expire_waiting
from penstock.serving.told.events import KEPT_MS, forget_halves
from penstock.serving.told.observations import KEPT_DAYS, forget_batches

logger = logging.getLogger(__name__)
INTERVAL_S = 5.0
REST_S = 0.05
"""Between two transactions, so that others come in."""
WHOLE_EVERY_S = 900.0
"""How often all windows are looked at, for labels that came late; else the last hours are."""
DAY_MS = 86_400_000
TOLD_EVERY_S = 86_400.0
"""How often it is told what was deleted."""
NOT_MERGED = "store.not_merged"
LATE_MS = 60_000
"""Labels that came in this time are looked at again: on PostgreSQL one may be stored just while its prediction is."""


class Housekeeping:
    """Merges and deletes, in a thread of a server process."""

    def __init__(self, project: Project, interval_s: float = INTERVAL_S) -> None:
        self._project = project
        self._whole_s = self._told_s = float("-inf")
        self._deleted: Counter[str] = Counter()
        self._damaged: set[tuple[str, int, int, str, int, int]] = set()
        """Bundles that cannot be merged, since a window of them cannot be read."""
        self._ingest = Ingest(project)
        self._background = Background(
            "penstock-housekeeping", self._turn, interval_s, failing="the store is not tidied"
        )

    def start(self) -> None:
        """Begin, and say what is kept for how long."""
        logger.info(self._project.readable_settings.retention.sentence)
        self._background.start()

    def stop(self) -> None:
        """Finish what is under way."""
        self._background.stop()
        with suppress(PenstockError):
            self._tell_deleted(at_once=True)

    def clean(self) -> int:
        """Merge what can be merged now, and at times delete what is too old; return how many rows were merged.

        Each part of it is done whatever another fails of; what failed first is raised at the end.

        Raises:
            Unavailable: the store cannot be reached.
        """
        now_s = now_ms() // 1000
        is_whole = time.monotonic() - self._whole_s >= WHOLE_EVERY_S
        merged: list[int] = []
        parts: list[Callable[[], object]] = [
            lambda: merged.append(self._merge(now_s, is_whole)),
            lambda: self._ingest.join_late(1000 * now_s - LATE_MS),
        ]
        if is_whole:
            self._whole_s = time.monotonic()
            parts += [
                partial(self._delete_windows, now_s),
                partial(self._delete_features, now_s),
                partial(self._delete_predictions, now_s),
                self._tell_deleted,
                partial(self._tidy_payloads, now_s),
            ]
        failures: list[Exception] = []
        for part in parts:
            try:
                part()
            except Unavailable:
                self._whole_s = float("-inf") if is_whole else self._whole_s
                raise
            except Exception as error:  # noqa: BLE001  (one part's defect must not keep the others)
                failures.append(error)
        if failures:
            raise failures[0]
        return sum(merged)

    def _merge(self, now_s: int, is_whole: bool) -> int:
        """Merge windows but for bundles that cannot be read, which a look at all windows tries again."""
        if is_whole:
            self._damaged.clear()
        since_s = 0 if is_whole else now_s - 2 * HOUR_S
        merged = 0
        while not self._background.is_stopping:
            with self._project.database.read() as connection:
                bundles = find_bundles(connection, now_s, since_s=since_s, without=self._damaged)
            if not bundles:
                break
            for bundle in bundles:
                if self._background.is_stopping:
                    break
                try:
                    with self._project.database.write() as connection:
                        merged += merge_bundle(connection, bundle)
                except Conflict:
                    return merged
                except Corrupt as error:
                    self._damaged.add(bundle.place)
                    self._tell_damaged(bundle, error)
                time.sleep(REST_S)
        return merged

    def _tell_damaged(self, bundle: Bundle, error: Corrupt) -> None:
        """Write once that windows stay as they are."""
        subject, cause = f"endpoint:{bundle.endpoint}", {"bundle": list(bundle.place)}
        with self._project.database.write() as connection:
            told = list_events(connection, subject=subject, kind=NOT_MERGED, limit=1000)
            if any(one.cause == cause for one in told):
                return
            when = f"{format_ms(1000 * bundle.start_s)} to {format_ms(1000 * bundle.end_s)}"
            summary = (
                f"windows of {bundle.endpoint} from {when} (version {bundle.version}, {bundle.route}) "
                f"stay as they are, and the others are merged: {error.message}"
            )
            record_event(connection, NOT_MERGED, subject, self._project.actor, summary, cause=cause)
        logger.warning(summary)

    def _delete_windows(self, now_s: int) -> None:
        kept = self._project.settings.retention
        with self._project.database.write() as connection:
            forget_batches(connection, 1000 * now_s - KEPT_DAYS * DAY_MS)
            forget_halves(connection, 1000 * now_s - KEPT_MS)
            forget_refusals(connection, now_s - KEPT_S)
            expire_waiting(connection, 1000 * now_s)
            if kept.windows_days is not None:
                before_s = now_s - int(kept.windows_days * DAY_MS / 1000)
                self._deleted["windows"] += delete_windows(connection, before_s)
            if kept.findings_days is not None:
                before_ms = 1000 * now_s - int(kept.findings_days * DAY_MS)
                self._deleted["findings"] += delete_findings(connection, before_ms)

    def _delete_features(self, now_s: int) -> None:
        days, done = self._project.settings.retention.features_days, 1
        while days is not None and done and not self._background.is_stopping:
            with self._project.database.write() as connection:
                done = forget_features(connection, 1000 * now_s - int(days * DAY_MS))
            time.sleep(REST_S)

    def _delete_predictions(self, now_s: int) -> None:
        days, done = self._project.settings.retention.predictions_days, 1
        while days is not None and done and not self._background.is_stopping:
            with self._project.database.write() as connection:
                gone = delete_predictions(connection, 1000 * now_s - int(days * DAY_MS))
            done = gone.rows
            self._deleted["predictions"] += gone.predictions
            self._deleted["labels"] += gone.labels
            time.sleep(REST_S)

    def _tidy_payloads(self, now_s: int) -> None:
        with self._project.database.read() as connection:
            held = list_policies(connection)
            monitors = {name: find_monitor(connection, name) for name in held.unreadable}
        monitors |= {name: one.settings.monitor for name, one in held.readable.items()}
        tidy(self._project.artifacts.backend, monitors, now_s)

    def _tell_deleted(self, *, at_once: bool = False) -> None:
        """Write an event of what went: the first time at once, then once a day of all that went since, and at the end."""
        told = {what: count for what, count in self._deleted.items() if count}
        if not told or (not at_once and time.monotonic() - self._told_s < TOLD_EVERY_S):
            return
        words = ", ".join(f"{count:,} {what}" for what, count in told.items())
        kept = self._project.settings.retention
        summary = f"{words} were deleted, past their retention: {kept.sentence}"
        with self._project.database.write() as connection:
            record_event(
                connection,
                "store.retention",
                "store",
                self._project.actor,
                summary,
                cause={"retention": msgspec.to_builtins(kept), "deleted": told},
            )
        logger.info(summary)
        self._deleted.clear()
        self._told_s = time.monotonic()

    def _turn(self) -> None:
        self.clean()
