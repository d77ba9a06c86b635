"""Run one server on one core and load it from another; what was measured as numbers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

READY_S = 90.0


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A server: how it is started, where it is asked and with what. `{port}` stands in the command."""

    name: str
    command: Sequence[str]
    path: str
    body: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one server did under one load."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    failed: int
    cpu_us_per_request: float
    memory_mb: float


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


class Running:
    """A contender's processes, pinned to cores; ended by their ids."""

    def __init__(self, contender: Contender, folder: Path, cores: str = "0") -> None:
        self.contender = contender
        self.port = free_port()
        command = ["taskset", "-c", cores, *(part.format(port=self.port) for part in contender.command)]
        self.log = folder / f"{contender.name.replace(' ', '-')}.log"
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**environment, **contender.environment},
            )
        self.url = f"http://127.0.0.1:{self.port}{contender.path}"
        self.body = folder / f"{contender.name.replace(' ', '-')}.json"
        self.body.write_text(json.dumps(contender.body))

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            RuntimeError: it ended or did not answer.
        """
        deadline = time.monotonic() + READY_S
        said = ""
        while time.monotonic() < deadline and self.process.poll() is None:
            request = urllib.request.Request(
                self.url, self.body.read_bytes(), {"Content-Type": "application/json"}
            )
            try:
                with urllib.request.urlopen(request, timeout=5):
                    return
            except urllib.error.HTTPError as error:
                said = f"{error.code} {error.read()[:300]!r}"
            except OSError as error:
                said = str(error)
            time.sleep(0.2)
        tail = self.log.read_text(errors="replace")[-600:]
        raise RuntimeError(f"{self.contender.name} does not answer: {said}\n{tail}")

    def processes(self) -> list[psutil.Process]:
        """Return its processes."""
        found = psutil.Process(self.process.pid)
        return [found, *found.children(recursive=True)]

    def usage(self) -> tuple[float, float]:
        """Return the processor seconds and megabytes of all its processes; shared pages count once."""
        seconds = memory = 0.0
        for one in self.processes():
            try:
                times = one.cpu_times()
                seconds += times.user + times.system
                memory += one.memory_full_info().pss / 1e6
            except psutil.NoSuchProcess:
                continue
        return seconds, memory

    def stop(self) -> None:
        """End all its processes."""
        processes = self.processes() if self.process.poll() is None else []
        self.process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(processes, timeout=15)
        for one in alive:
            one.kill()
        self.process.wait()


def load(running: Running, clients: int, seconds: float, core: str = "1") -> Measured:
    """Load a server with wrk and return what it did."""
    script = running.body.with_suffix(".lua")
    script.write_text(
        'wrk.method = "POST"\n'
        f'local file = io.open("{running.body}", "rb")\n'
        'wrk.body = file:read("*all")\nfile:close()\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
    )
    command = ["taskset", "-c", core, "wrk", "-t1", f"-c{clients}", "--latency", "-s", str(script)]
    subprocess.run([*command, "-d2s", running.url], check=True, capture_output=True)
    before_s, _ = running.usage()
    done = subprocess.run(
        [*command, f"-d{seconds:g}s", running.url], check=True, capture_output=True, text=True
    )
    after_s, memory = running.usage()
    text = done.stdout
    count = int(_find(r"(\d+) requests in", text))
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return Measured(
        requests_per_s=float(_find(r"Requests/sec:\s+([\d.]+)", text)),
        p50_ms=_milliseconds(_find(r"50%\s+(\S+)", text)),
        p99_ms=_milliseconds(_find(r"99%\s+(\S+)", text)),
        failed=int(failed[1]) if failed else 0,
        cpu_us_per_request=round((after_s - before_s) / max(count, 1) * 1e6, 1),
        memory_mb=round(memory, 1),
    )


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"wrk said: {text}")
    return found[1]


def _milliseconds(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if found is None:
        raise RuntimeError(f"wrk measured no latency: {text}")
    number, unit = found.groups()
    return round(float(number) * {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}[unit], 3)
