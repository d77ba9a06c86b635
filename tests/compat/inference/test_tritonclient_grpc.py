from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
import tritonclient.http.aio as triton_http_aio
from tritonclient.utils import InferenceServerException

from patience import PATIENCE_S
from penstock.base.store.database import Database
from penstock.processes.serve import ServeProcess
from serving.models import FolderSource, deploy
from serving.rpc import address, make_process

pytestmark = pytest.mark.slow
COLUMNS = {
    "hour": ("INT64", np.array([5, 20])),
    "distance": ("FP64", np.array([900.0, 1100.0])),
    "carrier": ("BYTES", np.array(["AA", "Ü"], dtype=object)),
}


@pytest.fixture
def process(database: Database, source: FolderSource) -> Iterator[ServeProcess]:
    deploy(database, "delay", 1)
    made = make_process(database, source)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def client(process: ServeProcess) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address(process)) as made:
        yield made


def tensors(module: Any = triton) -> list[Any]:
    made = []
    for name, (datatype, values) in COLUMNS.items():
        tensor = module.InferInput(name, [2], datatype)
        tensor.set_data_from_numpy(values)
        made.append(tensor)
    return made


def test_the_default_call_gives_what_http_gives(
    client: triton.InferenceServerClient, process: ServeProcess
) -> None:
    result = client.infer("delay", tensors(), request_id="seven", parameters={"penstock-route-key": "anna"})
    response = result.get_response()
    assert (response.model_name, response.model_version, response.id) == ("delay", "1", "seven")
    assert response.parameters["penstock-route"].string_param == "stable"
    assert response.parameters["penstock-prediction-id"].string_param
    assert response.parameters["penstock-revision"].int64_param == 1
    assert result.as_numpy("prediction").dtype == np.int64

    async def over_http() -> Any:
        async with triton_http_aio.InferenceServerClient(process.url.removeprefix("http://")) as other:
            assert await other.is_server_ready()
            return (await other.infer("delay", tensors(triton_http_aio))).as_numpy("probability")

    assert np.array_equal(result.as_numpy("probability"), asyncio.run(over_http()))


def test_the_asynchronous_client_infers_and_streams(process: ServeProcess) -> None:
    async def talk() -> list[Any]:
        async with triton_aio.InferenceServerClient(address(process)) as client:
            assert await client.is_server_live()
            first = await client.infer("delay", tensors(triton_aio))

            async def requests() -> Any:
                for number in range(3):
                    yield {"model_name": "delay", "inputs": tensors(triton_aio), "request_id": str(number)}
                yield {"model_name": "nope", "inputs": tensors(triton_aio), "request_id": "bad"}

            answers = []
            async for result, error in client.stream_infer(requests()):
                answers.append(error or result.get_response().id)
                assert error is not None or np.array_equal(
                    result.as_numpy("probability"), first.as_numpy("probability")
                )
            return answers

    *good, bad = asyncio.run(talk())
    assert good == ["0", "1", "2"]
    assert "nope" in str(bad)


def test_a_stream_with_callbacks_works(client: triton.InferenceServerClient) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: answers.put(error or result.as_numpy("prediction").shape))
    client.async_stream_infer("delay", tensors())
    assert answers.get(timeout=PATIENCE_S) == (2,)
    client.stop_stream()


def test_chosen_outputs_classes_and_compression(client: triton.InferenceServerClient) -> None:
    wanted = [triton.InferRequestedOutput("probability", class_count=1)]
    result = client.infer("delay", tensors(), outputs=wanted, compression_algorithm="gzip")
    assert [one.name for one in result.get_response().outputs] == ["probability"]
    assert result.as_numpy("probability").shape == (2, 1)
    assert result.as_numpy("probability")[0][0].endswith(b":0")


def test_health_metadata_configuration_and_statistics(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("delay")
    assert client.is_model_ready("delay", "1")
    assert not client.is_model_ready("nope")
    assert client.get_server_metadata().name == "penstock"
    assert [one.name for one in client.get_model_metadata("delay").inputs][:3] == list(COLUMNS)
    config = client.get_model_config("delay", as_json=True)["config"]
    assert config["input"][1] == {"name": "distance", "data_type": "TYPE_FP64", "dims": ["-1"]}
    client.infer("delay", tensors())
    [told] = client.get_inference_statistics("delay", as_json=True)["model_stats"]
    assert (told["inference_count"], told["inference_stats"]["success"]["count"]) == ("2", "1")


def test_a_model_is_unloaded_and_loaded_again(client: triton.InferenceServerClient) -> None:
    client.unload_model("delay")
    assert not client.is_model_ready("delay")
    assert client.is_server_ready()
    [state] = client.get_model_repository_index(as_json=True)["models"]
    assert (state["state"], state["reason"]) == ("UNAVAILABLE", "unloaded")
    with pytest.raises(InferenceServerException, match="unloaded") as told:
        client.infer("delay", tensors())
    assert told.value.status() == "StatusCode.UNAVAILABLE"
    client.load_model("delay")
    assert client.infer("delay", tensors()).as_numpy("prediction").shape == (2,)
    with pytest.raises(InferenceServerException, match="no endpoint"):
        client.load_model("nope")


def test_mistakes_are_told_by_their_status(client: triton.InferenceServerClient) -> None:
    wrong = triton.InferInput("hour", [2], "FP32")
    wrong.set_data_from_numpy(np.zeros(2, dtype=np.float32))
    for name, inputs, options, status in (
        ("delay", [wrong, *tensors()[1:]], {}, "INVALID_ARGUMENT"),
        ("nope", tensors(), {}, "NOT_FOUND"),
        ("delay", tensors(), {"model_version": "9"}, "NOT_FOUND"),
        ("delay", tensors(), {"model_version": "x"}, "NOT_FOUND"),
        ("delay", tensors(), {"timeout": 1}, "DEADLINE_EXCEEDED"),
        ("delay", tensors(), {"client_timeout": 1e-9}, "DEADLINE_EXCEEDED"),
    ):
        with pytest.raises(InferenceServerException) as told:
            client.infer(name, inputs, **options)
        assert status in str(told.value).upper().replace(" ", "_"), options


def test_reflection_and_the_standard_health_service_answer(process: ServeProcess) -> None:
    from google.protobuf.descriptor_pool import DescriptorPool
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    with grpc.insecure_channel(address(process)) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ("", "inference.GRPCInferenceService"):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        database = ProtoReflectionDescriptorDatabase(channel)
        assert "inference.GRPCInferenceService" in database.get_services()
        service = DescriptorPool(database).FindServiceByName("inference.GRPCInferenceService")
        assert "ModelStreamInfer" in service.methods_by_name
        assert DescriptorPool(database).FindServiceByName("grpc.health.v1.Health")
