"""What was found at endpoints lately, for all pages of a process: by the controller, else by the pages themselves."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping

from penstock.base.clock import now_ms
from penstock.flows.production.controlling.health import Watched
from penstock.flows.production.looks import without_sketches
from penstock.flows.production.overview import FRESH_MS, SLOW_MS, overview
from penstock.flows.production.watching import Observation, observe
from penstock.http.pages.telling.conditions import Condition, condition_of
from penstock.monitoring.alerts import list_open_alerts
from penstock.project.project import Project
from penstock.serving.deployments import list_endpoints

FIRST_S = 5.0
"""So long pages wait at most for the first look of a controller that has just begun."""


class Looks:
    """Looks at endpoints that no controller of this process looked at. Thread-safe: whoever comes meanwhile waits.

    A look at 200 features takes half a second; who refreshes every five would else pay it each time. What the controller
    found is shown though it is slow, however many pages are open: only of one that has not looked for minutes is it not.
    """

    def __init__(self, project: Project, controller: Watched) -> None:
        self._project = project
        self._controller = controller
        self._own: dict[str, Observation] = {}
        self._lock = threading.Lock()

    def fresh(self, name: str | None = None) -> Mapping[str, Observation]:
        """Return a fresh look at every endpoint, or at one; those that cannot be judged are left out."""
        self._await_first()
        with self._lock:
            with self._project.database.read() as connection:
                revisions = [one for one in list_endpoints(connection) if name in (None, one.endpoint)]
            found: dict[str, Observation] = {}
            known = self._controller.health.observations
            for revision in revisions:
                for one, most_ms in (
                    (known.get(revision.endpoint), SLOW_MS),
                    (self._own.get(revision.endpoint), FRESH_MS),
                ):
                    is_fresh = one is not None and now_ms() - one.time_ms <= most_ms
                    if one is not None and is_fresh and one.revision.number == revision.number:
                        found[revision.endpoint] = one
                        break
                else:
                    try:
                        seen = without_sketches(observe(self._project, revision.endpoint))
                    except Exception:  # noqa: BLE001  (one row's damage hides no page; the endpoint's own says it)
                        continue
                    found[revision.endpoint] = self._own[revision.endpoint] = seen
            return found

    def conditions(self, names: Iterable[str]) -> list[Condition]:
        """Return how endpoints are, by these names, without what happened to them."""
        found = []
        for name in names:
            views = overview(self._project, self.fresh(name), only=name, most_ms=SLOW_MS)
            with self._project.database.read() as connection:
                alerts = list_open_alerts(connection, name)
            found += [condition_of(view, alerts, (), now_ms()) for view in views]
        return found

    def _await_first(self) -> None:
        """Wait for a controller that has just begun: to look beside it would take both twice as long."""
        until_s = time.monotonic() + FIRST_S
        while self._controller.health.is_beginning and time.monotonic() < until_s:
            time.sleep(0.02)
