"""What one request costs the processor, without sockets: bytes into the protocol, bytes out, in one process.

    python bench/bench_request.py [--project DIRECTORY] [--rounds 12] [--profile] [--unrecorded]

Steadier than a server under load: the time of the loop's own thread alone, the least of many rounds. 16 connections send a
request each and wait for the answer, as wrk does. `others` is the time of all other threads a request: the recorder's.
With --unrecorded nothing is recorded, so that the difference is what recording costs.
Without --project one is made (see bench/serving/models.py).
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import json
import pstats
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "serving"))

from models import FEATURES, example_row  # noqa: E402
from unrecorded import NoRecorder  # noqa: E402
from uvicorn.server import ServerState  # noqa: E402

from penstock.flows.models.folders import RegistrySource  # noqa: E402
from penstock.http.listen import COLLECT_AFTER  # noqa: E402
from penstock.processes.front_options import FrontOptions  # noqa: E402
from penstock.processes.fronts import make_fronts  # noqa: E402
from penstock.processes.serve import ServeProcess  # noqa: E402
from penstock.processes.serve_options import ServeOptions  # noqa: E402
from penstock.workspace import open_workspace  # noqa: E402

CONNECTIONS, TURNS = 16, 100


class Transport(asyncio.Transport):
    """Takes answers and counts them."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 8080), "peername": ("127.0.0.1", 50000)})
        self.last = b""

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.last = self.last + data if not data.startswith(b"HTTP/1.1 ") else bytes(data)

    def is_closing(self) -> bool:
        """Never."""
        return False

    def pause_reading(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def resume_reading(self) -> None:
        """Do nothing."""

    @property
    def is_answered(self) -> bool:
        """Whether a whole answer came."""
        head, _, body = self.last.partition(b"\r\n\r\n")
        return bool(body) and f"content-length: {len(body)}".encode() in head


def asked() -> bytes:
    """Return the bytes of a request as wrk sends them."""
    tensor = {"name": "input-0", "shape": [1, FEATURES], "datatype": "FP64", "data": example_row()}
    body = json.dumps({"inputs": [tensor]}).encode()
    head = (
        "POST /v2/models/bench/infer HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/json\r\n"
    )
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def drive(process: ServeProcess, rounds: int, profile: cProfile.Profile | None) -> tuple[float, float]:
    """Return the least time of a request on the loop, and the mean time of other threads, in microseconds."""
    config = process._server.config
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    pairs = []
    for _ in range(CONNECTIONS):
        one = config.http_protocol_class(config=config, server_state=state, app_state={}, _loop=loop)
        transport = Transport()
        one.connection_made(transport)
        pairs.append((one, transport))
    data = asked()
    least, loop_s = float("inf"), 0.0
    process_s = time.process_time()
    for number in range(rounds):
        if profile is not None and number == rounds // 2:
            profile.enable()
        begun = time.thread_time()
        for _ in range(TURNS):
            for one, transport in pairs:
                transport.last = b""
                one.data_received(data)
            while not all(transport.last for _, transport in pairs):
                await asyncio.sleep(0)
        spent = time.thread_time() - begun
        loop_s += spent
        least = min(least, spent)
        if not all(transport.is_answered for _, transport in pairs):
            raise RuntimeError(f"not answered: {pairs[0][1].last[:300]!r}")
    if profile is not None:
        profile.disable()
    await asyncio.sleep(1.5)  # what was recorded is written
    count = CONNECTIONS * TURNS
    others_s = time.process_time() - process_s - loop_s
    for one, _ in pairs:
        one.connection_lost(None)
    return least / count * 1e6, others_s / (count * rounds) * 1e6


def main() -> None:
    """Measure, and print what a request costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--unrecorded", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = options.project or Path(name) / "project"
        if not place.exists():
            place.parent.mkdir(exist_ok=True)
            command = [sys.executable, str(HERE / "serving" / "models.py"), "logistic", str(place.parent)]
            subprocess.run(command, check=True)
        project = open_workspace(place)
        made = make_fronts(FrontOptions(), project.database)
        process = ServeProcess(
            project.database, RegistrySource(project), made.application, ServeOptions(port=0)
        )
        process.follow(60)
        if options.unrecorded:
            process.dataplane.statistics._recorder = NoRecorder()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        profile = cProfile.Profile() if options.profile else None
        factory: Any = process._server.config.get_loop_factory()
        with asyncio.Runner(loop_factory=factory) as runner:
            loop_us, others_us = runner.run(drive(process, options.rounds, profile))
        process._end()
        project.close()
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)
    print(json.dumps({"loop_us": round(loop_us, 1), "others_us": round(others_us, 1)}))


if __name__ == "__main__":
    main()
