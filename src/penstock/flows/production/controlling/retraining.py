"""Retrain when live traffic says so and there is newer data to learn from.

The command runs beside the controller, in the project's root, its output in `.penstock/retrain`. It is
not started again for a commit that was tried. How it ended is told, and what it made kept until it is out or refused
(`sending_out`); the store has both, so that the next controller goes on from there.
"""

from __future__ import annotations

import logging
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from penstock.base.clock import now_ms
from penstock.base.errors import Conflict, PenstockError, told_of_system
from penstock.base.process import GUARD, inherited
from penstock.base.running import has_ended, is_from_here, name_process
from penstock.base.store.events import Event, list_events, record_event
from penstock.flows.production.controlling.made import Made, find_made, list_waiting
from penstock.flows.production.controlling.newer_data import newer_data
from penstock.flows.production.controlling.under_way import (
    ENDED,
    FINISHED,
    HINDERED,
    LOST,
    REFUSED,
    STARTED,
    WAITING,
    is_under_way,
    list_under_way,
    newest_of,
)
from penstock.flows.production.watching import Observation
from penstock.monitoring.alerts import Subject, open_alert
from penstock.monitoring.findings import Finding
from penstock.monitoring.policies import find_alerting
from penstock.pipeline.running.survivors import end_group
from penstock.project.places import RETRAINING, SETTINGS_FILE
from penstock.project.project import Project
from penstock.registry.versions import list_versions
from penstock.serving.deployments import list_endpoints

FRUITLESS = "PenstockRetrainingFruitless"
BREACHED = "guardrail.breached"

logger = logging.getLogger(__name__)


@dataclass
class Running:
    """A retraining under way: its process, and the log at `path`."""

    endpoint: str
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    path: Path
    known: set[int]
    model: str
    leader: str
    commit: str
    started_id: int = 0


class Retraining:
    """At most one retraining at a time. Not thread-safe."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.running: Running | None = None
        self.made: dict[str, Made] = {}
        """What was made and has neither gone out nor been refused, by endpoint."""
        self._settled: dict[str, str] = {}
        self._is_recovered = False

    def recover(self) -> None:
        """Take up what a controller before this one left; called where this one has the lease.

        What it began and told no end of is ended and told, on this machine; what it made goes out still. Once, until
        the lease is lost.
        """
        if self._is_recovered:
            return
        with self.project.database.read() as connection:
            names = [one.endpoint for one in list_endpoints(connection)]
            left, waiting = list_under_way(connection, names), list_waiting(connection, names)
        for endpoint, started in left.items():
            if self.running is None or self.running.started_id != started.id:
                self._tell_lost(endpoint, started, self._end_left(endpoint, started.cause), is_alert=True)
        self.made = waiting | self.made
        self._is_recovered = True

    def consider(self, seen: Observation, findings: Sequence[Finding]) -> None:
        """Start the endpoint's retraining command, unless there is nothing newer to learn from.

        Once a commit was tried or found to hold no newer data, only another commit is looked at.

        Raises:
            PenstockError: git knows no such revision, or no log can be written; it may be tried again.
        """
        settings = seen.settings.retrain
        if settings is None or self.running is not None or seen.endpoint in self.made:
            return
        head = self.project.git.resolve(settings.rev)
        if self._settled.get(seen.endpoint) == head:
            return
        trained_on = seen.version.provenance.commit
        newer = newer_data(self.project, trained_on, head)
        first = findings[0]
        if self._has_tried(seen.endpoint, head) if newer else self._has_told(seen.endpoint, head):
            self._settled[seen.endpoint] = head
            return
        if not newer:
            self._record(
                WAITING,
                seen.endpoint,
                f"a retraining waits for newer data: {_none_newer(seen.version.ref, trained_on or '', head)}",
                {"finding": first.sentence, "commit": head},
            )
            self._settled[seen.endpoint] = head
            return
        running = self.running = self._start(seen, settings.command, head)
        self._settled[seen.endpoint] = head
        running.started_id = self._record(
            STARTED,
            seen.endpoint,
            f"`{settings.command}` started at {head[:7]} ({', '.join(newer)} changed): {first.sentence}",
            {
                "finding": first.sentence,
                "commit": head,
                "command": settings.command,
                "log": str(running.path),
                "owner": name_process(),
                "leader": running.leader,
                "host": socket.gethostname(),
            },
        )

    def follow(self) -> None:
        """Note how the retraining under way ended, if it has; it is under way until that is written.

        What another controller told as lost meanwhile made nothing.

        Raises:
            Unavailable: the store cannot be reached.
        """
        running = self.running
        code = None if running is None else running.process.poll()
        if running is None or code is None:
            return
        running.log.close()
        GUARD.end(running.process.pid)
        made = None
        if code == 0:
            with self.project.database.read() as connection:
                made = find_made(connection, running.model, running.known, str(running.path))
        kind, summary, cause = self._outcome(running, code, made)
        self._record(
            kind, running.endpoint, summary, {"log": str(running.path), "commit": running.commit, **cause},
            is_alert=made is None, only_of=running.started_id or None,
        )  # fmt: skip
        if made is not None and not self._is_told_lost(running):
            self.made[running.endpoint] = made
        self.running = None

    def tell_refused(self, endpoint: str, words: str) -> None:
        """Tell that what a retraining made does not go out, for good."""
        made = self.made[endpoint]
        summary = f"{made.ref}, which the retraining made, does not go out: {words}"
        self._record(REFUSED, endpoint, summary, {"version": made.ref}, is_alert=True)
        del self.made[endpoint]

    def tell_hindered(self, endpoint: str, words: str, reason: str) -> bool:
        """Tell what keeps a retraining from beginning, or what it made from going out, unless it was the last that was told.

        A new breach asks anew, and is told anew what keeps it from being answered.

        Args:
            reason: what stays the same while the cause does.
        """
        kinds = (BREACHED, STARTED, *ENDED, LOST, WAITING, REFUSED, HINDERED)
        with self.project.database.read() as connection:
            last = newest_of(connection, [endpoint], kinds).get(endpoint)
        if last is not None and last.kind == HINDERED and last.cause.get("reason") == reason:
            return False
        made = self.made.get(endpoint)
        what = (
            f"{made.ref}, which the retraining made, waits to go out" if made else "no retraining could begin"
        )
        cause = {"reason": reason, "version": made.ref if made else None}
        self._record(HINDERED, endpoint, f"{what}: {words}", cause, is_alert=True)
        return True

    def _outcome(self, running: Running, code: int, made: Made | None) -> tuple[str, str, dict[str, Any]]:
        """Return kind, words and evidence of how a retraining ended."""
        if code != 0:
            tail: list[str] = []
            with suppress(OSError):  # logs may be deleted
                tail = running.path.read_text(errors="replace").strip().splitlines()[-8:]
            refused = self._refusal_since(running)
            why = [*tail[-1:], *([f"its gate said: {refused.summary}"] if refused else [])]
            verdict = refused.cause.get("verdict") if refused else None
            summary = f"the retraining ended with {code}: {'; '.join(why) or 'no output'}"
            return "retrain.failed", summary, {"exit_code": code, "tail": tail, "verdict": verdict}
        if made is None:
            return "retrain.nothing", "the retraining made no new version that passed its gates", {}
        summary = f"the retraining made {made.ref}{f'; {made.doubt}' if made.doubt else ''}"
        return FINISHED, summary, {"version": made.ref, "doubt": made.doubt}

    def _is_told_lost(self, running: Running) -> bool:
        with self.project.database.read() as connection:
            subject = f"endpoint:{running.endpoint}"
            told = list_events(connection, subject=subject, kind=LOST, after_id=running.started_id, limit=1)
        return bool(running.started_id and told)

    def stop(self, why: str = "was stopped") -> None:
        """End a retraining under way, and tell it with what became of its controller; one that has ended, as it ended."""
        try:
            self.follow()
        except PenstockError as error:
            logger.warning("how the retraining ended could not be written: %s", error.message)
        running, self.running = self.running, None
        self.made.clear()
        self._is_recovered = False
        if running is None:
            return
        group = running.process.pid
        try:
            end_group(
                f"the retraining of {running.endpoint}",
                group,
                running.leader,
                f"{RETRAINING}={running.path}",
                why=f"ends since its controller {why}",
            )
        except Conflict as error:
            logger.warning("%s", error.message)
        else:
            running.process.wait()
            GUARD.end(group)
        running.log.close()
        self._settled.pop(running.endpoint, None)
        with self.project.database.read() as connection:
            started = list_under_way(connection, [running.endpoint]).get(running.endpoint)
        if started is not None and started.id == running.started_id:
            self._tell_lost(running.endpoint, started, f"{why}, and it with it", is_alert=False)

    def _end_left(self, endpoint: str, cause: dict[str, Any]) -> str:
        """End what is left of another controller's retraining, and return what became of that controller and of it."""
        owner, leader = str(cause.get("owner", "")), str(cause.get("leader", ""))
        if not is_from_here(leader):
            return "has no lease any more: it may still run there"
        why = "was killed" if has_ended(owner) else "has no lease any more"
        try:
            is_ended = end_group(
                f"the retraining of {endpoint}",
                int(leader.partition(".")[0]),
                leader,
                f"{RETRAINING}={cause.get('log')}",
                why=f"still ran: its controller {why}",
            )
        except Conflict as error:
            return f"{why}, and it cannot be ended: {error.message}; {error.hint}"
        return f"{why}; it still ran and was ended now" if is_ended else f"{why}, and it with it"

    def _tell_lost(self, endpoint: str, started: Event, became: str, *, is_alert: bool) -> None:
        cause = started.cause
        where = f" on {cause['host']}" if is_alert and "host" in cause else ""
        commit = str(cause.get("commit", ""))
        self._record(
            LOST,
            endpoint,
            f"the retraining of {commit[:7]} is lost: the controller that ran it{where} {became}",
            {"commit": commit, "log": cause.get("log", ""), "started": started.id, "reason": became},
            is_alert=is_alert,
            only_of=started.id,
        )

    def _refusal_since(self, running: Running) -> Event | None:
        """Return the last event by which a gate of the model refused since a retraining started."""
        with self.project.database.read() as connection:
            found = list_events(
                connection,
                subject=f"model:{running.model}",
                kind="gate.refused",
                after_id=running.started_id,
                limit=1,
            )
        return found[-1] if found else None

    def _has_told(self, endpoint: str, head: str) -> bool:
        """Whether an earlier process said already that this commit holds nothing newer."""
        with self.project.database.read() as connection:
            told = list_events(connection, subject=f"endpoint:{endpoint}", kind=WAITING)
        return any(event.cause.get("commit") == head for event in told)

    def _has_tried(self, endpoint: str, head: str) -> bool:
        """Whether an earlier process started a retraining for this commit, and it ended by itself."""
        with self.project.database.read() as connection:
            begun = [
                one.id
                for one in list_events(connection, subject=f"endpoint:{endpoint}", kind=STARTED)
                if one.cause.get("commit") == head
            ]
            return any(
                list_events(
                    connection, subject=f"endpoint:{endpoint}", kind=kind, after_id=begun[-1], limit=1
                )
                for kind in ENDED
                if begun
            )

    def _start(self, seen: Observation, command: str, commit: str) -> Running:
        with self.project.database.read() as connection:
            known = {version.number for version in list_versions(connection, seen.revision.model)}
        path = self.project.home / "retrain" / f"{now_ms()}.log"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            log = path.open("wb")
        except OSError as error:  # the name of a log is another one at each try
            raise told_of_system(OSError(error.errno, error.strerror, str(path.parent))) from error
        GUARD.prepare()
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=self.project.root,
            env=inherited({RETRAINING: str(path)}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        GUARD.begin(process.pid)
        leader = name_process(process.pid)
        return Running(seen.endpoint, process, log, path, known, seen.revision.model, leader, commit)

    def _record(
        self,
        kind: str,
        endpoint: str,
        summary: str,
        cause: dict[str, Any],
        *,
        is_alert: bool = False,
        only_of: int | None = None,
    ) -> int:
        """Write an event and return its number; nothing where the retraining of `only_of` was told to have ended."""
        with self.project.database.write() as connection:
            if only_of is not None and not is_under_way(connection, endpoint, only_of):
                return 0
            subject = f"endpoint:{endpoint}"
            event_id = record_event(connection, kind, subject, self.project.actor, summary, cause=cause)
            alerting = find_alerting(connection, endpoint) if is_alert else None
            if alerting is not None:
                log = f" (the log is {cause['log']})" if cause.get("log") else ""
                open_alert(
                    connection,
                    Subject(name=FRUITLESS, endpoint=endpoint, labels={"reason": kind}),
                    f"{endpoint}: {summary}{log}",
                    alerting.webhooks,
                    time_ms=now_ms(),
                    event_id=event_id,
                    is_kept=False,
                )
            return event_id


def _none_newer(ref: str, trained_on: str, head: str) -> str:
    """Say what is waited for: which kinds of data were looked at, and between which commits."""
    if trained_on == head:
        return f"commit {head[:7]} is what {ref} was trained on"
    return (
        f"nothing that pointers track, and no table in git that stages read or {SETTINGS_FILE} names, differs "
        f"between {trained_on[:7]}, which {ref} was trained on, and {head[:7]}"
    )
