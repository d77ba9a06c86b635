"""What follows of a breach that asks for a retraining: one is begun, and what it made goes out as a canary.

What keeps either from being done is told apart, once, and tried again: the endpoint is judged all the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from penstock.base.errors import Conflict, PenstockError, Unavailable
from penstock.base.store.outside import words_outside
from penstock.flows.production.controlling.made import list_gone_out
from penstock.flows.production.controlling.retraining import Retraining
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.flows.production.watching import Observation
from penstock.monitoring.findings import Finding
from penstock.monitoring.lease import LOST
from penstock.project.project import Project

logger = logging.getLogger(__name__)
RETRY_S = 30.0
"""So long after something was told that hinders is what it hindered tried again."""
CONFLICTS_MAX = 3
"""Somebody else wrote at the same moment: at so many looks in a row that is no chance any more."""


class SendingOut:
    """Begins retrainings and sends out what they made. Not thread-safe."""

    def __init__(self, project: Project, retraining: Retraining) -> None:
        self.project, self.retraining = project, retraining
        self._conflicts: dict[str, int] = {}
        self._put_off: dict[str, tuple[int, float]] = {}

    def act(self, seen: Observation, findings: Sequence[Finding]) -> None:
        """Do what is next for an endpoint that has no canary.

        Args:
            findings: what asks for a retraining.

        Raises:
            Conflict: another controller had taken the lease.
            Unavailable: the store cannot be reached.
        """
        name = seen.endpoint
        is_made = name in self.retraining.made
        policy, since_s = self._put_off.get(name, (0, 0.0))
        if not (is_made or findings) or (
            policy == seen.policy.number and time.monotonic() - since_s < RETRY_S
        ):
            return
        try:
            if is_made:
                self._send(seen)
            else:
                self.retraining.consider(seen, findings)
        except Exception as error:  # noqa: BLE001  (whatever it is, the endpoint was judged)
            self._note(seen, error)
        else:
            self._conflicts.pop(name, None)
            self._put_off.pop(name, None)

    def _send(self, seen: Observation) -> None:
        name, percent = seen.endpoint, seen.settings.rollout.steps[0]
        made = self.retraining.made[name]
        ref = made.ref
        with self.project.database.read() as connection:
            is_out = bool(list_gone_out(connection, {name: made}))
        if not is_out:
            canary = percent if percent < 100 else None
            reason = f"retrained model {ref} goes out"
            plan = plan_deployment(self.project, name, ref, canary=canary, reason=reason)
            apply_deployment(self.project, plan)
        del self.retraining.made[name]

    def _note(self, seen: Observation, error: Exception) -> None:
        """Tell what went wrong, and try again later what may go right then."""
        name = seen.endpoint
        code = error.code if isinstance(error, PenstockError) else ""
        if code == LOST or (isinstance(error, Unavailable) and code.startswith("store.")):
            raise error
        words = words_outside(error)
        if isinstance(error, Conflict):
            self._conflicts[name] = self._conflicts.get(name, 0) + 1
            if self._conflicts[name] < CONFLICTS_MAX:
                return
        elif (
            name in self.retraining.made
            and isinstance(error, PenstockError)
            and not isinstance(error, Unavailable)
            and not code.startswith("os.")
            and self.project.settings_problem is None
        ):
            self.retraining.tell_refused(name, words)
            return
        reason = words if isinstance(error, PenstockError) else type(error).__name__
        if self.retraining.tell_hindered(name, words, reason):
            defect = None if isinstance(error, PenstockError) else error
            logger.warning("the retraining of %s: %s", name, words, exc_info=defect)
        self._put_off[name] = (seen.policy.number, time.monotonic())
