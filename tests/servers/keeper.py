"""Keeps one real server for a whole run of the tests; `sharing.shared_server` starts it.

It tells what the server is in a file, and stops it when it is asked to or when the controlling process has ended.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parents[1])

import pytest  # noqa: E402  after the tests' folder is on the path

from servers.azure import run_azure  # noqa: E402
from servers.mlflow_server import run_mlflow  # noqa: E402
from servers.postgres import run_postgres  # noqa: E402
from servers.s3 import run_s3  # noqa: E402
from servers.ssh import run_ssh  # noqa: E402

SERVERS: dict[str, Callable[[Path], AbstractContextManager[Any]]] = {
    "azure": run_azure,
    "mlflow": run_mlflow,
    "postgres": run_postgres,
    "s3": run_s3,
    "ssh": run_ssh,
}


def keep(name: str, place: Path, controller: int) -> None:
    """Run a server below `place` until the controlling process ends or a signal asks for the end."""
    asked, asking = os.pipe()
    signal.signal(signal.SIGTERM, lambda *_: os.write(asking, b"x"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with SERVERS[name](place / "data") as server:
            _tell(place, server)
            select.select([asked, os.pidfd_open(controller)], [], [])
    except pytest.skip.Exception as missing:
        _tell(place, str(missing))


def _tell(place: Path, what: object) -> None:
    (place / "told.new").write_bytes(pickle.dumps(what))
    (place / "told.new").rename(place / "told")


if __name__ == "__main__":
    keep(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
