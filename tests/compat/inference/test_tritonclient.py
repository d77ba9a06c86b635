from __future__ import annotations

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from penstock.processes.serve import ServeProcess

pytestmark = pytest.mark.slow


@pytest.fixture
def client(server: ServeProcess) -> triton.InferenceServerClient:
    return triton.InferenceServerClient(server.url.removeprefix("http://"))


def tensors(*, binary: bool) -> list[triton.InferInput]:
    columns = {
        "hour": ("INT64", np.array([5, 20])),
        "distance": ("FP64", np.array([900.0, 1100.0])),
        "carrier": ("BYTES", np.array(["AA", "Ü"], dtype=object)),
    }
    made = []
    for name, (datatype, values) in columns.items():
        tensor = triton.InferInput(name, [2], datatype)
        tensor.set_data_from_numpy(values, binary_data=binary)
        made.append(tensor)
    return made


def test_the_default_call_with_binary_tensors_both_ways_works(client: triton.InferenceServerClient) -> None:
    result = client.infer("delay", tensors(binary=True))
    assert result.as_numpy("probability").dtype == np.float64
    assert result.as_numpy("prediction").shape == (2,)
    assert result.get_response()["outputs"][0]["parameters"]["binary_data_size"] == 16


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_json_and_binary_give_the_same_numbers(
    client: triton.InferenceServerClient, binary_in: bool, binary_out: bool
) -> None:
    wanted = [triton.InferRequestedOutput("probability", binary_data=binary_out)]
    result = client.infer("delay", tensors(binary=binary_in), outputs=wanted, request_id="seven")
    plain = client.infer("delay", tensors(binary=False))
    assert result.get_response()["id"] == "seven"
    assert np.array_equal(result.as_numpy("probability"), plain.as_numpy("probability"))
    assert result.as_numpy("prediction") is None


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_compressed_requests_work(client: triton.InferenceServerClient, compression: str) -> None:
    result = client.infer("delay", tensors(binary=True), request_compression_algorithm=compression)
    assert result.as_numpy("probability").shape == (2,)


def test_health_metadata_and_index_are_what_the_client_expects(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("delay")
    assert client.is_model_ready("delay", "1")
    assert not client.is_model_ready("nope")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata("delay")["name"] == "delay"
    assert client.get_model_repository_index() == [
        {"name": "delay", "version": "1", "state": "READY", "reason": ""}
    ]


def test_an_error_reaches_the_user_as_its_sentence(client: triton.InferenceServerClient) -> None:
    wrong = triton.InferInput("hour", [2], "FP32")
    wrong.set_data_from_numpy(np.zeros(2, dtype=np.float32))
    with pytest.raises(InferenceServerException, match="hour"):
        client.infer("delay", [wrong, *tensors(binary=True)[1:]])
    with pytest.raises(InferenceServerException, match="nope"):
        client.infer("nope", tensors(binary=True))


def test_configuration_statistics_and_classes_are_what_the_client_expects(
    client: triton.InferenceServerClient,
) -> None:
    assert client.get_model_config("delay")["input"][0] == {
        "name": "hour",
        "data_type": "TYPE_INT64",
        "dims": [-1],
    }
    wanted = [triton.InferRequestedOutput("probability", class_count=3)]
    assert client.infer("delay", tensors(binary=True), outputs=wanted).as_numpy("probability").shape == (2, 1)
    [told] = client.get_inference_statistics("delay", "1")["model_stats"]
    assert (told["inference_count"], told["inference_stats"]["success"]["count"]) == (2, 1)
    assert client.get_inference_statistics()["model_stats"] == [told]


def test_a_model_is_unloaded_and_loaded_again(client: triton.InferenceServerClient) -> None:
    client.unload_model("delay")
    assert not client.is_model_ready("delay")
    assert client.get_model_repository_index() == [
        {"name": "delay", "state": "UNAVAILABLE", "reason": "unloaded"}
    ]
    with pytest.raises(InferenceServerException, match="unloaded"):
        client.infer("delay", tensors(binary=True))
    client.load_model("delay")
    assert client.is_model_ready("delay")
    with pytest.raises(InferenceServerException, match="registry"):
        client.load_model("delay", config="{}")
    with pytest.raises(InferenceServerException, match="no endpoint"):
        client.unload_model("nope")
