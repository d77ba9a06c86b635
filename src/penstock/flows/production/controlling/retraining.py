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
from penstock.data.pointers.metafiles import SUFFIX
from penstock.flows.production.watching import Observation
from penstock.monitoring.findings import Finding
from penstock.project.project import Project
from penstock.registry.verdicts import glance_verdict
from penstock.registry.versions import list_versions


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
        newer = self._newer_data(seen.version.provenance.commit, head)
        first = findings[0]
        if not newer and self._has_told(seen.endpoint, head):
            return
        if not newer:
            self._record(
                "retrain.waiting",
                seen.endpoint,
                f"a retraining waits for newer data: commit {head[:7]} has what {seen.version.ref} was trained on",
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
                "retrain.nothing", endpoint, "the retraining made no new version", {"log": str(running.path)}
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

    def _newer_data(self, trained_on: str | None, head: str) -> list[str]:
        """Return the pointers that differ between the commit a model came from and `head`."""
        if trained_on is None:
            return ["everything"]
        if trained_on == head:
            return []
        names = self.project.git.run("diff", "--name-only", trained_on, head, check=False).splitlines()
        return [name for name in names if name.endswith(SUFFIX)]

    def _has_told(self, endpoint: str, head: str) -> bool:
        """Whether an earlier process said already that this commit holds nothing newer."""
        with self.project.database.read() as connection:
            told = list_events(connection, subject=f"endpoint:{endpoint}", kind="retrain.waiting")
        return any(event.cause.get("commit") == head for event in told)

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

    def _record(self, kind: str, endpoint: str, summary: str, cause: dict[str, Any]) -> None:
        with self.project.database.write() as connection:
            record_event(connection, kind, f"endpoint:{endpoint}", self.project.actor, summary, cause=cause)
