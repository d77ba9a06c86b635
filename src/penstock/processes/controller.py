"""Run the controller in the background of a server process, tick after tick."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace

from penstock.base.background import Background
from penstock.base.clock import now_ms
from penstock.base.errors import PenstockError
from penstock.base.store.clock import keep_in_step
from penstock.base.store.outside import told_outside
from penstock.base.threads import begin
from penstock.base.web.deliveries import Deliveries
from penstock.flows.production.controlling.health import ControllerHealth
from penstock.flows.production.controlling.responding import Controller
from penstock.flows.production.controlling.telling import AlertLoop
from penstock.flows.production.live.housekeeping import Housekeeping
from penstock.monitoring.lease import LEASE_S
from penstock.project.project import Project

logger = logging.getLogger(__name__)
SHORTEST_S, LONGEST_S = 0.15, 0.5
"""The pause between two ticks: as short as a tenth of one core allows."""
SHARE = 0.1
CLOCK_S = 2.0
"""How often the store's clock is looked at."""


class ControllerLoop:
    """Ticks a controller in a thread of its own. A tick that fails is logged and the next one tried."""

    def __init__(self, project: Project, interval_s: float | None = None) -> None:
        self._project = project
        self._controller = Controller(project)
        self._alerts = AlertLoop(project)
        self._housekeeping = Housekeeping(project)
        self._keeping = Background(
            "penstock-lease",
            self._controller.keep,
            LEASE_S / 4,
            failing="the controller's lease cannot be kept",
        )
        self._interval_s = interval_s
        self._clock_due_s = 0.0
        self._stop = threading.Event()
        self._ended: Future[None] | None = None
        self.health = ControllerHealth(None, 0, None)

    @property
    def deliveries(self) -> Deliveries:
        """What becomes of the alerts that it posts."""
        return self._alerts.deliveries

    def start(self) -> None:
        """Begin to tick, to post what is to be told, and to tidy the store."""
        self.health = replace(self.health, is_beginning=True)
        self._alerts.start()
        self._housekeeping.start()
        self._keeping.start()
        self._ended = begin("penstock-controller", self._run)

    def stop(self) -> None:
        """Finish the tick under way, end a retraining, give the lease back."""
        self._stop.set()
        with ExitStack() as ending:
            ending.callback(self._housekeeping.stop)
            ending.callback(self._alerts.stop)
            ending.callback(self._keeping.stop)
            if self._ended is not None:
                self._ended.result()

    def _run(self) -> None:
        while True:
            begun_s, looking_s = time.thread_time(), time.monotonic()
            try:
                self._keep_in_step()
                count = self._controller.tick()
                if self.health.problem is not None:
                    logger.info("the controller's tick failed: no longer")
                self.health = ControllerHealth(
                    now_ms(),
                    count,
                    None,
                    dict(self._controller.problems),
                    dict(self._controller.looks),
                    self._controller.is_leading,
                    dict(self._controller.observations),
                    took_s=time.monotonic() - looking_s,
                    lost_count=self._controller.lost_count,
                )
            except PenstockError as error:
                self._note(told_outside(error, is_logged=False).message, error.message)
            except Exception as error:  # the watch must outlive a defect in one look
                logger.exception("the controller's tick failed")
                self._note(f"{type(error).__name__}: {error}")
            if self._stop.wait(self._pause_s(time.thread_time() - begun_s)):
                break
        try:
            self._controller.close()
        except PenstockError as error:
            logger.warning("the controller's lease was not given back: %s", error.message)

    def _keep_in_step(self) -> None:
        """Go by the store's clock, as the hosts do whose windows are judged."""
        if time.monotonic() >= self._clock_due_s:
            keep_in_step(self._project.database)
            self._clock_due_s = time.monotonic() + CLOCK_S

    def _pause_s(self, cost_s: float) -> float:
        """Return how long to wait after a tick that took so much of the processor."""
        if self._interval_s is not None:
            return self._interval_s
        return min(LONGEST_S, max(SHORTEST_S, cost_s / SHARE))

    def _note(self, problem: str, why: str | None = None) -> None:
        """Tell that a tick failed, and in the log why where that is more."""
        if problem != self.health.problem:
            logger.warning("the controller's tick failed: %s", why or problem)
        self.health = replace(
            self.health,
            problem=problem,
            is_beginning=False,
            is_leading=self._controller.is_leading,
            lost_count=self._controller.lost_count,
        )
