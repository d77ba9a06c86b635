"""MLflow's artifact proxy: the routes under `mlflow-artifacts`, and what other routes need of artifacts.

Every path is parsed and shown to the guard before anything else happens; the guard raises what denies.

Source: mlflow/mlflow, mlflow/protos/mlflow_artifacts.proto and mlflow/server/handlers.py; differs in that
presigned downloads are answered NOT_IMPLEMENTED, since a plain one is streamed anyway.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.access.roles import Role
from penstock.artifacts.paths import bad_path, parse_path
from penstock.base.errors import Invalid, PenstockError, Refused
from penstock.http.errors import json_response
from penstock.http.mlflow.errors import mlflow_error_response
from penstock.http.mlflow.files.multipart import PART_ROUTE, Multipart
from penstock.http.mlflow.files.transfer import ArtifactService
from penstock.storage.backend import Child

PREFIXES = ("/api/2.0", "/ajax-api/2.0")
MAX_FORM_BYTES = 10 << 20  # MLflow's limit of `upload-artifact`, which browsers use
CLOSED_REQUEST = 499


class _Anything(PathConvertor):
    """What follows in a path, several lines too, so that a name with a line's end is told of as one."""

    regex = "(?s:.*)"


register_url_convertor("anything", _Anything())
Guard = Callable[[Request, str, Role], Awaitable[None]]
"""Called with the request, the plain path and the role that is needed there; raises `Denied`."""
Work = Callable[[Request, str], Awaitable[Response]]


def artifact_routes(service: ArtifactService, guard: Guard) -> list[Route]:
    """Return the routes of the artifact proxy under both of MLflow's prefixes."""

    async def download(request: Request, path: str) -> Response:
        return await service.download(request, path)

    async def upload(request: Request, path: str) -> Response:
        await service.upload(request, path)
        return json_response({})

    async def delete(_request: Request, path: str) -> Response:
        await service.delete(path)
        return json_response({})

    async def listing(_request: Request, path: str) -> Response:
        return json_response(_files(await service.children(path)))

    async def absent(_request: Request, _path: str) -> Response:
        raise Refused(
            "presigned transfers are not supported; a plain one is streamed",
            code="http.not_implemented",
        )

    multipart = Multipart(service)
    proxy = "/mlflow-artifacts"
    file, folder = f"{proxy}/artifacts/{{path:anything}}", f"{proxy}/artifacts"
    rows: list[tuple[str, str, Work, Role]] = [
        ("GET", file, download, "reader"),
        ("PUT", file, upload, "writer"),
        ("DELETE", file, delete, "admin"),
        ("GET", folder, listing, "reader"),
        ("GET", f"{proxy}/presigned/{{path:anything}}", absent, "reader"),
        ("POST", f"{proxy}/mpu/create/{{path:anything}}", multipart.create, "writer"),
        ("POST", f"{proxy}/mpu/complete/{{path:anything}}", multipart.complete, "writer"),
        ("POST", f"{proxy}/mpu/abort/{{path:anything}}", multipart.abort, "writer"),
    ]
    return [
        Route(f"{PART_ROUTE}/{{upload_id}}/{{number}}", multipart.part, methods=["PUT"]),
        *(
            Route(f"{prefix}{path}", _guarded(work, guard, role), methods=[method])
            for prefix in PREFIXES
            for method, path, work, role in rows
        ),
    ]


def _guarded(work: Work, guard: Guard, role: Role) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            path = parse_path(_path_of(request))
            _check_whole(request)
            await guard(request, path, role)
            return await work(request, path)
        except PenstockError as error:
            return mlflow_error_response(error)
        except ClientDisconnect:
            return Response(status_code=CLOSED_REQUEST)

    return answer


def _check_whole(request: Request) -> None:
    """Refuse an address that was cut at a `?` in a file's name, rather than take one file for another.

    MLflow's client writes names into addresses as they are.
    """
    if "path" in request.path_params and request.url.query:
        raise bad_path("a name cannot hold '?' here, where it ends the path of an address")


def _path_of(request: Request) -> str:
    if "path" in request.path_params:
        return str(request.path_params["path"])
    return single_parameter(request, "path")


def single_parameter(request: Request, name: str) -> str:
    """Return a query parameter, empty when absent.

    Raises:
        Invalid: it is there twice; one reader could check the first and another use the last.
    """
    values = request.query_params.getlist(name)
    if len(values) > 1:
        raise Invalid(f"Parameter '{name}' must be given once", code="http.repeated_parameter")
    return values[0] if values else ""


def join_root(root: str, inner: str) -> str:
    """Return the path of something that a client named inside an artifact root.

    Raises:
        Invalid: `inner` leaves the root.
    """
    plain = parse_path(inner, inside=True)
    return f"{root}/{plain}" if plain else root


async def list_artifacts(service: ArtifactService, root: str, inner: str = "") -> list[dict[str, Any]]:
    """Return the `files` of the request `list`: what lies in a folder of an artifact root.

    `root` is the artifact root's own path; the paths in the answer are relative to it.

    Raises:
        Invalid: `inner` leaves the root.
    """
    plain = parse_path(inner, inside=True)
    return _files(await service.children(join_root(root, plain)), plain).get("files", [])


async def download_artifact(service: ArtifactService, request: Request, root: str, inner: str) -> Response:
    """Answer `get-artifact`: one file inside an artifact root (or `versions/<digest>`), as an attachment.

    Raises:
        Invalid: `inner` is missing, leaves the root or is a directory.
        NotFound: there is nothing.
    """
    return await service.download(request, join_root(root, inner))


async def upload_artifact(service: ArtifactService, request: Request, root: str, inner: str) -> None:
    """Store the body of `upload-artifact` as a file inside an artifact root; at most 10 MB.

    Raises:
        Invalid: `inner` is missing or leaves the root, or the body is empty or too large.
    """
    if not parse_path(inner, inside=True):
        raise bad_path()
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        raise Invalid("Request must specify data.", code="http.no_body")
    try:
        await service.upload(request, join_root(root, inner), MAX_FORM_BYTES)
    except Invalid as error:
        if error.code != "http.body_too_large":
            raise
        raise Invalid(error.message, code="artifacts.too_large") from None


def _files(children: list[Child], folder: str = "") -> dict[str, list[dict[str, Any]]]:
    """Return a listing as MLflow writes it: no size for a directory, nothing at all for no files."""
    head = f"{folder}/" if folder else ""
    files: list[dict[str, Any]] = [
        {"path": f"{head}{child.name}", "is_dir": True}
        if child.size_bytes is None
        else {"path": f"{head}{child.name}", "is_dir": False, "file_size": child.size_bytes}
        for child in children
    ]
    return {"files": files} if files else {}
