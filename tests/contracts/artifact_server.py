"""The artifact proxy alone on a real server: in a thread, or as a program (`python artifact_server.py PORT ROOT`)."""

from __future__ import annotations

import hashlib
import http.client
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from patience import PATIENCE_S
from penstock.access.roles import Role
from penstock.artifacts.files import ArtifactFiles, ArtifactTree, Manifest, VersionFiles
from penstock.base.errors import Denied, PenstockError
from penstock.http.errors import json_response
from penstock.http.listen import bind, make_server, serve_on
from penstock.http.mlflow.errors import mlflow_error_response
from penstock.http.mlflow.files.proxy import (
    artifact_routes,
    download_artifact,
    list_artifacts,
    single_parameter,
    upload_artifact,
)
from penstock.http.mlflow.files.transfer import ArtifactService
from penstock.storage.backend import Backend
from penstock.storage.content import ContentStore
from penstock.storage.resolve import open_backend

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
ROOT = "7/run/artifacts"


@dataclass
class Proxy:
    """A running proxy, and what its guard saw."""

    backend: Backend
    port: int = 0
    manifests: dict[str, Manifest] = field(default_factory=dict)
    seen: list[tuple[str, Role]] = field(default_factory=list)
    is_closed: bool = False

    async def guard(self, _request: Request, path: str, role: Role) -> None:
        self.seen.append((path, role))
        if self.is_closed:
            raise Denied("not yours", code="access.denied")

    def register(self, files: dict[str, bytes]) -> str:
        """Store a version's files and return its digest."""
        content = ContentStore(self.backend)
        manifest = {name: (content.put(data), len(data)) for name, data in files.items()}
        digest = hashlib.sha256(repr(sorted(manifest.items())).encode()).hexdigest()
        self.manifests[digest] = manifest
        return digest

    def ask(
        self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request whose target is not changed on the way; return status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.putrequest(method, target)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read()
        finally:
            connection.close()


def build(proxy: Proxy) -> tuple[Starlette, ArtifactService]:
    """Return the application: the proxy's routes and three that use its functions."""
    versions = VersionFiles(ContentStore(proxy.backend), proxy.manifests.get)
    service = ArtifactService(ArtifactTree(ArtifactFiles(proxy.backend), versions))

    async def use(request: Request) -> Response:
        try:
            inner = single_parameter(request, "path")
            if request.url.path == "/list":
                return json_response(await list_artifacts(service, ROOT, inner))
            if request.method == "POST":
                await upload_artifact(service, request, ROOT, inner)
                return json_response({})
            return await download_artifact(service, request, ROOT, inner)
        except PenstockError as error:
            return mlflow_error_response(error)

    names = ("/list", "/get-artifact", "/upload-artifact")
    extra = [Route(name, use, methods=["GET", "POST"]) for name in names]
    return Starlette(routes=[*artifact_routes(service, proxy.guard), *extra]), service


@contextmanager
def run_proxy(backend: Backend) -> Iterator[Proxy]:
    """Serve in a thread on a free port."""
    proxy = Proxy(backend)
    application, service = build(proxy)
    bound = bind("127.0.0.1", 0)
    proxy.port = bound.getsockname()[1]
    server = make_server(application, drain_s=5)
    thread = threading.Thread(target=serve_on, args=(bound, server))
    bound.listen()  # so that requests wait until the loop runs
    thread.start()
    try:
        yield proxy
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        service.close()


if __name__ == "__main__":
    application, _ = build(Proxy(open_backend(str(Path(sys.argv[2])))))
    serve_on(bind("127.0.0.1", int(sys.argv[1])), make_server(application, drain_s=5))
