"""Spans of predictions at a real receiver of OTLP: who was asked, what answered, in whose trace; nothing without one."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from patience import PATIENCE_S
from penstock.processes.serve import ServeProcess
from penstock.processes.tracing import OtlpTracer, find_tracer
from penstock.rpc.messages import ModelInferRequest
from penstock.rpc.schema import SERVICE
from servers.ports import reserve
from serving.fronts import serve_both
from serving.models import request_body
from watching.seen import wait_until

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
OTHER = "1af7651916cd43dd8448eb211c80319d"
JOINED = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=x"}
PLACE = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Receiver:
    """Takes OTLP over HTTP and keeps its spans."""

    def __init__(self, port: int = 0) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.paths: set[str] = set()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    data = gzip.decompress(data)
                receiver.paths.add(self.path)
                for one in ExportTraceServiceRequest.FromString(data).resource_spans:
                    receiver.services.update(
                        item.value.string_value
                        for item in one.resource.attributes
                        if item.key == "service.name"
                    )
                    receiver.spans += [span for scope in one.scope_spans for span in scope.spans]
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def find(self, prediction_id: str) -> Span:
        """Wait for the span of a prediction."""
        wait_until(lambda: any(told(one)["penstock.prediction_id"] == prediction_id for one in self.spans))
        (found,) = [one for one in self.spans if told(one)["penstock.prediction_id"] == prediction_id]
        return found


def told(span: Span) -> dict[str, Any]:
    return {
        one.key: one.value.string_value if one.value.HasField("string_value") else one.value.int_value
        for one in span.attributes
    }


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def traced(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PLACE, receiver.url)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        tracer, why = find_tracer({PLACE: receiver.url})
        assert isinstance(tracer, OtlpTracer), why
        yield from serve_both(tmp_path_factory.mktemp("traced"), tracer=tracer)


def ask(process: ServeProcess, headers: dict[str, str], **changes: Any) -> httpx.Response:
    url = f"{process.url}/v2/models/delay/infer"
    return httpx.post(url, json=request_body(2, **changes), headers=headers, timeout=PATIENCE_S)


def test_a_span_says_which_prediction_it_was_and_joins_the_caller_s_trace(
    traced: ServeProcess, receiver: Receiver
) -> None:
    answer = ask(traced, JOINED)
    assert answer.status_code == 200, answer.text
    span = receiver.find(answer.json()["id"])
    assert told(span) == {
        "penstock.prediction_id": answer.json()["id"],
        "penstock.endpoint": "delay",
        "penstock.version": 1,
        "penstock.revision": 1,
        "penstock.route": "stable",
        "penstock.rows": 2,
    }
    assert (span.name, span.kind) == ("predict delay", Span.SPAN_KIND_SERVER)
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.trace_state) == (TRACE, PARENT, "vendor=x")
    assert span.end_time_unix_nano > span.start_time_unix_nano
    assert (receiver.services, receiver.paths) == ({"penstock"}, {"/v1/traces"})


def test_without_a_trace_or_with_an_odd_one_a_prediction_begins_its_own_and_no_other_s_is_taken(
    traced: ServeProcess, receiver: Receiver
) -> None:
    traces = set()
    with httpx.Client() as one_connection:
        for headers in (
            JOINED,
            {},
            {"traceparent": "00-zz-1-01"},
            {"traceparent": "\u00ff".encode("latin-1")},
        ):
            url = f"{traced.url}/v2/models/delay/infer"
            answer = one_connection.post(url, json=request_body(), headers=headers, timeout=PATIENCE_S)
            assert answer.status_code == 200, answer.text
            span = receiver.find(answer.json()["id"])
            assert bool(span.parent_span_id) == (headers is JOINED)
            traces.add(span.trace_id.hex())
    assert len(traces) == 4


def test_what_a_caller_decided_not_to_sample_is_not_sent(traced: ServeProcess, receiver: Receiver) -> None:
    unsampled = ask(traced, {"traceparent": f"00-{TRACE}-{PARENT}-00"}).json()["id"]
    receiver.find(ask(traced, {}).json()["id"])
    assert unsampled not in {told(one)["penstock.prediction_id"] for one in receiver.spans}


def test_grpc_joins_the_trace_in_its_metadata(traced: ServeProcess, receiver: Receiver) -> None:
    message = ModelInferRequest(model_name="delay")
    for name, datatype, field, value in (
        ("hour", "INT64", "int64_contents", 18),
        ("distance", "FP64", "fp64_contents", 1000.0),
        ("carrier", "BYTES", "bytes_contents", b"AA"),
    ):
        tensor = message.inputs.add(name=name, datatype=datatype, shape=[1])
        getattr(tensor.contents, field).append(value)
    assert traced.companion is not None
    with grpc.insecure_channel(f"127.0.0.1:{traced.companion.port}") as channel:
        method = channel.unary_unary(
            f"/{SERVICE}/ModelInfer", request_serializer=lambda one: one.SerializeToString()
        )
        method(message, metadata=(("traceparent", f"00-{OTHER}-{PARENT}-01"),), timeout=PATIENCE_S)
    wait_until(lambda: any(one.trace_id.hex() == OTHER for one in receiver.spans))
    (found,) = [one for one in receiver.spans if one.trace_id.hex() == OTHER]
    assert (found.parent_span_id.hex(), told(found)["penstock.endpoint"]) == (PARENT, "delay")


def test_a_model_that_fails_is_a_span_with_an_error(traced: ServeProcess, receiver: Receiver) -> None:
    model = traced.dataplane.resolve("delay", None)[1]
    whole = model.predictor

    class Failing:
        def predict(self, *_: Any) -> Any:
            raise RuntimeError("broken")

        def __getattr__(self, name: str) -> Any:
            return getattr(whole, name)

    object.__setattr__(model, "predictor", Failing())
    try:
        answer = ask(traced, {})
    finally:
        object.__setattr__(model, "predictor", whole)
    assert answer.status_code == 500, answer.text
    wait_until(lambda: any(one.status.code == Status.STATUS_CODE_ERROR for one in receiver.spans))
    (failed,) = [one for one in receiver.spans if one.status.code == Status.STATUS_CODE_ERROR]
    assert told(failed)["error.type"] == failed.status.message == "model_failed"


def test_a_receiver_that_is_gone_keeps_no_prediction_and_is_told_once_until_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    port = reserve()  # nothing listens on it
    place = f"http://127.0.0.1:{port}"
    monkeypatch.setenv(PLACE, place)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    tracer, _ = find_tracer({PLACE: place})

    def lost(process: ServeProcess) -> float:
        page = httpx.get(f"{process.url}/metrics").text
        return float(
            next(one for one in page.splitlines() if one.startswith("penstock_spans_lost_total")).split()[1]
        )

    caplog.set_level("WARNING")
    with contextlib.contextmanager(serve_both)(tmp_path, tracer=tracer) as process:
        for count in (1, 2, 3):  # as many batches that are lost
            assert ask(process, JOINED).status_code == 200
            wait_until(partial(lambda least: lost(process) >= least, count))
        back = Receiver(port)
        assert ask(process, JOINED).status_code == 200
        wait_until(lambda: bool(back.spans))
        wait_until(lambda: "takes them again" in caplog.text)
        back.server.shutdown()
        back.server.server_close()
    said = [one.getMessage() for one in caplog.records if "span" in one.getMessage()]
    assert len(said) == 2, said
    assert not any(one.name.startswith("opentelemetry.exporter") for one in caplog.records)


def test_only_the_standard_s_variables_turn_it_on_and_what_cannot_be_is_told() -> None:
    for variables in (
        {},
        {PLACE: ""},
        {PLACE: "http://x", "OTEL_SDK_DISABLED": "true"},
        {PLACE: "http://x", "OTEL_TRACES_EXPORTER": "none"},
    ):
        assert find_tracer(variables) == (None, "")
    tracer, why = find_tracer({PLACE: "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert tracer is None
    assert "grpc is not spoken" in why
    code = (
        "import sys; import penstock.processes.serve; from penstock.processes.tracing import find_tracer; "
        "assert find_tracer({}) == (None, ''); assert not any(n.startswith('opentelemetry') for n in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
