"""Retrain when live traffic says so and there is newer data to learn from.

The command runs beside the controller, in the project's root, its output in `.penstock/retrain`. It is
not started again for a commit that was tried.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from penstock.base.clock import now_ms
from penstock.base.process import with_own_programs
from penstock.base.store.events import list_events, record_event
from penstock.flows.production.controlling.newer_data import newer_data
from penstock.flows.production.watching import Observation
from penstock.monitoring.alerts import Subject, open_alert
from penstock.monitoring.findings import Finding
from penstock.monitoring.policies import find_policy
from penstock.project.places import SETTINGS_FILE
from penstock.project.project import Project
from penstock.registry.verdicts import glance_verdict
from penstock.registry.versions import list_versions

FRUITLESS = "PenstockRetrainingFruitless"
ENDED = ("retrain.failed", "retrain.nothing", "retrain.finished")


@dataclass
class _Running:
    endpoint: str
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    path: Path
    known: set[int]
    model: str


class Retraining:
    """At most one retraining at a time. Not thread-safe."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._running: _Running | None = None
        self._settled: dict[str, str] = {}

    def consider(self, seen: Observation, findings: Sequence[Finding]) -> None:
        """Start the endpoint's retraining command, unless there is nothing newer to learn from.

        Once a commit was tried or found to hold no newer data, only another commit is looked at.
        """
        settings = seen.settings.retrain
        if settings is None or self._running is not None:
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
        self._start(seen, settings.command)
        self._record(
            "retrain.started",
            seen.endpoint,
            f"`{settings.command}` started at {head[:7]} ({', '.join(newer)} changed): {first.sentence}",
            {"finding": first.sentence, "commit": head, "command": settings.command},
        )

    def poll(self, endpoint: str) -> str | None:
        """Return the version (`model/number`) a finished retraining made, or None."""
        running = self._running
        if running is None or running.endpoint != endpoint:
            return None
        code = running.process.poll()
        if code is None:
            return None
        self._running = None
        running.log.close()
        if code != 0:
            tail = running.path.read_text(errors="replace").strip().splitlines()[-8:]
            self._record(
                "retrain.failed",
                endpoint,
                f"the retraining ended with {code}: {tail[-1] if tail else 'no output'}",
                {"exit_code": code, "log": str(running.path), "tail": tail},
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

    def stop(self) -> None:
        """End a retraining under way."""
        if self._running is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._running.process.pid, signal.SIGTERM)
            self._running.process.wait()
            self._running.log.close()
            self._running = None

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
                for one in list_events(connection, subject=f"endpoint:{endpoint}", kind="retrain.started")
                if one.cause.get("commit") == head
            ]
            return any(
                list_events(
                    connection, subject=f"endpoint:{endpoint}", kind=kind, after_id=begun[-1], limit=1
                )
                for kind in ENDED
                if begun
            )

    def _start(self, seen: Observation, command: str) -> None:
        path = self.project.home / "retrain" / f"{now_ms()}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        log = path.open("wb")
        process = subprocess.Popen(
            with_own_programs(["/bin/sh", "-c", command]),
            cwd=self.project.root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        with self.project.database.read() as connection:
            known = {version.number for version in list_versions(connection, seen.revision.model)}
        self._running = _Running(seen.endpoint, process, log, path, known, seen.revision.model)

    def _record(
        self, kind: str, endpoint: str, summary: str, cause: dict[str, Any], *, is_alert: bool = False
    ) -> None:
        with self.project.database.write() as connection:
            subject = f"endpoint:{endpoint}"
            event_id = record_event(connection, kind, subject, self.project.actor, summary, cause=cause)
            policy = find_policy(connection, endpoint) if is_alert else None
            if policy is None:
                return
            open_alert(
                connection,
                Subject(name=FRUITLESS, endpoint=endpoint, labels={"reason": kind}),
                f"{endpoint}: {summary} (the log is {cause['log']})",
                policy.body.alerts.webhooks,
                time_ms=now_ms(),
                event_id=event_id,
                is_kept=False,
            )


def _none_newer(ref: str, trained_on: str, head: str) -> str:
    """Say what is waited for: which kinds of data were looked at, and between which commits."""
    if trained_on == head:
        return f"commit {head[:7]} is what {ref} was trained on"
    return (
        f"nothing that pointers track, and no table in git that stages read or {SETTINGS_FILE} names, differs "
        f"between {trained_on[:7]}, which {ref} was trained on, and {head[:7]}"
    )
