"""Keep the store small in the background: merge old windows, delete what is past its retention.

A little at a time, each in a transaction of its own, so that nobody waits. A process that is killed leaves
what it merged and deleted so far.
"""

from __future__ import annotations

import time

from penstock.base.background import Background
from penstock.base.clock import now_ms
from penstock.base.errors import Conflict
from penstock.flows.production.live.ingesting import Ingest
from penstock.flows.production.payloads.tidying import tidy
from penstock.monitoring.compaction import HOUR_S, delete_windows, find_bundles, merge_bundle
from penstock.monitoring.findings import delete_findings
from penstock.monitoring.policies import list_policies
from penstock.monitoring.refusals import KEPT_S, forget_refusals
from penstock.project.project import Project
from penstock.serving.predictions.stored import delete_predictions, forget_features
from penstock.serving.predictions.waiting import expire_waiting
from penstock.serving.told.events import KEPT_MS, forget_halves
from penstock.serving.told.observations import KEPT_DAYS, forget_batches

INTERVAL_S = 5.0
REST_S = 0.05
"""Between two transactions, so that others come in."""
WHOLE_EVERY_S = 900.0
"""How often all windows are looked at, for labels that came late; else the last hours are."""
DAY_MS = 86_400_000
LATE_MS = 60_000
"""Labels that came in this time are looked at again: on PostgreSQL one may be stored just while its prediction is."""


class Housekeeping:
    """Merges and deletes, in a thread of a server process."""

    def __init__(self, project: Project, interval_s: float = INTERVAL_S) -> None:
        self._project = project
        self._whole_s = float("-inf")
        self._ingest = Ingest(project)
        self._background = Background(
            "penstock-housekeeping", self._turn, interval_s, failing="the store is not tidied"
        )

    def start(self) -> None:
        """Begin."""
        self._background.start()

    def stop(self) -> None:
        """Finish what is under way."""
        self._background.stop()

    def clean(self) -> int:
        """Merge what can be merged now, and at times delete what is too old; return how many rows were merged.

        Raises:
            Unavailable: the store cannot be reached.
        """
        now_s = now_ms() // 1000
        is_whole = time.monotonic() - self._whole_s >= WHOLE_EVERY_S
        since_s = 0 if is_whole else now_s - 2 * HOUR_S
        merged = 0
        while not self._background.is_stopping:
            with self._project.database.read() as connection:
                bundles = find_bundles(connection, now_s, since_s=since_s)
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
                time.sleep(REST_S)
        self._ingest.join_late(1000 * now_s - LATE_MS)
        if is_whole:
            self._delete(now_s)
            self._whole_s = time.monotonic()
        return merged

    def _delete(self, now_s: int) -> None:
        kept = self._project.settings.retention
        with self._project.database.write() as connection:
            forget_batches(connection, 1000 * now_s - KEPT_DAYS * DAY_MS)
            forget_halves(connection, 1000 * now_s - KEPT_MS)
            forget_refusals(connection, now_s - KEPT_S)
            expire_waiting(connection, 1000 * now_s)
            if kept.windows_days is not None:
                delete_windows(connection, now_s - int(kept.windows_days * DAY_MS / 1000))
            if kept.findings_days is not None:
                delete_findings(connection, 1000 * now_s - int(kept.findings_days * DAY_MS))
        for days, work in (
            (kept.features_days, forget_features),
            (kept.predictions_days, delete_predictions),
        ):
            done = 1
            while days is not None and done and not self._background.is_stopping:
                with self._project.database.write() as connection:
                    done = work(connection, 1000 * now_s - int(days * DAY_MS))
                time.sleep(REST_S)
        with self._project.database.read() as connection:
            monitors = {name: one.settings.monitor for name, one in list_policies(connection).items()}
        tidy(self._project.artifacts.backend, monitors, now_s)

    def _turn(self) -> None:
        self.clean()
