"""Message classes made from the schema when this is imported, in a pool of their own.

A process may hold another package's classes of the same names (a client's, in a model's own code); the common
pool of descriptors refuses a second definition, this one does not meet it.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from penstock.rpc.schema import MESSAGES, METHODS, PACKAGE, SCALARS, SERVICE, STREAM

_Field = descriptor_pb2.FieldDescriptorProto


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="penstock/open_inference.proto", package=PACKAGE, syntax="proto3"
    )
    made: dict[str, Any] = {}
    for name in sorted(MESSAGES, key=lambda one: one.count(".")):
        outer, _, inner = name.rpartition(".")
        message = made[outer].nested_type.add() if outer else file.message_type.add()
        message.name = inner or name
        made[name] = message
    for name, fields in MESSAGES.items():
        for field in filter(None, fields.split("; ")):
            _add_field(name, made[name], *field.split(" "))
    service = file.service.add()
    service.name = SERVICE.rpartition(".")[2]
    for method in METHODS:
        service.method.add(
            name=method, input_type=f".{PACKAGE}.{method}Request", output_type=f".{PACKAGE}.{method}Response"
        )
    service.method.add(
        name=STREAM,
        input_type=f".{PACKAGE}.ModelInferRequest",
        output_type=f".{PACKAGE}.{STREAM}Response",
        client_streaming=True,
        server_streaming=True,
    )
    return file


def _add_field(owner: str, message: Any, name: str, number: str, kind: str) -> None:
    kind, _, group = kind.partition("|")
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if group:
        if not message.oneof_decl:
            message.oneof_decl.add(name=group)
        field.oneof_index = 0
    if kind.startswith("["):
        kind = kind[1:-1]
        field.label = _Field.LABEL_REPEATED
    elif kind.startswith("{"):
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        for part, part_number, part_kind in (("key", 1, "string"), ("value", 2, kind[1:-1])):
            _set_type(entry.field.add(name=part, number=part_number, label=_Field.LABEL_OPTIONAL), part_kind)
        field.label = _Field.LABEL_REPEATED
        kind = f"{owner}.{entry.name}"
    _set_type(field, kind)


def _set_type(field: descriptor_pb2.FieldDescriptorProto, kind: str) -> None:
    if kind in SCALARS:
        field.type = _Field.Type.Value(f"TYPE_{kind.upper()}")
    else:
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{kind}"


POOL = descriptor_pool.DescriptorPool()
POOL.AddSerializedFile(_file().SerializeToString())


def message_class(name: str) -> Any:
    """Return the class of a message of the schema."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))


ModelInferRequest = message_class("ModelInferRequest")
ModelInferResponse = message_class("ModelInferResponse")
ModelStreamInferResponse = message_class("ModelStreamInferResponse")
