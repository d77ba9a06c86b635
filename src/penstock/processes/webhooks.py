"""Send what is due to webhooks, in the background of a server process."""

from __future__ import annotations

from penstock.base.background import Background
from penstock.base.web.deliveries import Deliveries
from penstock.flows.models.webhooks import send_due
from penstock.project.project import Project

INTERVAL_S = 0.5


class WebhookLoop:
    """Sends what is due, in a thread of its own."""

    def __init__(self, project: Project, interval_s: float = INTERVAL_S) -> None:
        self._project = project
        self.deliveries = Deliveries()
        self._background = Background("penstock-webhooks", self._turn, interval_s, failing="webhooks wait")

    def start(self) -> None:
        """Begin to send."""
        self._background.start()

    def stop(self) -> None:
        """Finish what is being sent; the rest stays noted."""
        self._background.stop()

    def _turn(self) -> None:
        while send_due(self._project, lambda: self._background.is_stopping, self.deliveries):
            if self._background.is_stopping:
                return
