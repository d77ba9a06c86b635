"""The messages and methods of `inference.GRPCInferenceService`, as field numbers.

A field is `name number type`. `[T]` is repeated, `{T}` a map from text to T, `T|group` one of a group. A name
with a dot is a message within another.

Source:
    kserve/open-inference-protocol, specification/protocol/inference_grpc.md; Triton Inference Server,
    protocol/extension_model_repository.md, extension_statistics.md and extension_model_configuration.md (of the
    configuration only what a client reads of a model that is not Triton's).
"""

from __future__ import annotations

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"
SCALARS = frozenset({"bool", "int32", "int64", "uint32", "uint64", "float", "double", "string", "bytes"})

MESSAGES: dict[str, str] = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live 1 bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready 1 bool",
    "ModelReadyRequest": "name 1 string; version 2 string",
    "ModelReadyResponse": "ready 1 bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "name 1 string; version 2 string; extensions 3 [string]",
    "ModelMetadataRequest": "name 1 string; version 2 string",
    "ModelMetadataResponse.TensorMetadata": "name 1 string; datatype 2 string; shape 3 [int64]",
    "ModelMetadataResponse": (
        "name 1 string; versions 2 [string]; platform 3 string; inputs 4 [ModelMetadataResponse.TensorMetadata]; "
        "outputs 5 [ModelMetadataResponse.TensorMetadata]"
    ),
    "InferParameter": (
        "bool_param 1 bool|parameter_choice; int64_param 2 int64|parameter_choice; "
        "string_param 3 string|parameter_choice; double_param 4 double|parameter_choice; "
        "uint64_param 5 uint64|parameter_choice"
    ),
    "InferTensorContents": (
        "bool_contents 1 [bool]; int_contents 2 [int32]; int64_contents 3 [int64]; uint_contents 4 [uint32]; "
        "uint64_contents 5 [uint64]; fp32_contents 6 [float]; fp64_contents 7 [double]; bytes_contents 8 [bytes]"
    ),
    "ModelInferRequest.InferInputTensor": (
        "name 1 string; datatype 2 string; shape 3 [int64]; parameters 4 {InferParameter}; "
        "contents 5 InferTensorContents"
    ),
    "ModelInferRequest.InferRequestedOutputTensor": "name 1 string; parameters 2 {InferParameter}",
    "ModelInferRequest": (
        "model_name 1 string; model_version 2 string; id 3 string; parameters 4 {InferParameter}; "
        "inputs 5 [ModelInferRequest.InferInputTensor]; outputs 6 [ModelInferRequest.InferRequestedOutputTensor]; "
        "raw_input_contents 7 [bytes]"
    ),
    "ModelInferResponse.InferOutputTensor": (
        "name 1 string; datatype 2 string; shape 3 [int64]; parameters 4 {InferParameter}; "
        "contents 5 InferTensorContents"
    ),
    "ModelInferResponse": (
        "model_name 1 string; model_version 2 string; id 3 string; parameters 4 {InferParameter}; "
        "outputs 5 [ModelInferResponse.InferOutputTensor]; raw_output_contents 6 [bytes]"
    ),
    "ModelStreamInferResponse": "error_message 1 string; infer_response 2 ModelInferResponse",
    "ModelRepositoryParameter": (
        "bool_param 1 bool|parameter_choice; int64_param 2 int64|parameter_choice; "
        "string_param 3 string|parameter_choice; bytes_param 4 bytes|parameter_choice"
    ),
    "RepositoryIndexRequest": "repository_name 1 string; ready 2 bool",
    "RepositoryIndexResponse.ModelIndex": "name 1 string; version 2 string; state 3 string; reason 4 string",
    "RepositoryIndexResponse": "models 1 [RepositoryIndexResponse.ModelIndex]",
    "RepositoryModelLoadRequest": (
        "repository_name 1 string; model_name 2 string; parameters 3 {ModelRepositoryParameter}"
    ),
    "RepositoryModelLoadResponse": "",
    "RepositoryModelUnloadRequest": (
        "repository_name 1 string; model_name 2 string; parameters 3 {ModelRepositoryParameter}"
    ),
    "RepositoryModelUnloadResponse": "",
    "ModelConfigRequest": "name 1 string; version 2 string",
    "ModelInput": "name 1 string; data_type 2 int32; dims 4 [int64]; optional 8 bool",
    "ModelOutput": "name 1 string; data_type 2 int32; dims 3 [int64]",
    "ModelConfig": (
        "name 1 string; platform 2 string; max_batch_size 4 int32; input 5 [ModelInput]; output 6 [ModelOutput]; "
        "backend 17 string"
    ),
    "ModelConfigResponse": "config 1 ModelConfig",
    "ModelStatisticsRequest": "name 1 string; version 2 string",
    "StatisticDuration": "count 1 uint64; ns 2 uint64",
    "InferStatistics": "success 1 StatisticDuration; fail 2 StatisticDuration",
    "ModelStatistics": (
        "name 1 string; version 2 string; last_inference 3 uint64; inference_count 4 uint64; "
        "execution_count 5 uint64; inference_stats 6 InferStatistics"
    ),
    "ModelStatisticsResponse": "model_stats 1 [ModelStatistics]",
}
METHODS: tuple[str, ...] = (
    "ServerLive",
    "ServerReady",
    "ModelReady",
    "ServerMetadata",
    "ModelMetadata",
    "ModelInfer",
    "ModelConfig",
    "ModelStatistics",
    "RepositoryIndex",
    "RepositoryModelLoad",
    "RepositoryModelUnload",
)
"""Methods of one request and one response, which are called like them."""
STREAM = "ModelStreamInfer"
"""The method of many requests and responses: `ModelInferRequest` in, `ModelStreamInferResponse` out."""
