"""Ask a gRPC server the same question over and over: python grpc_load.py ADDRESS BODY CLIENTS SECONDS.

The request is serialised beforehand and answers are not read, so that the client costs little. Prints a JSON list:
requests, requests a second, median and 99th percentile in milliseconds, failures.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import grpc.aio

METHOD = "/inference.GRPCInferenceService/ModelInfer"


async def main(address: str, body: bytes, clients: int, seconds: float) -> None:
    """Send from as many clients at once, each on the one connection."""
    took: list[float] = []
    failed = 0
    async with grpc.aio.insecure_channel(address) as channel:
        ask = channel.unary_unary(METHOD)
        await ask(body, wait_for_ready=True, timeout=10)
        begun = time.perf_counter()
        until = begun + seconds

        async def client() -> None:
            nonlocal failed
            while (started := time.perf_counter()) < until:
                try:
                    await ask(body)
                except grpc.aio.AioRpcError:
                    failed += 1
                took.append(time.perf_counter() - started)

        await asyncio.gather(*(client() for _ in range(clients)))
        spent = time.perf_counter() - begun
    took.sort()
    p50, p99 = (round(took[int(len(took) * share)] * 1e3, 3) for share in (0.5, 0.99))
    print(json.dumps([len(took), round(len(took) / spent, 1), p50, p99, failed]))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]).read_bytes(), int(sys.argv[3]), float(sys.argv[4])))
