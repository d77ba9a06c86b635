"""A serve process says that it lives while a model loads, however long that takes."""

from __future__ import annotations

import threading
import time

from penstock.base.store.database import Database
from penstock.http.inference import build_inference_app
from penstock.processes.serve import ServeOptions, ServeProcess
from penstock.serving.loaders.model import ModelFiles
from penstock.serving.workers import list_workers
from serving.models import FolderSource, deploy


class SlowSource:
    """Gives a model's files only when it is told to."""

    def __init__(self, source: FolderSource) -> None:
        self.source = source
        self.asked, self.go_on = threading.Event(), threading.Event()

    def fetch(self, model: str, version: int) -> ModelFiles:
        """Wait, then return the files."""
        self.asked.set()
        self.go_on.wait(30)
        return self.source.fetch(model, version)


def test_a_process_that_loads_for_long_is_seen_to_run(database: Database, source: FolderSource) -> None:
    deploy(database, "delay", 1)
    slow = SlowSource(source)
    options = ServeOptions(port=0, poll_s=0.02, flush_s=0.1, beat_s=0.02)
    process = ServeProcess(database, slow, build_inference_app, options)
    thread = threading.Thread(target=process.start)
    thread.start()
    try:
        assert slow.asked.wait(30)
        seen: set[int] = set()
        deadline = time.monotonic() + 30
        while len(seen) < 3 and time.monotonic() < deadline:
            with database.read() as connection:
                seen |= {one.seen_ms for one in list_workers(connection, 0)}
        assert len(seen) >= 3
        with database.read() as connection:
            assert list_workers(connection, 0)[0].state_of("delay", 1) is None
    finally:
        slow.go_on.set()
        thread.join()
        process.stop()
