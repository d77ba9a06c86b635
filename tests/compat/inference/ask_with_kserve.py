"""Run with a Python that has KServe: ask a server by KServe's clients, over REST and gRPC.

python ask_with_kserve.py URL GRPC_ADDRESS: what came back, as JSON on standard output.
"""

from __future__ import annotations

import asyncio
import json
import sys
import warnings
from typing import Any


async def talk(url: str, address: str) -> dict[str, Any]:
    """Return what the clients got, by what was asked."""
    import httpx
    import numpy as np
    from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
    from kserve.inference_client import RESTConfig
    from kserve.protocol.infer_type import RequestedOutput

    columns = {
        "hour": ("INT64", np.array([5, 20])),
        "distance": ("FP64", np.array([900.0, 1100.0])),
        "carrier": ("BYTES", np.array(["AA", "UA"], dtype=object)),
    }

    def request(*, binary: bool, outputs: list[Any] | None = None) -> InferRequest:
        tensors = []
        for name, (datatype, values) in columns.items():
            tensor = InferInput(name, [2], datatype)
            tensor.set_data_from_numpy(values, binary_data=binary)
            tensors.append(tensor)
        return InferRequest(
            model_name="delay", request_id="seven", infer_inputs=tensors, request_outputs=outputs
        )

    def shown(response: Any) -> dict[str, Any]:
        outputs = {one.name: one.as_numpy().tolist() for one in response.outputs}
        return {"id": response.id, "outputs": outputs}

    found: dict[str, Any] = {}
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        found["live"] = await client.is_server_live(url)
        found["ready"] = await client.is_server_ready(url)
        found["model"] = [await client.is_model_ready(url, name) for name in ("delay", "nope")]
        found["json"] = shown(await client.infer(url, request(binary=False), model_name="delay"))
        found["binary"] = shown(await client.infer(url, request(binary=True), model_name="delay"))
        wanted = [RequestedOutput("probability", parameters={"binary_data": True})]
        found["chosen"] = shown(
            await client.infer(url, request(binary=True, outputs=wanted), model_name="delay")
        )
        try:
            await client.infer(url, request(binary=False), model_name="nope")
        except httpx.HTTPStatusError as error:
            found["mistake"] = str(error)
    async with InferenceGRPCClient(address) as client:
        found["grpc_ready"] = [await client.is_server_ready(), await client.is_model_ready("delay")]
        found["grpc"] = shown(await client.infer(request(binary=True)))
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print("answers", json.dumps(asyncio.run(talk(sys.argv[1], sys.argv[2]))))
