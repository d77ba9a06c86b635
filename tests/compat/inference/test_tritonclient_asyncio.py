"""The asyncio clients of tritonclient, over HTTP and gRPC, in the clear and over TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http.aio as http_aio
from tritonclient.utils import InferenceServerException

from penstock.http.listen import Tls
from penstock.processes.serve import ServeProcess
from serving.certificates import Authority
from serving.fronts import serve_both
from serving.rpc import address

pytestmark = pytest.mark.slow
COLUMNS = {
    "hour": ("INT64", np.array([5, 20])),
    "distance": ("FP64", np.array([900.0, 1100.0])),
    "carrier": ("BYTES", np.array(["AA", "Ü"], dtype=object)),
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secured(authority: Authority) -> Iterator[ServeProcess]:
    chain, key = authority.sign("server")
    yield from serve_both(authority.folder, Tls(cert=str(chain), key=str(key)))


def tensors(module: Any, **options: Any) -> list[Any]:
    made = []
    for name, (datatype, values) in COLUMNS.items():
        tensor = module.InferInput(name, [2], datatype)
        tensor.set_data_from_numpy(values, **options)
        made.append(tensor)
    return made


def make_http(process: ServeProcess) -> http_aio.InferenceServerClient:
    return http_aio.InferenceServerClient(process.url.partition("://")[2])


def make_grpc(process: ServeProcess) -> grpc_aio.InferenceServerClient:
    return grpc_aio.InferenceServerClient(address(process))


def run(
    process: ServeProcess, make: Callable[[ServeProcess], Any], talk: Callable[..., Awaitable[Any]]
) -> Any:
    """Return what a talk with a client comes to; a client is made on the loop that it talks on."""

    async def whole() -> Any:
        async with make(process) as client:
            return await talk(client)

    return asyncio.run(whole())


def test_health_metadata_and_configuration_are_what_the_clients_expect(plain: ServeProcess) -> None:
    async def talk(client: Any) -> Any:
        for path in (client.is_server_live, client.is_server_ready):
            assert await path() is True
        assert await client.is_model_ready("delay") is True
        assert await client.is_model_ready("delay", "1") is True
        assert await client.is_model_ready("nope") is False
        return [
            await client.get_server_metadata(),
            await client.get_model_metadata("delay"),
            await client.get_model_config("delay"),
            await client.get_model_repository_index(),
        ]

    server, model, config, index = run(plain, make_http, talk)
    assert (server["name"], "binary_tensor_data" in server["extensions"]) == ("penstock", True)
    assert [one["name"] for one in model["inputs"]][:3] == list(COLUMNS)
    assert config["input"][0] == {"name": "hour", "data_type": "TYPE_INT64", "dims": [-1]}
    assert index == [{"name": "delay", "version": "1", "state": "READY", "reason": ""}]
    server, model, config, index = run(plain, make_grpc, talk)
    assert server.name == "penstock"
    assert [one.name for one in model.inputs][:3] == list(COLUMNS)
    assert list(config.config.input[1].dims) == [-1]
    assert [(one.name, one.version, one.state) for one in index.models] == [("delay", "1", "READY")]


def test_every_way_to_send_and_to_ask_gives_the_same_numbers(plain: ServeProcess) -> None:
    async def over_http(client: Any) -> list[Any]:
        answers = []
        for binary_in, binary_out, compression in (
            (True, True, None),
            (True, False, "gzip"),
            (False, True, "deflate"),
            (False, False, None),
        ):
            wanted = [http_aio.InferRequestedOutput("probability", binary_data=binary_out)]
            result = await client.infer(
                "delay",
                tensors(http_aio, binary_data=binary_in),
                outputs=wanted,
                request_id="seven",
                request_compression_algorithm=compression,
                response_compression_algorithm=compression,
            )
            assert result.get_response()["id"] == "seven"
            assert result.as_numpy("prediction") is None
            answers.append(result.as_numpy("probability"))
        default = await client.infer("delay", tensors(http_aio))
        assert default.as_numpy("prediction").dtype == np.int64
        return [*answers, default.as_numpy("probability")]

    async def over_grpc(client: Any) -> list[Any]:
        one, *others = await asyncio.gather(
            *(
                client.infer("delay", tensors(grpc_aio), request_id=str(number), model_version=version)
                for number, version in enumerate(["", "1", ""])
            )
        )
        assert [one.get_response().id, *(other.get_response().id for other in others)] == ["0", "1", "2"]
        packed = await client.infer("delay", tensors(grpc_aio), compression_algorithm="gzip")
        return [each.as_numpy("probability") for each in (one, *others, packed)]

    first, *others = run(plain, make_http, over_http) + run(plain, make_grpc, over_grpc)
    assert first.shape == (2,)
    assert all(np.array_equal(first, other) for other in others)


def test_mistakes_and_models_that_were_unloaded_are_told(plain: ServeProcess) -> None:
    async def talk(client: Any, module: Any) -> None:
        wrong = module.InferInput("hour", [2], "FP32")
        wrong.set_data_from_numpy(np.zeros(2, dtype=np.float32))
        for inputs, name, sentence in (
            ([wrong, *tensors(module)[1:]], "delay", "hour"),
            (tensors(module), "nope", "nope"),
        ):
            with pytest.raises(InferenceServerException, match=sentence):
                await client.infer(name, inputs)
        await client.unload_model("delay")
        assert not await client.is_model_ready("delay")
        with pytest.raises(InferenceServerException, match="unloaded"):
            await client.infer("delay", tensors(module))
        await client.load_model("delay")
        assert await client.is_model_ready("delay")
        told = await client.get_inference_statistics("delay", "1")
        stats = told["model_stats"] if isinstance(told, dict) else told.model_stats
        assert len(stats) == 1

    for make, module in ((make_http, http_aio), (make_grpc, grpc_aio)):

        async def whole(client: Any, module: Any = module) -> None:
            await talk(client, module)

        run(plain, make, whole)


def test_both_clients_speak_tls(secured: ServeProcess, authority: Authority) -> None:
    def trusting(process: ServeProcess) -> http_aio.InferenceServerClient:
        context = ssl.create_default_context(cafile=str(authority.path))
        return http_aio.InferenceServerClient(process.url.partition("://")[2], ssl=True, ssl_context=context)

    def trusting_grpc(process: ServeProcess) -> grpc_aio.InferenceServerClient:
        return grpc_aio.InferenceServerClient(
            address(process), ssl=True, root_certificates=str(authority.path)
        )

    async def over_http(client: Any) -> Any:
        return (await client.infer("delay", tensors(http_aio))).as_numpy("probability")

    async def over_grpc(client: Any) -> Any:
        assert await client.is_server_ready()
        return (await client.infer("delay", tensors(grpc_aio))).as_numpy("probability")

    assert np.array_equal(run(secured, trusting, over_http), run(secured, trusting_grpc, over_grpc))
