"""Post the alerts that wait in the outbox, until each is taken or given up.

At least once: a process that is killed between the post and its note posts again, with the same id and
body. Several controllers over one store share the work: what one has claimed, another leaves alone until
the claim runs out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from penstock.base.background import Background
from penstock.base.clock import now_ms
from penstock.base.errors import PenstockError
from penstock.base.jsontext import render_json
from penstock.base.store.events import record_event
from penstock.base.threads import thread_pool
from penstock.base.web.deliveries import Deliveries
from penstock.base.web.posting import post_bytes
from penstock.base.web.targets import host_of
from penstock.monitoring.alerts import (
    Delivery,
    claim_due,
    find_oldest_ms,
    finish_delivery,
    fires_again,
    has_due,
    put_off_delivery,
    readdress,
    was_begun,
)
from penstock.monitoring.policies import find_alerting
from penstock.monitoring.wording import body_of
from penstock.project.project import Project

logger = logging.getLogger(__name__)
INTERVAL_S = 0.25
CLAIM_MS = 120_000
"""Longer than 20 posts take that all wait for their answer until the time is up."""
RECEIVERS_AT_ONCE = 4
"""One that is slow keeps no other from being told."""
BACKOFF_S = (1, 2, 5, 15, 60, 300, 900, 3600, 3600, 3600, 3600, 3600)
"""How long each next attempt waits; after the last one, some six hours later, it is given up with an event."""


class AlertLoop:
    """Posts what is due, in a thread of a server process."""

    def __init__(self, project: Project, interval_s: float = INTERVAL_S) -> None:
        self._project = project
        self.deliveries = Deliveries()
        self._background = Background("penstock-alerts", self._turn, interval_s, failing="alerts wait")

    def start(self) -> None:
        """Begin to post."""
        self._background.start()

    def stop(self) -> None:
        """Finish what is being posted; the rest stays in the outbox."""
        self._background.stop()

    def send_due(self) -> int:
        """Post what is due now and return how much that was.

        Raises:
            Unavailable: the store cannot be reached.
        """
        with self._project.database.read() as connection:
            self.deliveries.look(lambda: find_oldest_ms(connection))
            if not has_due(connection, now_ms()):
                return 0
        time_ms = now_ms()
        with self._project.database.write() as connection:
            due = claim_due(connection, time_ms, time_ms + CLAIM_MS)
        receivers: dict[str, list[Delivery]] = {}
        for delivery in due:
            receivers.setdefault(delivery.url, []).append(delivery)
        if len(receivers) == 1:
            self._send_all(due)
        elif receivers:
            with thread_pool(min(RECEIVERS_AT_ONCE, len(receivers))) as pool:
                list(pool.map(self._send_all, receivers.values()))
        return len(due)

    def _send_all(self, due: Sequence[Delivery]) -> None:
        """Post to one receiver in order; where it cannot be reached, what is left counts as tried with the same answer."""
        away = ""
        for delivery in due:
            if self._background.is_stopping:
                break
            away = self._send(delivery, away)

    def _send(self, delivery: Delivery, away: str) -> str:
        """Post one, unless the receiver is known to be away; return why it cannot be reached, empty where it can."""
        if self._is_void(delivery):
            self.deliveries.count("dropped")
            return away
        problem = ""
        headers = {"Content-Type": "application/json", "Penstock-Delivery-Id": str(delivery.id)}
        try:
            if not away:
                # whoever writes penstock.yaml may name any address
                data = render_json(body_of(delivery)).encode()
                answer = post_bytes(delivery.url, data, headers, allow_private=True)
                problem = "" if answer.is_taken else f"it answered {answer.status}"
        except PenstockError as error:
            away = error.message
        problem = problem or away
        with self._project.database.write() as connection:
            if not problem:
                finish_delivery(connection, delivery, now_ms())
                self.deliveries.count("taken")
                return away
            tries = delivery.attempt_count
            next_ms = now_ms() + 1000 * BACKOFF_S[tries] if tries < len(BACKOFF_S) else None
            put_off_delivery(connection, delivery, problem, next_ms)
            self.deliveries.count("given_up" if next_ms is None else "failed")
            if tries == 0 or next_ms is None:
                where = f"{delivery.alert.endpoint}: the {delivery.format} webhook at {host_of(delivery.url)}"
                logger.warning("%s did not take %s: %s", where, delivery.alert.name, problem)
                again = "it is tried again" if next_ms is not None else "it is given up"
                record_event(
                    connection,
                    "alert.failed",
                    f"endpoint:{delivery.alert.endpoint}",
                    self._project.actor,
                    f"{delivery.alert.name} ({delivery.status}) was not taken: {problem}; {again}",
                    cause={"alert": delivery.alert.id, "attempts": tries + 1},
                )
        return away

    def _is_void(self, delivery: Delivery) -> bool:
        """Give up what nobody is to be told any more, and say whether it was so.

        Where its webhook is no longer in the policy, those that are now are told in its place. That an alert is over says
        nothing to a receiver that did not take its beginning, and is wrong by the time that the same fires again.
        """
        endpoint, time_ms = delivery.alert.endpoint, now_ms()
        with self._project.database.write() as connection:
            alerting = find_alerting(connection, endpoint)
            hooks = None if alerting is None else alerting.webhooks
            if hooks is not None and (delivery.url, delivery.format) not in {
                (x.url, x.format) for x in hooks
            }:
                problem = f"the webhook at {host_of(delivery.url)} is no longer in the policy"
                put_off_delivery(connection, delivery, problem, None)
                readdress(connection, delivery, hooks, time_ms)
                summary = f"{delivery.alert.name} ({delivery.status}) was not told: {problem}; it is given up"
                cause = {"alert": delivery.alert.id, "attempts": delivery.attempt_count}
                actor = self._project.actor
                record_event(connection, "alert.failed", f"endpoint:{endpoint}", actor, summary, cause=cause)
                return True
            if delivery.status == "resolved":
                problem = "its beginning was not taken" if not was_begun(connection, delivery) else ""
                problem = problem or ("it fires again" if fires_again(connection, delivery) else "")
                if problem:
                    put_off_delivery(connection, delivery, problem, None)
                    return True
        return False

    def _turn(self) -> None:
        while self.send_due() and not self._background.is_stopping:
            pass
