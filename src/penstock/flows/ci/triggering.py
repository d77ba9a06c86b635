"""Runs of CI that no push begins: on schedule, and when watched data changed. One process of a store looks after them.

What was begun, and by what cause, stands in the events, so that a restart begins nothing twice. A time that passed
while nobody looked is made up for once. The first look at data only notes what is there.
"""

from __future__ import annotations

import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from penstock.base.clock import now_ms
from penstock.base.errors import PenstockError
from penstock.base.running import name_process
from penstock.base.store.events import Event, list_events, record_event
from penstock.ci.cron import parse_cron
from penstock.ci.report import CiReport
from penstock.flows.ci.new_data import state_of
from penstock.monitoring.lease import Lease
from penstock.project.ci_reports import find_last
from penstock.project.project import Project
from penstock.project.settings import TriggerSettings, load_project_settings

LEASE, LEASE_S = "ci-triggers", 60.0
WATCHING, STARTED, FINISHED = "ci.watching", "ci.started", "ci.finished"
UNREACHED = "ci.unreached"
HELD_CODE = 6
"""How the command line says that a run passed and released nothing."""
_CHILD = (
    "import runpy; from penstock.base.process import die_with_parent; die_with_parent(); "
    "runpy.run_module('penstock.cli', run_name='__main__')"
)
"""The command line, as a program that ends with this one: a run that nobody looks after would be told as interrupted."""


@dataclass
class _Running:
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    path: Path
    causes: list[str]
    before: CiReport | None


class Triggers:
    """Begins `penstock ci run` when one is due, one at a time. Not thread-safe.

    Args:
        clock: the time in milliseconds since 1970.
    """

    def __init__(self, project: Project, clock: Callable[[], int] = now_ms) -> None:
        self.project, self._clock = project, clock
        holder = f"{name_process()} {socket.gethostname()}:{secrets.token_hex(4)}"
        self._lease = Lease(LEASE, holder, LEASE_S)
        self._running: _Running | None = None
        self._has_looked = False
        self._unreached: dict[str, str] = {}

    @property
    def is_running(self) -> bool:
        """Whether a run is under way."""
        return self._running is not None

    def look(self) -> None:
        """Note how a run ended, or begin one that is due; do nothing where another process looks after it."""
        settings = load_project_settings(self.project.root).ci.on
        if not settings.is_set and self._running is None:
            return
        with self.project.database.write() as connection:
            if not self._lease.acquire(connection):
                return
        if self._running is not None:
            if self._running.process.poll() is not None:
                self._finish(self._running)
            return
        if not self._has_looked:
            self._note_interrupted()
            self._has_looked = True
        states = self._states(settings)
        history = self._history()
        due, new = self._due(settings, history), _changed(states, history)
        first = {name: state for name, state in states.items() if _known(history, name) is None}
        is_new_schedule = settings.schedule is not None and _since(settings.schedule, history) is None
        if first or is_new_schedule:
            cause: dict[str, Any] = {"data": first}
            if is_new_schedule:
                cause |= {"schedule": settings.schedule, "due_ms": self._clock()}
            told = [f"`{settings.schedule}`"] if is_new_schedule else []
            self._record(WATCHING, f"CI runs are begun by {', '.join([*told, *first])}", cause)
        if due is not None or new:
            self._begin(settings, due, new)

    def close(self) -> None:
        """End a run under way, and let another process look after what comes."""
        if self._running is not None:
            self._running.process.send_signal(signal.SIGTERM)
            self._running.process.wait()
            self._finish(self._running)
        if self._has_looked:
            with self.project.database.write() as connection:
                self._lease.release(connection)

    def _states(self, settings: TriggerSettings) -> dict[str, str]:
        """Return what each source holds; one that cannot be asked is told once, and left out."""
        found = {}
        for name in settings.sources:
            try:
                found[name] = state_of(self.project, name)
                self._unreached.pop(name, None)
            except PenstockError as error:
                if self._unreached.get(name) != error.message:
                    self._record(UNREACHED, f"{name} is not watched: {error.message}", {"source": name})
                self._unreached[name] = error.message
        return found

    def _history(self) -> list[Event]:
        with self.project.database.read() as connection:
            kinds = [
                list_events(connection, subject=self._subject, kind=kind, limit=200)
                for kind in (WATCHING, STARTED)
            ]
        return sorted((event for events in kinds for event in events), key=lambda event: -event.id)

    def _due(self, settings: TriggerSettings, history: list[Event]) -> int | None:
        """Return the time that is due and was not begun, if any."""
        if settings.schedule is None or (since := _since(settings.schedule, history)) is None:
            return None
        now = datetime.fromtimestamp(self._clock() / 1000, UTC)
        last = parse_cron(settings.schedule).last_due(now)
        due_ms = int(last.timestamp() * 1000) if last else 0
        return due_ms if due_ms > since else None

    def _begin(self, settings: TriggerSettings, due_ms: int | None, new: dict[str, str]) -> None:
        causes: list[str] = []
        cause: dict[str, Any] = {"data": new}
        if due_ms is not None:
            when = datetime.fromtimestamp(due_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
            causes.append(f"`{settings.schedule}` was due on {when}")
            cause |= {"schedule": settings.schedule, "due_ms": due_ms}
        causes += [f"{name} changed at its source" for name in new]
        self._record(STARTED, f"a CI run began: {'; '.join(causes)}", cause)
        before = find_last(self.project)
        path = self.project.home / "ci" / f"triggered-{self._clock()}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        log = path.open("wb")
        command = [
            sys.executable,
            "-m",
            "penstock.cli",
            "-C",
            str(self.project.root),
            "ci",
            "run",
            "--deploy",
        ]
        process = subprocess.Popen(
            [*command, *(["--new-data"] if settings.sources else [])],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._running = _Running(process, log, path, causes, before)

    def _finish(self, running: _Running) -> None:
        """Tell how a run ended; it is under way until that is written."""
        running.log.close()
        code = running.process.wait()
        report = _report_of(self.project, running) if code in (0, 1, HELD_CODE) else None
        if report is not None:
            word, commit = ("passed" if report.passed else "refused"), report.commit
            summary = f"the CI run on {commit[:10]} {word}: {report.outcome}"
        else:
            tail = ["no output"]
            with suppress(OSError):  # logs may be deleted
                tail = running.path.read_text(errors="replace").strip().splitlines()[-3:] or tail
            word, commit = "passed" if code in (0, HELD_CODE) else "failed", ""
            has_begun = find_last(self.project) != running.before
            summary = (
                f"the CI run ended with {code}: {tail[-1]}"
                if has_begun or code != 1
                else f"the CI run could not begin: {'; '.join(map(str.strip, tail)).removeprefix('error: ')}"
            )
        cause = {"causes": running.causes, "outcome": word, "commit": commit, "log": str(running.path)}
        self._record(FINISHED, summary, cause)
        self._running = None

    def _note_interrupted(self) -> None:
        """Tell of a run whose process ended with the one that looked after it: it is not begun again."""
        with self.project.database.read() as connection:
            begun, ended = (
                list_events(connection, subject=self._subject, kind=kind, limit=1)
                for kind in (STARTED, FINISHED)
            )
        if begun and (not ended or ended[0].id < begun[0].id):
            summary = "a CI run was interrupted and is not begun again: penstock ci run"
            self._record(FINISHED, summary, {"outcome": "interrupted", "event": begun[0].id})

    @property
    def _subject(self) -> str:
        return f"ci:{self.project.settings.project}"

    def _record(self, kind: str, summary: str, cause: dict[str, Any]) -> None:
        with self.project.database.write() as connection:
            record_event(connection, kind, self._subject, self.project.actor, summary, cause=cause)


def _report_of(project: Project, running: _Running) -> CiReport | None:
    """Return the report of a run that has ended; None where it wrote none: the last one is of a run before it, or has no end."""
    report = find_last(project)
    return None if report is None or report == running.before or report.process is not None else report


def _known(history: list[Event], name: str) -> str | None:
    return next((event.cause["data"][name] for event in history if name in event.cause.get("data", {})), None)


def _changed(states: dict[str, str], history: list[Event]) -> dict[str, str]:
    return {name: state for name, state in states.items() if _known(history, name) not in (None, state)}


def _since(schedule: str, history: list[Event]) -> int | None:
    """Return up to when a schedule was looked after; None where it is a new one."""
    return next(
        (int(event.cause["due_ms"]) for event in history if event.cause.get("schedule") == schedule), None
    )
