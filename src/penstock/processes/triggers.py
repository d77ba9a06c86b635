"""Begin CI runs that no push begins, in the background of a server process."""

from __future__ import annotations

from penstock.base.background import Background
from penstock.flows.ci.triggering import Triggers
from penstock.project.project import Project

INTERVAL_S = 15.0


class TriggerLoop:
    """Looks at schedules and watched data, in a thread of its own."""

    def __init__(self, project: Project, interval_s: float = INTERVAL_S) -> None:
        self._triggers = Triggers(project)
        self._background = Background(
            "penstock-triggers",
            self._triggers.look,
            interval_s,
            failing="CI runs are not begun",
            at_once=True,
        )

    def start(self) -> None:
        """Begin to look."""
        self._background.start()

    def stop(self) -> None:
        """End a run under way, which is told, and stop looking."""
        self._background.stop()
        self._triggers.close()
