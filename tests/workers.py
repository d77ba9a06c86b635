"""Several processes that run what one has collected: `pytest -n COUNT`.

Each is a fork of the process that collected, so nothing is imported, compiled or collected twice. A worker takes a file at a
time, in the order of the items, so what a module shares is made once. What it finds is told as if it had happened in the
process that collected. A worker that dies fails the test that it was at; another goes on behind it.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import signal
import sys
import traceback
import warnings
from collections import deque
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ENDED_S = 60.0
"""So long workers that are told to stop have to end what tests have open."""
HOUSEKEEPING = {"jemalloc_bg_thd", "polars-ooc-clea"}
"""Threads that polars begins when it is imported, and nothing waits for; a fork would wait for ever for those that work."""
Part = tuple[int, int]
"""The items of a file, or of the rest of it, by their first number and the one behind them."""


def add_option(parser: pytest.Parser) -> None:
    """Let `-n` say how many workers there are; 0 runs the tests in the process that collects them."""
    group = parser.getgroup("workers")
    group._addoption(  # pytest keeps letters like this one to itself and to plugins that many know
        "-n",
        "--workers",
        type=int,
        default=0,
        metavar="COUNT",
        help="run the tests in so many forked processes",
    )


def use_workers(config: pytest.Config) -> None:
    """Run the tests in workers where that was asked for."""
    if config.option.workers > 0 and not config.option.collectonly:
        config.pluginmanager.register(Workers(config, config.option.workers))


class Worker:
    """A forked process, and what it was given."""

    def __init__(self, number: int, pid: int, connection: Connection) -> None:
        self.number, self.pid, self.connection = number, pid, connection
        self.place = os.pidfd_open(pid)
        self.node = node_of(f"gw{number}")
        self.given: deque[Part] = deque()
        self.at: int | None = None
        """The item that it is at."""
        self.is_done = False

    def left(self) -> list[Part]:
        """Return what it was given and has not begun."""
        begun = -1 if self.at is None else self.at
        return [(max(start, begun + 1), stop) for start, stop in self.given if stop > begun + 1]


class Workers:
    """Shares the files of a session out, and tells what became of each test."""

    def __init__(self, config: pytest.Config, count: int) -> None:
        self._config, self._count = config, count
        self._numbers = itertools.count()
        self._running: dict[int, Worker] = {}
        self._parts: deque[Part] = deque()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run all items."""
        if session.testsfailed and not self._config.option.continue_on_collection_errors:
            return None  # pytest says so
        reporter: Any = self._config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            reporter.showfspath = False  # tests of several files come at once
        self._parts = deque(parts_of(session.items))
        began = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
        working = [name for name in began if name not in HOUSEKEEPING]
        assert len(working) == 1, f"a fork lacks threads that began while tests were collected: {began}"
        try:
            for _ in range(min(self._count, len(self._parts))):
                self._begin(session)
            while self._running:
                self._listen(session)
                if session.shouldfail:
                    raise session.Failed(session.shouldfail)
                if session.shouldstop:
                    raise session.Interrupted(session.shouldstop)
        except KeyboardInterrupt:  # whoever interrupts from a terminal interrupts all
            self._end(None)
            raise
        except BaseException:
            self._end(signal.SIGINT)
            raise
        return True

    def _begin(self, session: pytest.Session) -> None:
        factory: Any = self._config._tmp_path_factory  # type: ignore[attr-defined]
        factory.getbasetemp()
        ours, theirs = Pipe()
        number = next(self._numbers)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                ours.close()
                for other in self._running.values():
                    other.connection.close()
                    os.close(other.place)
                stand_apart(self._config, number)
                work(session, theirs)
                code = 0
            except KeyboardInterrupt:
                pass
            except BaseException:
                traceback.print_exc()
            finally:  # past what the process that collected would do at its end
                os._exit(code)
        theirs.close()
        worker = Worker(number, pid, ours)
        self._running[worker.place] = worker
        self._give(worker)

    def _give(self, worker: Worker) -> None:
        part = self._parts.popleft() if self._parts else None
        if part is not None:
            worker.given.append(part)
        with contextlib.suppress(BrokenPipeError):  # it died, which is told next
            worker.connection.send(part)

    def _listen(self, session: pytest.Session) -> None:
        by_connection = {worker.connection: worker for worker in self._running.values()}
        for one in wait([*by_connection, *self._running]):
            if isinstance(one, Connection):
                self._hear(session, by_connection[one])
        for place, worker in list(self._running.items()):
            if wait([place], 0):
                while not worker.is_done and worker.connection.poll():
                    if not self._hear(session, worker):
                        break
                self._bury(session, worker)

    def _hear(self, session: pytest.Session, worker: Worker) -> bool:
        """Take one message; return whether there was one."""
        try:
            kind, told = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            return False
        hook = self._config.hook
        if kind == "next":
            self._give(worker)
        elif kind == "begin":
            worker.at = told
            item = session.items[told]
            hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        elif kind == "end":
            item = session.items[told]
            hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        elif kind == "report":
            report = hook.pytest_report_from_serializable(config=self._config, data=told)
            report.node = worker.node
            hook.pytest_runtest_logreport(report=report)
        elif kind == "warning":
            warning, when, nodeid, location = told
            told = {
                "warning_message": unpacked(warning),
                "when": when,
                "nodeid": nodeid,
                "location": location,
            }
            hook.pytest_warning_recorded.call_historic(kwargs=told)
        else:
            worker.is_done = True
        return True

    def _bury(self, session: pytest.Session, worker: Worker) -> None:
        """Forget a worker that ended; where it died, fail the test that it was at and let another go on."""
        _, status = os.waitpid(worker.pid, 0)
        del self._running[worker.place]
        os.close(worker.place)
        worker.connection.close()
        if worker.is_done:
            return
        assert worker.at is not None, f"a worker died before its first test: {status}"
        item = session.items[worker.at]
        report = pytest.TestReport(
            item.nodeid, item.location, {}, "failed",
            f"worker gw{worker.number} ended with {os.waitstatus_to_exitcode(status)} during this test", "call",
        )  # fmt: skip
        report.node = worker.node  # type: ignore[attr-defined]
        self._config.hook.pytest_runtest_logreport(report=report)
        self._parts.extendleft(reversed(worker.left()))
        if self._parts:
            self._begin(session)

    def _end(self, number: signal.Signals | None) -> None:
        """Wait until all workers have ended, told so by a signal; kill those that do not."""
        for worker in self._running.values():
            if number is not None:
                os.kill(worker.pid, number)
        for place, worker in self._running.items():
            worker.connection.close()
            if not wait([place], ENDED_S):
                os.kill(worker.pid, signal.SIGKILL)
            os.waitpid(worker.pid, 0)
            os.close(place)
        self._running.clear()


def node_of(name: str) -> Any:
    """Return what pytest asks of a report to name the process that it comes from."""
    info = {
        "id": name, "sysplatform": sys.platform, "version_info": sys.version_info, "executable": sys.executable,
    }  # fmt: skip
    return SimpleNamespace(gateway=SimpleNamespace(id=name), workerinfo=info)


def parts_of(items: list[pytest.Item]) -> list[Part]:
    """Return the items of each file that stand side by side."""
    parts, start = [], 0
    for _, same in itertools.groupby(items, lambda item: item.nodeid.partition("::")[0]):
        stop = start + len(list(same))
        parts.append((start, stop))
        start = stop
    return parts


def stand_apart(config: pytest.Config, number: int) -> None:
    """Take in this forked process what it must not share with others: files, directories, the terminal."""
    capture: Any = config.pluginmanager.getplugin("capturemanager")
    capture.stop_global_capturing()
    capture.start_global_capturing()
    capture.suspend_global_capture()
    factory: Any = config._tmp_path_factory  # type: ignore[attr-defined]
    own: Path = factory.getbasetemp() / f"popen-gw{number}"
    own.mkdir(mode=0o700)
    factory._basetemp = own
    for name in ("terminalreporter", "terminalprogress"):
        if config.pluginmanager.hasplugin(name):
            config.pluginmanager.unregister(name=name)


def work(session: pytest.Session, connection: Connection) -> None:
    """Run the parts that are given, one after the other, until there is none."""
    Teller(session.config, connection)
    items = session.items
    part: Part | None = connection.recv()
    try:
        while part is not None:
            start, stop = part
            for at in range(start, stop):
                following: int | None = at + 1
                if following == stop:  # what comes next decides which fixtures end with this item
                    connection.send(("next", None))
                    part = connection.recv()
                    following = None if part is None else part[0]
                connection.send(("begin", at))
                session.config.hook.pytest_runtest_protocol(
                    item=items[at], nextitem=None if following is None else items[following]
                )
                connection.send(("end", at))
        connection.send(("done", None))
    finally:
        session._setupstate.teardown_exact(None)


class Teller:
    """Tells the process that collected what tests do here."""

    def __init__(self, config: pytest.Config, connection: Connection) -> None:
        self._config, self._connection = config, connection
        self._listens = False
        config.pluginmanager.register(self)  # pytest tells of all warnings that there were before
        self._listens = True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell what became of a phase of a test."""
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._connection.send(("report", data))

    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: str, nodeid: str, location: Any
    ) -> None:
        """Tell of a warning."""
        if self._listens:
            self._connection.send(("warning", (packed(warning_message), when, nodeid, location)))


def packed(warning: warnings.WarningMessage) -> tuple[str, str, str, str, int]:
    """Return what is shown of a warning: the module and name of its category, its text, file and line."""
    category = warning.category
    return category.__module__, category.__qualname__, str(warning.message), warning.filename, warning.lineno


def unpacked(told: tuple[str, str, str, str, int]) -> warnings.WarningMessage:
    """Return a warning that shows the same."""
    module, name, text, filename, line = told
    category: Any = getattr(importlib.import_module(module), name, Warning)
    return warnings.WarningMessage(Warning(text), category, filename, line)
