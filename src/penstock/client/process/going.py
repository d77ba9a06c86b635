"""The runs that are going in this process: they end with it, and a forked child goes on with them."""

from __future__ import annotations

import atexit
import logging
import multiprocessing.util
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from penstock.base.errors import PenstockError, described
from penstock.client.active import ActiveRun
from penstock.client.process.signals import forget_signals, watch_signals
from penstock.tracking.entities import RunStatus

logger = logging.getLogger(__name__)
_going: list[ActiveRun] = []
_guard = threading.Lock()
_has_hooks = False


def watch_run(run: ActiveRun) -> None:
    """Have a run end with the process, where nobody ends it before."""
    global _has_hooks  # noqa: PLW0603 - hooks belong to the process, and are set once
    with _guard:
        _going[:] = [*(one for one in _going if one.status == "RUNNING"), run]
        if _has_hooks:
            return
        _has_hooks = True
    atexit.register(_end_all)
    os.register_at_fork(after_in_child=_after_fork)
    multiprocessing.util.register_after_fork(_end_all, _end_with_worker)
    before = sys.excepthook

    def failed(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        _end_all("KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED")
        before(kind, error, trace)

    sys.excepthook = failed
    watch_signals(lambda: _end_all("KILLED"))


def _after_fork() -> None:
    global _guard  # noqa: PLW0603 - another thread of the parent may hold the old one for ever
    _guard = threading.Lock()
    forget_signals()
    for run in _going:
        run.after_fork()


def _end_with_worker(end_all: Callable[[], None]) -> None:
    """Have a child of multiprocessing send what it recorded before it ends; such a child runs no atexit."""
    multiprocessing.util.Finalize(None, end_all, exitpriority=100)


def _end_all(status: RunStatus = "FINISHED") -> None:
    for run in list(_going):
        try:
            run.end(status)
        except Exception as error:  # noqa: BLE001 - the other runs end all the same
            told = error.message if isinstance(error, PenstockError) else described(error)
            logger.warning("run %s: %s", run.id, told)
