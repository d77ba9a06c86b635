"""Every route of the MLflow surface, under both of its prefixes."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from penstock.artifacts.files import ArtifactFiles, ArtifactTree, VersionFiles
from penstock.flows.models.uploaded import manifest_of
from penstock.http.errors import json_response
from penstock.http.mlflow.dispatch import Endpoint, MlflowApi, Services
from penstock.http.mlflow.files import run_artifacts
from penstock.http.mlflow.files.access import check_artifact
from penstock.http.mlflow.files.proxy import artifact_routes
from penstock.http.mlflow.files.transfer import ArtifactService
from penstock.http.mlflow.models import models, versions, webhooks
from penstock.http.mlflow.tracking import experiments, logged_models, metrics, runs, searching
from penstock.project.project import Project

ENDPOINTS: tuple[Endpoint, ...] = (
    *runs.ENDPOINTS,
    *metrics.ENDPOINTS,
    *searching.ENDPOINTS,
    *experiments.ENDPOINTS,
    *logged_models.ENDPOINTS,
    *run_artifacts.ENDPOINTS,
    *models.ENDPOINTS,
    *versions.ENDPOINTS,
    *webhooks.ENDPOINTS,
)
AJAX_ENDPOINTS: tuple[Endpoint, ...] = (*ENDPOINTS, *metrics.AJAX_ENDPOINTS, *run_artifacts.AJAX_ENDPOINTS)
ROOT_ENDPOINTS: tuple[Endpoint, ...] = run_artifacts.ROOT_ENDPOINTS
SERVER_INFO = {
    "store_type": "SqlStore",
    "workspaces_enabled": False,
    "trace_archival_enabled": False,
    "multipart_uploads_enabled": False,  # taken all the same; but a plain upload is streamed in half the time
    "multipart_downloads_enabled": False,
    "presigned_upload_run_id_supported": False,
    "presigned_upload_model_id_supported": False,
    "features_enabled": {},
}


def build_services(project: Project) -> Services:
    """Return what the endpoints of a project work on."""
    versions_of = VersionFiles(project.artifacts, partial(manifest_of, project))
    tree = ArtifactTree(ArtifactFiles(project.artifacts.backend), versions_of)
    return Services(project, ArtifactService(tree))


def mlflow_routes(services: Services) -> list[BaseRoute]:
    """Return the routes of tracking, registry and artifacts."""

    async def server_info(_request: Request) -> Response:
        return json_response(SERVER_INFO)

    return [
        *artifact_routes(services.artifacts, partial(check_artifact, services)),
        *(Route(f"/{one.path}", MlflowApi((one,), services), methods=[one.method]) for one in ROOT_ENDPOINTS),
        Mount("/api/2.0/mlflow", app=MlflowApi(ENDPOINTS, services)),
        Mount("/ajax-api/2.0/mlflow", app=MlflowApi(AJAX_ENDPOINTS, services)),
        Route("/api/3.0/mlflow/server-info", server_info, methods=["GET"]),
        Route("/ajax-api/3.0/mlflow/server-info", server_info, methods=["GET"]),
    ]
