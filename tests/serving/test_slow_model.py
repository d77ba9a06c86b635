"""A serve process that loads a model for long is alive all the while."""

from __future__ import annotations

import threading
import time

from penstock.base.store.database import Database
from penstock.http.inference import build_inference_app
from penstock.processes.serve import ServeOptions, ServeProcess
from penstock.serving.loaders.model import ModelFiles
from penstock.serving.workers import list_workers
from serving.models import FolderSource, deploy

LONG_S = 60.0


class SlowSource:
    """A model source that gives version 2 only when it is told to."""

    def __init__(self, source: FolderSource) -> None:
        self._source = source
        self.is_asked, self.may_give = threading.Event(), threading.Event()

    def fetch(self, model: str, version: int) -> ModelFiles:
        """Return a version's files, late."""
        if version == 2:
            self.is_asked.set()
            assert self.may_give.wait(LONG_S)
        return self._source.fetch(model, version)


def test_a_process_that_loads_a_model_goes_on_beating(database: Database, source: FolderSource) -> None:
    slow = SlowSource(source)
    deploy(database, "delay", 1)
    options = ServeOptions(port=0, poll_s=0.02, beat_s=0.02, flush_s=0.1)
    process = ServeProcess(database, slow, build_inference_app, options)
    process.start()
    try:
        deploy(database, "delay", 2)
        assert slow.is_asked.wait(LONG_S)
        seen_ms = _seen_ms(database)
        deadline = time.monotonic() + LONG_S
        while _seen_ms(database) <= seen_ms:
            assert time.monotonic() < deadline, "no beat came while the model was loaded"
            time.sleep(0.01)
    finally:
        slow.may_give.set()
        process.stop()


def _seen_ms(database: Database) -> int:
    with database.read() as connection:
        [worker] = list_workers(connection, 0)
    return worker.seen_ms
