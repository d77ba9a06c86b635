"""The two servers of the tracking benchmark as real processes: start, memory, end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).parents[1]
MLFLOW_PYTHON = os.environ.get("PENSTOCK_MLFLOW_PYTHON") or str(ROOT / ".venv-peers" / "bin" / "python")
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
READY_S = 120.0


class Server:
    """A running server with its database."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], url: str, database: Path) -> None:
        self.name, self.process, self.url, self.database = name, process, url, database
        self.start_s = 0.0

    def wait(self) -> None:
        """Wait until it answers, and keep how long that took."""
        begun = time.perf_counter()
        while time.perf_counter() - begun < READY_S:
            try:
                with urlopen(f"{self.url}/health", timeout=1):
                    self.start_s = time.perf_counter() - begun
                    return
            except (URLError, OSError):
                if self.process.poll() is not None:
                    raise RuntimeError(f"{self.name} ended with {self.process.returncode}") from None
                time.sleep(0.01)
        raise RuntimeError(f"{self.name} did not answer in {READY_S:.0f} s")

    def memory_mb(self) -> float:
        """Return the resident memory of the server's processes, all together, in MB."""
        return sum(_resident_kb(pid) for pid in _family(self.process.pid)) / 1024

    def peak_mb(self) -> float:
        """Return the greatest resident memory its main process has had, in MB."""
        return max(_status_kb(pid, "VmHWM") for pid in _family(self.process.pid)) / 1024


@contextmanager
def run_server(name: str, folder: Path) -> Iterator[Server]:
    """Run `mlflow` or `penstock` on a free port with a fresh SQLite store in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    database = folder / "store.db"
    flags = [
        "--backend-store-uri",
        f"sqlite:///{database}",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    program = (
        [str(Path(MLFLOW_PYTHON).with_name("mlflow"))]
        if name == "mlflow"
        else [str(Path(sys.executable).with_name("penstock")), "-q"]
    )
    environment = {**os.environ, **QUIET, "PATH": f"{Path(MLFLOW_PYTHON).parent}:{os.environ['PATH']}"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*program, "server", "--port", str(port), *flags],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        server = Server(name, process, f"http://127.0.0.1:{port}", database)
        try:
            server.wait()
            yield server
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    family = _family(process.pid)
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in family:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _family(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting += parents.get(one, [])
    return found


def _resident_kb(pid: int) -> int:
    return _status_kb(pid, "VmRSS")


def _status_kb(pid: int, field: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), 0)
