"""A real `mlflow server` on a free port, to be asked the same as ours."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers.ports import reserve
from servers.tracking import Tracking, mlflow_python
from stories.live import get, wait_until


@contextmanager
def run_mlflow(folder: Path) -> Iterator[Tracking]:
    """Run `mlflow server` with SQLite and a proxied artifact folder."""
    folder.mkdir(parents=True)
    port, store = reserve(), f"sqlite:///{folder}/mlflow.db"
    programs = Path(mlflow_python()).parent
    command = [
        *(str(programs / "mlflow"), "server", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts")),
    ]
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        # seven processes that would wait for jobs: half a minute of the processor, and nobody gives them one
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:

        def is_ready() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                return get(port, "/health")[0] == 200
            except (OSError, ValueError):
                return False

        wait_until(is_ready)
        yield Tracking(f"http://127.0.0.1:{port}", port, folder, store, folder / "client")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
