"""One artifact shown: text, tables, Markdown escaped; pictures and HTML from an address where they can do nothing.

Files come from whoever may log, so none is ever a page of ours: what a browser interprets comes under `raw`, with a
policy that lets it load nothing, call nobody and, as an origin of its own, read nothing.
"""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from penstock.artifacts.files import OpenFile
from penstock.artifacts.previews import Rows, decode, kind_of, picture_type, pretty, read_parquet, read_rows
from penstock.base.errors import Invalid, NotFound
from penstock.http.mlflow.files.headers import attachment
from penstock.http.mlflow.files.places import model_root, proxied_path, run_root
from penstock.http.mlflow.files.proxy import join_root
from penstock.http.mlflow.files.transfer import ArtifactService
from penstock.http.pages.queries import query_of
from penstock.http.pages.render import Renderer
from penstock.http.pages.telling.formatting import called, segment
from penstock.project.project import Project
from penstock.registry.references import resolve_version
from penstock.tracking import runs as tracking
from penstock.tracking.logged_models import get_model

TEXT_BYTES = 256 * 1024
WHOLE_BYTES = 20_000_000
"""What a browser or another process is given whole may be so large."""
ALONE = "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"
FRAME = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; worker-src blob:; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'self'"
)
"""Scripts of a chart run, without our origin and without a network."""


@dataclass(frozen=True)
class Opened:
    """A file with where it lies: the pages above it, and the addresses of its bytes, for a frame and to keep."""

    file: OpenFile
    above: tuple[tuple[str, str], ...]
    raw: str
    download: str
    here: str


class FilePages(ABC):
    """Shows files; who lays them says how one that a request names is opened."""

    def __init__(self, project: Project, artifacts: ArtifactService, renderer: Renderer) -> None:
        self._project = project
        self._artifacts = artifacts
        self._renderer = renderer

    @abstractmethod
    def _open(self, request: Request) -> Opened:
        """Open the file that a request names."""

    async def view(self, request: Request) -> Response:
        """One file."""
        opened = await run_in_threadpool(self._open, request)
        file = opened.file
        kind = kind_of(file.name)
        told: dict[str, Any] = {"text": None, "rows": None, "problem": "", "is_cut": False}
        if kind in {"image", "html"}:
            if file.size_bytes > WHOLE_BYTES:
                told["problem"] = "it is too large to be shown"
            elif kind == "image" and picture_type(file.name, await self._read(file, 4096)) is None:
                told["problem"] = "it is no picture that a browser can show, whatever its name says"
        elif kind == "parquet":
            if file.size_bytes > WHOLE_BYTES:
                told["problem"] = "it is too large to be shown"
            else:
                data = await self._read(file, WHOLE_BYTES)
                found = await run_in_threadpool(read_parquet, data)
                told["rows" if isinstance(found, Rows) else "problem"] = found
        else:
            told |= _text_of(file, kind, await self._read(file, TEXT_BYTES))
        return self._renderer.page(
            "artifact.html",
            opened=opened,
            size=file.size_bytes,
            kind=kind,
            name=file.name,
            **told,
        )

    async def raw(self, request: Request) -> Response:
        """The bytes of a picture or an HTML file, where they can do nothing."""
        file = (await run_in_threadpool(self._open, request)).file
        kind = kind_of(file.name)
        if kind not in {"image", "html"} or file.size_bytes > WHOLE_BYTES:
            raise Invalid("only pictures and HTML up to 20 MB are shown", code="artifacts.not_shown")
        data = await self._read(file, WHOLE_BYTES)
        media = "text/html; charset=utf-8" if kind == "html" else picture_type(file.name, data[:4096])
        if media is None:
            raise Invalid("this is no picture", code="artifacts.not_shown")
        headers = {
            "Content-Security-Policy": FRAME if kind == "html" else ALONE,
            "Content-Disposition": "inline",
            "Cache-Control": "private, no-cache",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        return Response(data, media_type=media, headers=headers)

    async def _read(self, file: OpenFile, most: int) -> bytes:
        def read() -> bytes:
            length = min(most, file.size_bytes)
            if not length:
                return b""
            found = bytearray()
            for chunk in file.read(0, length if file.has_ranges else None):
                found += chunk
                if len(found) >= length:
                    break
            return bytes(found[:length])

        return await self._artifacts.call(read)


class ArtifactPages(FilePages):
    """Shows files of runs, and with `?model=` of the models that runs logged."""

    def _open(self, request: Request) -> Opened:
        query = query_of(request)
        path, model = query["path"], query["model"]
        with self._project.database.read() as connection:
            run = tracking.get_run(connection, request.path_params["id"])
            row = tracking.get_row(connection, run.id)
            uri = run_root(row.experiment_id, row.experiment_artifact_uri, row.id, row.artifact_uri)
            if model:
                logged = get_model(connection, model)
                if logged.source_run_id != run.id:
                    raise NotFound(f"run {run.id[:8]} logged no model {model[:40]}", code="tracking.no_model")
                uri = model_root(
                    logged.experiment_id, logged.experiment_artifact_uri, logged.id, logged.artifact_uri
                )
        root = proxied_path(uri)
        if root is None:
            raise NotFound(
                f"its artifacts lie in {uri[:200]}, which this server does not open",
                code="artifacts.elsewhere",
            )
        own = {"model": model} if model else {}
        address, folder = f"/runs/{segment(run.id)}", path.rpartition("/")[0]
        download = (
            f"/ajax-api/2.0/mlflow/logged-models/{segment(model)}/artifacts/files?"
            + urlencode({"artifact_file_path": path})
            if model
            else "/get-artifact?" + urlencode({"run_id": run.id, "path": path})
        )
        return Opened(
            self._artifacts.tree.open(join_root(root, path)),
            (
                ("Runs", "/runs"),
                (called(run.name, run.id), address),
                (folder or "artifacts", f"{address}?{urlencode({**own, 'path': folder})}#files"),
            ),
            f"{address}/raw?{urlencode({**own, 'path': path})}",
            download,
            "runs",
        )


class VersionFilePages(FilePages):
    """Shows the files of registered model versions, as they were registered: by their digests."""

    def _open(self, request: Request) -> Opened:
        path = query_of(request)["path"]
        with self._project.database.read() as connection:
            version = resolve_version(
                connection, f"{request.path_params['name']}/{request.path_params['number']}"
            )
        known = next((one for one in version.manifest.files if one.path == path), None)
        if known is None:
            raise NotFound(
                f"{version.ref} has no file {path[:200]!r}",
                code="registry.no_file",
                hint=f"penstock model show {shlex.quote(version.ref)}",
            )
        address = f"/models/{segment(version.model)}/{version.number}"
        asked = urlencode({"path": path})
        return Opened(
            OpenFile(
                known.path,
                known.size,
                lambda _start, _length: self._project.artifacts.stream(known.sha256),
                has_ranges=False,
                sha256=known.sha256,
            ),
            (("Models", "/models"), (version.ref, address), ("files", f"{address}#files")),
            f"{address}/raw?{asked}",
            f"{address}/download?{asked}",
            "models",
        )

    async def download(self, request: Request) -> Response:
        """The bytes of one file, to be kept."""
        file = (await run_in_threadpool(self._open, request)).file
        headers = {
            "Content-Disposition": attachment(file.name),
            "Content-Length": str(file.size_bytes),
        }
        return StreamingResponse(file.read(0, None), 200, headers, "application/octet-stream")


def _text_of(file: OpenFile, kind: str, data: bytes) -> dict[str, Any]:
    """Return what is shown of a file that is text: itself, rows of a table, or why nothing."""
    is_whole = len(data) >= file.size_bytes
    text = decode(data, is_whole=is_whole)
    if text is None:
        return {"problem": "it is not text, and of no kind that can be shown"}
    rows = read_rows(file.name, text, is_whole=is_whole) if kind == "table" else None
    if rows is not None:
        return {"rows": rows}
    if kind == "json" and is_whole:
        text = pretty(text) or text
    return {"text": text[: 2 * TEXT_BYTES], "is_cut": not is_whole or len(text) > 2 * TEXT_BYTES}
