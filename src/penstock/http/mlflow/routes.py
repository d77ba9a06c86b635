"""Every route of the MLflow surface, under both of its prefixes."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from penstock.http.errors import json_response
from penstock.http.mlflow import experiments, logged_models, metrics, runs
from penstock.http.mlflow.dispatch import Endpoint, MlflowApi, Services

ENDPOINTS: tuple[Endpoint, ...] = (
    *runs.ENDPOINTS,
    *metrics.ENDPOINTS,
    *experiments.ENDPOINTS,
    *logged_models.ENDPOINTS,
)
AJAX_ENDPOINTS: tuple[Endpoint, ...] = (*ENDPOINTS, *metrics.AJAX_ENDPOINTS)
SERVER_INFO = {
    "store_type": "SqlStore",
    "workspaces_enabled": False,
    "trace_archival_enabled": False,
    "multipart_uploads_enabled": False,
    "multipart_downloads_enabled": False,
    "presigned_upload_run_id_supported": False,
    "presigned_upload_model_id_supported": False,
    "features_enabled": {},
}


def mlflow_routes(services: Services) -> list[BaseRoute]:
    """Return the routes of tracking and registry."""

    async def server_info(_request: Request) -> Response:
        return json_response(SERVER_INFO)

    return [
        Mount("/api/2.0/mlflow", app=MlflowApi(ENDPOINTS, services)),
        Mount("/ajax-api/2.0/mlflow", app=MlflowApi(AJAX_ENDPOINTS, services)),
        Route("/api/3.0/mlflow/server-info", server_info, methods=["GET"]),
        Route("/ajax-api/3.0/mlflow/server-info", server_info, methods=["GET"]),
    ]
