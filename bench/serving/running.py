"""Run one server on one core and load it from another; what was measured as numbers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
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
    """A server: how it is started, where it is asked and with what.

    `{port}` and `{grpc_port}` stand in the command. A body of bytes is sent as it is, with `headers`; over gRPC it is
    a serialised ModelInferRequest.
    """

    name: str
    command: Sequence[str]
    path: str
    body: Mapping[str, Any] | bytes
    environment: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    is_grpc: bool = False


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
        self.port, self.grpc_port = free_port(), free_port()
        parts = (part.format(port=self.port, grpc_port=self.grpc_port) for part in contender.command)
        command = ["taskset", "-c", cores, *parts]
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
        body = contender.body if isinstance(contender.body, bytes) else json.dumps(contender.body).encode()
        self.body.write_bytes(body)

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            RuntimeError: it ended or did not answer.
        """
        deadline = time.monotonic() + READY_S
        said = ""
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.contender.is_grpc:
                    load_grpc(self, 1, 0.1, "1")
                    return
                request = urllib.request.Request(
                    self.url, self.body.read_bytes(), dict(self.contender.headers)
                )
                with urllib.request.urlopen(request, timeout=5):
                    return
            except subprocess.CalledProcessError as error:
                said = error.stderr[-300:]
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
    """Load a server and return what it did."""
    send = load_grpc if running.contender.is_grpc else load_http
    send(running, clients, 2.0, core)
    before_s, _ = running.usage()
    count, rate, p50_ms, p99_ms, failed = send(running, clients, seconds, core)
    after_s, memory = running.usage()
    return Measured(
        requests_per_s=rate,
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        failed=failed,
        cpu_us_per_request=round((after_s - before_s) / max(count, 1) * 1e6, 1),
        memory_mb=round(memory, 1),
    )


Sent = tuple[int, float, float, float, int]
"""Requests, requests a second, median and 99th percentile in milliseconds, and failures."""


def load_http(running: Running, clients: int, seconds: float, core: str) -> Sent:
    """Send with wrk."""
    script = running.body.with_suffix(".lua")
    script.write_text(
        'wrk.method = "POST"\n'
        f'local file = io.open("{running.body}", "rb")\n'
        'wrk.body = file:read("*all")\nfile:close()\n'
        + "".join(f'wrk.headers["{name}"] = "{text}"\n' for name, text in running.contender.headers.items())
    )
    command = ["taskset", "-c", core, "wrk", "-t1", f"-c{clients}", "--latency", "-s", str(script)]
    done = subprocess.run(
        [*command, f"-d{seconds:g}s", running.url], check=True, capture_output=True, text=True
    )
    text = done.stdout
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return (
        int(_find(r"(\d+) requests in", text)),
        float(_find(r"Requests/sec:\s+([\d.]+)", text)),
        _milliseconds(_find(r"(?m)^\s+50%\s+(\S+)", text)),
        _milliseconds(_find(r"(?m)^\s+99%\s+(\S+)", text)),
        int(failed[1]) if failed else 0,
    )


def load_grpc(running: Running, clients: int, seconds: float, core: str) -> Sent:
    """Send the same serialised request over and over, from a process of its own."""
    script = str(Path(__file__).parent / "grpc_load.py")
    command = ["taskset", "-c", core, sys.executable, script, f"127.0.0.1:{running.grpc_port}"]
    done = subprocess.run(
        [*command, str(running.body), str(clients), str(seconds)], check=True, capture_output=True, text=True
    )
    count, rate, p50_ms, p99_ms, failed = json.loads(done.stdout)
    return count, rate, p50_ms, p99_ms, failed


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
