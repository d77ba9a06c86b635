"""Artifacts by the run, logged model or version they belong to: what pages and REST clients ask for.

The real client goes to the artifact proxy itself; these routes find the folder there and pass on to it.
"""

from __future__ import annotations

from typing import Any, ClassVar

import sqlalchemy as sa
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from penstock.base.errors import Invalid
from penstock.http.caller import Caller
from penstock.http.errors import json_response
from penstock.http.mlflow.dispatch import Endpoint, Services
from penstock.http.mlflow.files.places import model_root, proxied_path, run_root
from penstock.http.mlflow.files.proxy import download_artifact, list_artifacts, upload_artifact
from penstock.http.mlflow.tracking.logged_models import MODEL_READ
from penstock.http.mlflow.tracking.runs import RUN_READ, RUN_WRITE
from penstock.http.mlflow.wire import OfRun, Request, given
from penstock.tracking.logged_models import get_model
from penstock.tracking.runs import get_row


class List(OfRun, kw_only=True):
    """GET artifacts/list."""

    path: str = ""
    page_token: str = ""


class File(OfRun, kw_only=True):
    """GET /get-artifact and POST upload-artifact."""

    path: str = ""
    required: ClassVar[tuple[str, ...]] = ("run_id", "path")


class ModelFolder(Request, kw_only=True):
    """GET logged-models/{model_id}/artifacts/directories."""

    model_id: str = ""
    artifact_directory_path: str = ""


class ModelFile(Request, kw_only=True):
    """GET logged-models/{model_id}/artifacts/files."""

    model_id: str = ""
    artifact_file_path: str = ""
    required: ClassVar[tuple[str, ...]] = ("model_id", "artifact_file_path")


async def list_of_run(services: Services, _http: HttpRequest, request: List, _caller: Caller) -> Response:
    """List a folder of a run."""
    uri = await services.read(lambda connection: _uri_of_run(connection, request.run_id))
    return await _listing(services, uri, request.path)


async def list_of_model(
    services: Services, _http: HttpRequest, request: ModelFolder, _caller: Caller
) -> Response:
    """List a folder of a logged model."""
    uri = await services.read(lambda connection: _uri_of_model(connection, request.model_id))
    return await _listing(services, uri, request.artifact_directory_path)


async def file_of_run(services: Services, http: HttpRequest, request: File, _caller: Caller) -> Response:
    """Send a file of a run, as an attachment."""
    uri = await services.read(lambda connection: _uri_of_run(connection, request.run_id))
    return await download_artifact(services.artifacts, http, _folder(uri), request.path)


async def file_of_model(
    services: Services, http: HttpRequest, request: ModelFile, _caller: Caller
) -> Response:
    """Send a file of a logged model, as an attachment."""
    uri = await services.read(lambda connection: _uri_of_model(connection, request.model_id))
    return await download_artifact(services.artifacts, http, _folder(uri), request.artifact_file_path)


async def upload_to_run(services: Services, http: HttpRequest, request: File, _caller: Caller) -> Response:
    """Keep the body as a file of a run."""
    uri = await services.read(lambda connection: _uri_of_run(connection, request.run_id))
    await upload_artifact(services.artifacts, http, _folder(uri), request.path)
    return json_response({})


async def _listing(services: Services, uri: str, inner: str) -> Response:
    files: list[dict[str, Any]] = await list_artifacts(services.artifacts, _folder(uri), inner)
    return json_response(given(root_uri=uri, files=files))


def _uri_of_run(connection: sa.Connection, run_id: str) -> str:
    row = get_row(connection, run_id)
    return run_root(row.experiment_id, row.experiment_artifact_uri, row.id, row.artifact_uri)


def _uri_of_model(connection: sa.Connection, model_id: str) -> str:
    model = get_model(connection, model_id)
    return model_root(model.experiment_id, model.experiment_artifact_uri, model.id, model.artifact_uri)


def _folder(uri: str) -> str:
    path = proxied_path(uri)
    if path is None:
        raise Invalid(
            f"these artifacts lie in {uri}, which the server does not open",
            code="artifacts.elsewhere",
            hint="open them with a client that has the credentials for that place",
        )
    return path


_MODEL = "logged-models/{model_id}/artifacts"
ENDPOINTS = (
    Endpoint("GET", "artifacts/list", List, RUN_READ, "serves", list_of_run),
    Endpoint("GET", f"{_MODEL}/directories", ModelFolder, MODEL_READ, "serves", list_of_model),
)
AJAX_ENDPOINTS = (
    Endpoint("GET", f"{_MODEL}/files", ModelFile, MODEL_READ, "serves", file_of_model),
    Endpoint("POST", "upload-artifact", File, RUN_WRITE, "serves", upload_to_run),
)
ROOT_ENDPOINTS = (Endpoint("GET", "get-artifact", File, RUN_READ, "serves", file_of_run),)
