"""Retrain when live traffic says so and there is newer data to learn from.

The command runs beside the controller, in the project's root, its output in `.penstock/retrain`. It is
not started again for a commit that was tried.
"""

from __future__ import annotations

import logging
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from penstock.base.clock import now_ms
from penstock.base.errors import Conflict
from penstock.base.process import GUARD, inherited
from penstock.base.running import has_ended, is_from_here, name_process
from penstock.base.store.events import Event, list_events, record_event
from penstock.flows.production.controlling.newer_data import newer_data
from penstock.flows.production.controlling.under_way import (
    ENDED,
    LOST,
    STARTED,
    is_under_way,
    list_under_way,
)
from penstock.flows.production.watching import Observation
from penstock.monitoring.alerts import Subject, open_alert
from penstock.monitoring.findings import Finding
from penstock.monitoring.policies import find_policy
from penstock.pipeline.running.survivors import end_group
from penstock.project.places import SETTINGS_FILE
from penstock.project.project import Project
from penstock.registry.verdicts import glance_verdict
from penstock.registry.versions import list_versions
from penstock.serving.deployments import list_endpoints

FRUITLESS = "PenstockRetrainingFruitless"
LOG = "PENSTOCK_RETRAINING"
"""The variable by which what a retraining started is known: the path of its log."""

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
    started_id: int = 0


class Retraining:
    """At most one retraining at a time. Not thread-safe."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.running: Running | None = None
        self._settled: dict[str, str] = {}
        self._is_recovered = False

    def recover(self) -> None:
        """End and tell what a controller before this one began and told no end of; called where this one has the lease.

        Once, until the lease is lost. Only what runs on this machine is ended.
        """
        if self._is_recovered:
            return
        with self.project.database.read() as connection:
            left = list_under_way(connection, [one.endpoint for one in list_endpoints(connection)])
        for endpoint, started in left.items():
            if self.running is None or self.running.started_id != started.id:
                self._tell_lost(endpoint, started, self._end_left(endpoint, started.cause), is_alert=True)
        self._is_recovered = True

    def consider(self, seen: Observation, findings: Sequence[Finding]) -> None:
        """Start the endpoint's retraining command, unless there is nothing newer to learn from.

        Once a commit was tried or found to hold no newer data, only another commit is looked at.
        """
        settings = seen.settings.retrain
        if settings is None or self.running is not None:
            return
        head = self.project.git.resolve(settings.rev)
        if self._settled.get(seen.endpoint) == head:
            return
        self._settled[seen.endpoint] = head
        trained_on = seen.version.provenance.commit
        newer = newer_data(self.project, trained_on, head)
        first = findings[0]
        if self._has_tried(seen.endpoint, head) if newer else self._has_told(seen.endpoint, head):
            return
        if not newer:
            self._record(
                "retrain.waiting",
                seen.endpoint,
                f"a retraining waits for newer data: {_none_newer(seen.version.ref, trained_on or '', head)}",
                {"finding": first.sentence, "commit": head},
            )
            return
        running = self.running = self._start(seen, settings.command)
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

    def poll(self, endpoint: str) -> str | None:
        """Return the version (`model/number`) a finished retraining made, or None."""
        running = self.running
        if running is None or running.endpoint != endpoint:
            return None
        code = running.process.poll()
        if code is None:
            return None
        self.running = None
        running.log.close()
        GUARD.end(running.process.pid)
        with self.project.database.read() as connection:
            if running.started_id and not is_under_way(connection, endpoint, running.started_id):
                return None  # another controller told that it is lost
        if code != 0:
            tail = running.path.read_text(errors="replace").strip().splitlines()[-8:]
            refused = self._refusal_since(running)
            why = [*tail[-1:], *([f"its gate said: {refused.summary}"] if refused else [])]
            self._record(
                "retrain.failed",
                endpoint,
                f"the retraining ended with {code}: {'; '.join(why) or 'no output'}",
                {
                    "exit_code": code,
                    "log": str(running.path),
                    "tail": tail,
                    "verdict": refused.cause.get("verdict") if refused else None,
                },
                is_alert=True,
            )
            return None
        with self.project.database.read() as connection:
            made = [
                version
                for version in list_versions(connection, running.model)
                if version.number not in running.known
                and (verdict := glance_verdict(connection, version.model, version.digest)) is not None
                and verdict.passed
            ]
        if not made:
            self._record(
                "retrain.nothing",
                endpoint,
                "the retraining made no new version that passed its gates",
                {"log": str(running.path)},
                is_alert=True,
            )
            return None
        self._record(
            "retrain.finished", endpoint, f"the retraining made {made[0].ref}", {"version": made[0].ref}
        )
        return made[0].ref

    def stop(self, why: str = "was stopped") -> None:
        """End a retraining under way, and tell it with what became of its controller."""
        running, self.running = self.running, None
        self._is_recovered = False
        if running is None:
            return
        group = running.process.pid
        try:
            end_group(
                f"the retraining of {running.endpoint}",
                group,
                running.leader,
                f"{LOG}={running.path}",
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
                f"{LOG}={cause.get('log')}",
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
            told = list_events(connection, subject=f"endpoint:{endpoint}", kind="retrain.waiting")
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

    def _start(self, seen: Observation, command: str) -> Running:
        path = self.project.home / "retrain" / f"{now_ms()}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        log = path.open("wb")
        GUARD.prepare()
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=self.project.root,
            env=inherited({LOG: str(path)}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        GUARD.begin(process.pid)
        with self.project.database.read() as connection:
            known = {version.number for version in list_versions(connection, seen.revision.model)}
        leader = name_process(process.pid)
        return Running(seen.endpoint, process, log, path, known, seen.revision.model, leader)

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
            policy = find_policy(connection, endpoint) if is_alert else None
            if policy is not None:
                log = f" (the log is {cause['log']})" if cause["log"] else ""
                open_alert(
                    connection,
                    Subject(name=FRUITLESS, endpoint=endpoint, labels={"reason": kind}),
                    f"{endpoint}: {summary}{log}",
                    policy.body.alerts.webhooks,
                    time_ms=now_ms(),
                    event_id=event_id,
                    is_kept=False,
                )
            return event_id


def list_outcomes(project: Project, running: Running) -> list[str]:
    """Return in words what was told of a retraining since it started, and of what was done with what it made."""
    with project.database.read() as connection:
        told = list_events(connection, subject=f"endpoint:{running.endpoint}", after_id=running.started_id)
    return [f"{running.endpoint}: {one.summary}" for one in told]


def _none_newer(ref: str, trained_on: str, head: str) -> str:
    """Say what is waited for: which kinds of data were looked at, and between which commits."""
    if trained_on == head:
        return f"commit {head[:7]} is what {ref} was trained on"
    return (
        f"nothing that pointers track, and no table in git that stages read or {SETTINGS_FILE} names, differs "
        f"between {trained_on[:7]}, which {ref} was trained on, and {head[:7]}"
    )
