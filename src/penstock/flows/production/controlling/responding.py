"""The controller: look at every endpoint, decide, write what was decided, tell.

One process acts at a time (a lease, which is kept while a tick goes on, however long that takes); every decision
names the revision it was made on, so a second one that slept through its lease changes nothing, and says so. Each endpoint is handled by itself: one that cannot be judged
is told of, and the others are handled. A tick that is killed leaves no half decision: the next tick, of
this process or another, sees the store as it is and goes on.
"""

from __future__ import annotations

import logging
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from penstock.base.clock import now_ms
from penstock.base.errors import Conflict, PenstockError
from penstock.base.running import name_process
from penstock.base.store.events import record_event
from penstock.base.store.outside import words_outside
from penstock.flows.production.controlling.acting import carry_out
from penstock.flows.production.controlling.deciding import NOT_JUDGED, Closing, Decision, Opening
from penstock.flows.production.controlling.going_back import decide_servable
from penstock.flows.production.controlling.retraining import Retraining
from penstock.flows.production.controlling.sending_out import SendingOut
from penstock.flows.production.looks import EndpointLook, look_of, without_sketches
from penstock.flows.production.policing import FileFollower
from penstock.flows.production.watching import (
    Observation,
    Remembered,
    Shared,
    is_steady,
    look_around,
    observe_again,
)
from penstock.monitoring.alerts import Alert, Subject, list_open_alerts, open_alert
from penstock.monitoring.lease import CONTROLLER, LEASE_S, LOST, Lease
from penstock.monitoring.policies import find_alerting
from penstock.project.project import Project
from penstock.serving.predictions.waiting import tell_waiting

logger = logging.getLogger(__name__)
LOOK_MAX_S = 120.0
"""A look that takes longer hangs: the lease is not kept for it any more, so that another process takes over."""
DECISION_LOST = "PenstockDecisionLost"
MOVED = frozenset(
    {"serving.revision_moved", "registry.alias_moved", "monitoring.policy_moved", "monitoring.alert_open"}
)
"""Somebody else wrote at the same moment: what was decided is decided anew on what is there now."""
MOVED_MAX = 3
"""What moves at so many looks in a row is no chance any more."""


class Controller:
    """Acts on endpoints, a tick at a time. Not thread-safe; the caller ticks it from one thread.

    Args:
        remembers: whether a tick may go by what the one before found (see `observe_again`); else each looks
            at everything.
    """

    def __init__(self, project: Project, *, remembers: bool = True) -> None:
        self.project = project
        self.holder = f"{name_process()} {socket.gethostname()}:{secrets.token_hex(4)}"
        self.lease = Lease(CONTROLLER, self.holder, LEASE_S)
        self.retraining = Retraining(project)
        self._sending = SendingOut(project, self.retraining)
        self._file = FileFollower(project)
        self._problems: dict[str, str] = {}
        self._memory: dict[str, Remembered] = {}
        self._looks: dict[str, EndpointLook] = {}
        self._observations: dict[str, Observation] = {}
        self._remembers = remembers
        self._moved: dict[str, int] = {}
        self._took_s: dict[str, float] = {}
        self._began_s: float | None = None
        self.lost_count = 0
        """How many decisions were not carried out since another controller had taken the lease meanwhile."""
        self.is_leading = False
        """Whether the last tick had the lease."""

    @property
    def problems(self) -> Mapping[str, str]:
        """What kept an endpoint from being judged at the last look, by name; `penstock.yaml` for the file."""
        file = {"penstock.yaml": self._file.problem} if self._file.problem else {}
        return MappingProxyType({**file, **self._problems})

    @property
    def looks(self) -> Mapping[str, EndpointLook]:
        """What the last look at each endpoint found, by name; nothing while another controller acts."""
        return MappingProxyType(self._looks)

    @property
    def observations(self) -> Mapping[str, Observation]:
        """The same looks with their findings, without sketches."""
        return MappingProxyType(self._observations)

    def tick(self) -> int:
        """Look at every endpoint once and act; return how many were looked at, 0 without the lease.

        Those where something failed come first, and of these those that are looked at quickly.

        Raises:
            Conflict: a decision was lost with the lease (`monitoring.lease_lost`), which is told.
            Unavailable: the store cannot be reached.
        """
        self._began_s = time.monotonic()
        try:
            return self._look_at_all()
        finally:
            self._began_s = None
            if not self.is_leading:
                self._looks.clear()
                self._observations.clear()

    def keep(self) -> None:
        """Extend the lease where a tick is under way, from another thread: a look may take longer than it lasts.

        Raises:
            Unavailable: the store cannot be reached.
        """
        began_s = self._began_s
        if began_s is None or time.monotonic() - began_s > LOOK_MAX_S:
            return
        with self.project.database.read() as connection:
            if self.lease.is_fresh(connection):
                return
        with self.project.database.write() as connection:
            self.lease.keep(connection)

    def _look_at_all(self) -> int:
        self.is_leading = self._leads()
        if not self.is_leading:
            self.retraining.stop("lost its lease")
            self._file.reread()
            return 0
        self.retraining.recover()
        self.retraining.follow()
        self._file.follow()
        time_ms = now_ms()
        if not self._remembers:
            self._memory.clear()
        with self.project.database.read() as connection:
            shared = look_around(connection, time_ms)
            names = [name for name in shared.revisions if name in shared.policies]
            due = [
                name
                for name in names
                if name in self.retraining.made or not is_steady(name, shared, self._memory, time_ms)
            ]
            if due:
                shared = replace(shared, labels=tell_waiting(connection, time_ms))
        for name in sorted(due, key=lambda one: (not shared.failures.get(one), self._took_s.get(one, 0.0))):
            self._began_s = time.monotonic()
            self.is_leading = self._leads()
            if not self.is_leading:
                logger.warning("another controller took over while this one looked at its endpoints")
                return 0
            self._look_at(name, shared)
            self._took_s[name] = time.monotonic() - self._began_s
        unread = [name for name in shared.revisions if name in shared.unreadable]
        for name in unread:
            self._note(name, shared.unreadable[name])
        known = {*names, *unread}
        self._problems = {name: words for name, words in self._problems.items() if name in known}
        self._looks = {name: look for name, look in self._looks.items() if name in names}
        self._observations = {name: seen for name, seen in self._observations.items() if name in names}
        return len(known)

    def _look_at(self, name: str, shared: Shared) -> None:
        """Look at an endpoint and act.

        Raises:
            Conflict: another controller had taken the lease.
        """
        try:
            seen = observe_again(self.project, name, shared, self._memory, now_ms())
            self._looks[name] = look_of(seen, shared)
            self._observations[name] = without_sketches(seen)
            self._handle(seen)
        except Conflict as error:
            if error.code == LOST:
                self._tell_lost(name, error)
                raise
            self._moved[name] = self._moved.get(name, 0) + 1
            if error.code not in MOVED or self._moved[name] >= MOVED_MAX:
                self._note(name, error)
        except Exception as error:  # noqa: BLE001  (whatever one endpoint does, the others are watched)
            self._note(name, error)
        else:
            self._moved.pop(name, None)
            self._settle(name, seen.problems)

    def _leads(self) -> bool:
        """Say whether this is the controller that acts; a lease that is fresh is not written again."""
        with self.project.database.read() as connection:
            if self.lease.is_fresh(connection):
                return True
        with self.project.database.write() as connection:
            return self.lease.acquire(connection)

    def close(self) -> None:
        """End a retraining under way and give the lease back."""
        self.retraining.stop()
        with self.project.database.write() as connection:
            self.lease.release(connection)

    def _handle(self, seen: Observation) -> None:
        decision = decide_servable(self.project, seen)
        decision = self._with_problems(seen, decision)
        if decision.writes:
            self._memory.pop(seen.endpoint, None)
            carry_out(self.project, self.lease, seen, decision)
        if decision.action is not None or seen.revision.canary is not None:
            return
        self._sending.act(seen, decision.retrain)

    def _with_problems(self, seen: Observation, decision: Decision) -> Decision:
        """Add to a decision that a part of the endpoint cannot be judged, or that it can be again."""
        told = [one for one in seen.history.alerts if one.name == NOT_JUDGED]
        subject = Subject(name=NOT_JUDGED, endpoint=seen.endpoint)
        openings, closings = decision.openings, decision.closings
        if seen.problems and not told:
            words = "; ".join(seen.problems)
            summary = f"{seen.endpoint} is not judged in all: {words}"
            openings = (*openings, Opening(subject, "endpoint.not_judged", summary))
        if told and not seen.problems:
            closings = (*closings, *(Closing(one, "it can be judged again") for one in told))
        return Decision(decision.news, decision.marks, closings, openings, decision.action, decision.retrain)

    def _settle(self, name: str, problems: tuple[str, ...]) -> None:
        if problems:
            self._problems[name] = "; ".join(problems)
        else:
            self._problems.pop(name, None)

    def _note(self, name: str, error: Exception) -> None:
        """Tell that an endpoint could not be handled: in the store once, in the log when it is new."""
        words = words_outside(error, is_logged=False)
        if self._problems.get(name) != words:
            # the words of an error of ours say all; the stack is of defects alone
            why, defect = (error.message, None) if isinstance(error, PenstockError) else (words, error)
            logger.warning("endpoint %s could not be handled: %s", name, why, exc_info=defect)
        self._problems[name] = words
        subject = Subject(name=NOT_JUDGED, endpoint=name)
        try:
            with self.project.database.write() as connection:
                self.lease.require(connection)
                if _is_open(list_open_alerts(connection, name), subject):
                    return
                alerting = find_alerting(connection, name)
                summary = f"{name} cannot be judged: {words}"
                event_id = record_event(
                    connection, "endpoint.not_judged", f"endpoint:{name}", self.project.actor, summary
                )
                webhooks = alerting.webhooks if alerting else ()
                open_alert(connection, subject, summary, webhooks, time_ms=now_ms(), event_id=event_id)
        except PenstockError as problem:
            logger.warning("it could not be written either: %s", problem.message)

    def _tell_lost(self, name: str, error: Conflict) -> None:
        """Tell that a decision was not carried out: the lease went to another controller, which decides anew."""
        self.lost_count += 1
        self.is_leading = False
        took_s = 0.0 if self._began_s is None else time.monotonic() - self._began_s
        summary = f"what was decided about {name} after a look of {took_s:.1f} s was not done: {error.message}, which acts now"
        logger.warning("%s", summary)
        try:
            with self.project.database.write() as connection:
                alerting = find_alerting(connection, name)
                event_id = record_event(
                    connection, "controller.decision_lost", f"endpoint:{name}", self.project.actor, summary
                )
                webhooks = alerting.webhooks if alerting else ()
                subject = Subject(name=DECISION_LOST, endpoint=name)
                open_alert(
                    connection, subject, summary, webhooks, time_ms=now_ms(), event_id=event_id, is_kept=False
                )
        except PenstockError as problem:
            logger.warning("it could not be written either: %s", problem.message)


def _is_open(alerts: list[Alert], subject: Subject) -> bool:
    return any(one.fingerprint == subject.fingerprint for one in alerts)
