from __future__ import annotations

from typing import Any

import tritonclient.grpc.service_pb2 as theirs

from penstock.rpc.messages import POOL
from penstock.rpc.schema import MESSAGES, PACKAGE, SERVICE


def test_every_field_has_the_number_and_kind_that_clients_know() -> None:
    pool = theirs.DESCRIPTOR.pool
    for name in MESSAGES:
        ours = POOL.FindMessageTypeByName(f"{PACKAGE}.{name}")
        known = pool.FindMessageTypeByName(f"{PACKAGE}.{name}").fields_by_name
        for field in ours.fields:
            other = known[field.name]
            assert field.number == other.number, f"{name}.{field.name}"
            assert kind(field) == kind(other), f"{name}.{field.name}"


def kind(field: Any) -> tuple[Any, ...]:
    type_ = field.TYPE_INT32 if field.type == field.TYPE_ENUM else field.type  # the same bytes
    message = field.message_type and field.message_type.full_name
    return field.is_repeated, type_, message, field.containing_oneof and field.containing_oneof.name


def test_every_method_takes_and_gives_what_clients_know() -> None:
    known = theirs.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
    for method in POOL.FindServiceByName(SERVICE).methods:
        other = known[method.name]
        assert method.input_type.full_name == other.input_type.full_name
        assert method.output_type.full_name == other.output_type.full_name
        assert (method.client_streaming, method.server_streaming) == (
            other.client_streaming,
            other.server_streaming,
        )
