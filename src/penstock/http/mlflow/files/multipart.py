"""MLflow's multipart upload through the artifact proxy: create, the parts, complete, abort.

The parts' addresses are this server's own for every artifact store. A client sends a part with the headers it
was given and nothing else, as to an object store; so those headers carry the upload's secret, and whoever was
allowed to create the upload may send its parts.

Source: mlflow/mlflow, `mlflow/protos/mlflow_artifacts.proto`, `mlflow/store/artifact/http_artifact_repo.py`;
the file's name is the last part of `path` in the body, its folder the path of the request.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from penstock.base.errors import Invalid, NotFound, PenstockError
from penstock.http.errors import json_response
from penstock.http.mlflow.errors import mlflow_error_response
from penstock.http.mlflow.files.transfer import ArtifactService

SECRET_HEADER = "X-Penstock-Upload"
PART_ROUTE = "/api/2.0/mlflow-artifacts/mpu/part"
MAX_BODY_BYTES = 4 << 20
CLOSED_REQUEST = 499
T = TypeVar("T")


class CreateIn(msgspec.Struct):
    """POST mpu/create."""

    path: str
    num_parts: int


class PartIn(msgspec.Struct):
    """A part as its sender knows it."""

    part_number: int
    etag: str


class CompleteIn(msgspec.Struct):
    """POST mpu/complete."""

    path: str
    upload_id: str
    parts: list[PartIn]


class AbortIn(msgspec.Struct):
    """POST mpu/abort."""

    path: str
    upload_id: str


class Multipart:
    """The work behind the routes."""

    def __init__(self, service: ArtifactService) -> None:
        self._service = service

    async def create(self, request: Request, folder: str) -> Response:
        """Begin an upload and say where its parts go."""
        body = await _read(request, CreateIn)
        path = _file_in(folder, body.path)
        upload = await self._service.call(lambda: self._service.parts.begin(path, body.num_parts))
        root = f"{str(request.base_url).rstrip('/')}{PART_ROUTE}/{upload.id}"
        return json_response(
            {
                "upload_id": upload.id,
                "credentials": [
                    {
                        "url": f"{root}/{number}",
                        "part_number": number,
                        "headers": {SECRET_HEADER: upload.secret},
                    }
                    for number in range(1, upload.part_count + 1)
                ],
            }
        )

    async def complete(self, request: Request, folder: str) -> Response:
        """Join the parts into the file."""
        body = await _read(request, CompleteIn)
        path = _file_in(folder, body.path)
        parts = [(part.part_number, part.etag) for part in body.parts]
        await self._service.call(lambda: self._service.parts.complete(body.upload_id, path, parts))
        return json_response({})

    async def abort(self, request: Request, folder: str) -> Response:
        """Forget the parts."""
        body = await _read(request, AbortIn)
        path = _file_in(folder, body.path)
        await self._service.call(lambda: self._service.parts.abort(body.upload_id, path))
        return json_response({})

    async def part(self, request: Request) -> Response:
        """Take one part; the secret in its headers is all that it needs."""
        try:
            upload_id, number = (str(request.path_params[name]) for name in ("upload_id", "number"))
            if not (number.isascii() and number.isdigit() and len(number) < 6):
                raise NotFound("there is no such part", code="artifacts.no_upload")
            secret = request.headers.get(SECRET_HEADER, "")
            writer = await self._service.call(
                lambda: self._service.parts.writer(upload_id, int(number), secret)
            )
            await self._service.receive(request, writer)
            return json_response({}, headers={"ETag": f'"{writer.etag}"'})
        except PenstockError as error:
            return mlflow_error_response(error)
        except ClientDisconnect:
            return Response(status_code=CLOSED_REQUEST)


def _file_in(folder: str, named: str) -> str:
    name = re.split(r"[/\\]", named)[-1]
    if not name or name in {".", ".."}:
        raise Invalid("Invalid path", code="artifacts.bad_path")
    return f"{folder}/{name}" if folder else name


async def _read(request: Request, kind: type[T]) -> T:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise Invalid(
                f"the body has more than {MAX_BODY_BYTES} bytes",
                code="http.body_too_large",
                limit=MAX_BODY_BYTES,
            )
    try:
        found: Any = msgspec.json.decode(bytes(body), type=kind, strict=False)
    except msgspec.DecodeError as error:
        raise Invalid(f"Invalid request: {error}", code="request.invalid_value") from None
    result: T = found
    return result
