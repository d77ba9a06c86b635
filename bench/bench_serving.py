"""Requests per second and latency of the data plane, as a real process over real HTTP.

    python bench/bench_serving.py [--seconds 8] [--clients 16] [--model logistic|boosting] [--binary]

One serve process, one load process with persistent connections (raw sockets, so that the client costs
little). Prints one JSON document. The load shares the machine's cores with the server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import skops.io
import uvloop
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from penstock.base.store.database import connect, metadata
from penstock.http.inference import InferenceOptions, build_inference_app
from penstock.processes.serve import ServeOptions, ServeProcess
from penstock.records.signature import Column, Signature
from penstock.serving.deployments import RevisionDraft, append_revision
from penstock.serving.loaders import ModelFiles

FEATURES = 10


class OneModel:
    """A source of one model."""

    def __init__(self, files: ModelFiles) -> None:
        self.files = files

    def fetch(self, model: str, version: int) -> ModelFiles:
        """Return it."""
        return self.files


def train(folder: Path, kind: str) -> ModelFiles:
    """Fit a model of ten numbers and save it."""
    rng = np.random.default_rng(0)
    names = [f"f{index}" for index in range(FEATURES)]
    table = rng.normal(size=(5000, FEATURES))
    labels = (table @ rng.normal(size=FEATURES) + rng.normal(size=5000) > 0).astype(int)
    estimator = LogisticRegression() if kind == "logistic" else HistGradientBoostingClassifier()
    estimator.fit(table if kind == "logistic" else pl.DataFrame(table, schema=names), labels)
    skops.io.dump(estimator, folder / "model.skops")
    trusted = skops.io.get_untrusted_types(file=folder / "model.skops")
    return ModelFiles(
        path=folder,
        name="bench",
        version=1,
        digest=kind,
        flavour="sklearn",
        options={"skops_trusted_types": trusted},
        signature=Signature(
            inputs=tuple(Column(name, "FP64") for name in names),
            outputs=(Column("prediction", "INT64"), Column("probability", "FP64")),
        ),
    )


def serve(
    folder: str, files: ModelFiles, threads: int, inline_s: float, url: multiprocessing.SimpleQueue[str]
) -> None:
    """Run the server."""
    options = InferenceOptions(threads=threads, inline_s=inline_s)
    process = ServeProcess(
        connect(f"sqlite:///{folder}/bench.db"),
        OneModel(files),
        lambda plane: build_inference_app(plane, options),
        ServeOptions(port=0),
    )
    url.put(process.url)
    process.run()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    url.put(json.dumps({"cpu_s": usage.ru_utime + usage.ru_stime, "rss_mb": usage.ru_maxrss // 1024}))


def request(port: int, *, binary: bool) -> bytes:
    """Return one HTTP request with one row."""
    inputs = [{"name": f"f{index}", "shape": [1], "datatype": "FP64"} for index in range(FEATURES)]
    values = np.random.default_rng(1).normal(size=FEATURES)
    if binary:
        for one in inputs:
            one["parameters"] = {"binary_data_size": 8}
        head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
        body, extra = head + values.tobytes(), f"Inference-Header-Content-Length: {len(head)}\r\n"
    else:
        for one, value in zip(inputs, values, strict=True):
            one["data"] = [value]
        body, extra = json.dumps({"inputs": inputs}).encode(), ""
    return (
        f"POST /v2/models/bench/infer HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def client(port: int, message: bytes, until: float, found: list[float], failed: list[bytes]) -> None:
    """Send requests one after the other on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        started = time.perf_counter()
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().split(b"\r\ncontent-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(size)
        found.append(time.perf_counter() - started)
        if not head.startswith(b"HTTP/1.1 200"):
            failed.append(head)
    writer.close()


async def load(port: int, message: bytes, clients: int, seconds: float) -> tuple[list[float], int]:
    """Return the latencies and the number of failures."""
    found: list[float] = []
    failed: list[bytes] = []
    until = time.perf_counter() + seconds
    await asyncio.gather(*(client(port, message, until, found, failed) for _ in range(clients)))
    return found, len(failed)


def main() -> None:
    """Run one measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--model", choices=["logistic", "boosting"], default="logistic")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--inline-s", type=float, default=InferenceOptions().inline_s)
    parser.add_argument("--binary", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = train(Path(folder), options.model)
        store = connect(f"sqlite:///{folder}/bench.db")
        metadata.create_all(store.engine)
        with store.write() as connection:
            draft = RevisionDraft(model="bench", stable=1, actor="bench", reason="bench")
            append_revision(connection, "bench", draft, expected=None)
        store.close()
        context = multiprocessing.get_context("spawn")
        answers: multiprocessing.SimpleQueue[str] = context.SimpleQueue()
        server = context.Process(
            target=serve, args=(folder, files, options.threads, options.inline_s, answers)
        )
        server.start()
        port = int(answers.get().rsplit(":", 1)[1])
        message = request(port, binary=options.binary)
        time.sleep(1)
        uvloop.run(load(port, message, options.clients, 1.0))
        found, failed = uvloop.run(load(port, message, options.clients, options.seconds))
        server.terminate()
        server.join()
        usage = json.loads(answers.get())
    p50, p95, p99 = np.quantile(found, [0.5, 0.95, 0.99]) * 1000
    result = {
        "model": options.model,
        "clients": options.clients,
        "binary": options.binary,
        "threads": options.threads,
        "inline_s": options.inline_s,
        "requests_per_s": round(len(found) / options.seconds),
        "p50_ms": round(p50, 2),
        "p95_ms": round(p95, 2),
        "p99_ms": round(p99, 2),
        "failed": failed,
        **usage,
        "load_average": os.getloadavg()[0],
    }
    json.dump(result, sys.stdout)
    print()


if __name__ == "__main__":
    main()
