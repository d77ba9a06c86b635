"""Artifacts between a socket and the artifact tree, never a whole file in memory.

A thread writes one batch while the event loop collects the next, and reads one chunk ahead of what is sent.
The threads are the service's own: slow transfers cannot use up those of other requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from penstock.artifacts.files import ArtifactTree, OpenFile
from penstock.artifacts.parts import PartUploads
from penstock.artifacts.paths import parse_path
from penstock.base.errors import Invalid, Unavailable
from penstock.http.mlflow.files.headers import Span, headers_of, parse_range
from penstock.storage.backend import Child, Writer

BATCH_BYTES = 2 << 20
THREADS = 8
T = TypeVar("T")


class ArtifactService:
    """The artifact tree as asynchronous functions. Who makes it closes it."""

    def __init__(self, tree: ArtifactTree) -> None:
        self.tree = tree
        self.parts = PartUploads(tree, tree.files.backend)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="penstock-artifact")

    def close(self) -> None:
        """Wait for the transfers under way."""
        self._threads.shutdown()

    async def call(self, action: Callable[[], T]) -> T:
        """Run something that reads or writes the store, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, action)

    async def children(self, path: str) -> list[Child]:
        """Return what lies directly in a directory, by name."""
        return await self.call(lambda: self.tree.children(path))

    async def delete(self, path: str) -> None:
        """Remove a file or a directory."""
        await self.call(lambda: self.tree.delete(path))

    async def download(self, request: Request, path: str) -> Response:
        """Answer a file, or the part of it that the request's Range asks for, as an attachment.

        When the store fails or a version's file does not match its digest after the first byte has gone,
        the connection is cut, so that the client sees fewer bytes than were announced.

        Raises:
            Invalid: the path is refused, or is a directory.
            NotFound: there is nothing.
            Corrupt: a version's file is not what its manifest says.
        """
        file = await self.call(lambda: self.tree.open(path))
        span = parse_range(request.headers.get("range"), file)
        if span is None:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{file.size_bytes}"})
        status = 200 if span.is_whole else 206
        headers = headers_of(file, span)
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers)
        return StreamingResponse(self._send(file, span), status, headers)

    async def _send(self, file: OpenFile, span: Span) -> AsyncIterator[bytes]:
        chunks = file.read(span.start, span.length)
        ahead: Future[bytes | None] = self._threads.submit(next, chunks, None)
        try:
            left = span.length
            while left > 0 and (chunk := await asyncio.wrap_future(ahead)) is not None:
                left -= len(chunk)
                if left > 0:
                    ahead = self._threads.submit(next, chunks, None)
                yield chunk
            if left > 0:
                raise Unavailable(f"{file.path} became shorter while it was sent", code="artifacts.changed")
        finally:
            self._threads.submit(_close_after, ahead, chunks)

    async def upload(self, request: Request, path: str, max_bytes: int | None = None) -> int:
        """Store a request's body and return its size; what comes incomplete is not stored.

        Raises:
            Invalid: the path is refused, or the body has more than `max_bytes`.
            Conflict: a directory is in the way.
            Refused: it would be a version's file.
            ClientDisconnect: the client went away.
        """
        path = parse_path(path)
        declared = request.headers.get("content-length", "")
        size = int(declared) if declared.isdecimal() and len(declared) < 19 else None
        if max_bytes is not None and size is not None and size > max_bytes:
            raise _too_large(max_bytes)
        writer = await self.call(lambda: self.tree.writer(path, size))
        return await self.receive(request, writer, max_bytes)

    async def receive(self, request: Request, writer: Writer, max_bytes: int | None = None) -> int:
        """Write a request's body and commit it; raises as `upload`."""
        pending: Future[None] | None = None
        try:
            batch: list[bytes] = []
            held = total = 0
            async for chunk in request.stream():
                batch.append(chunk)
                held += len(chunk)
                total += len(chunk)
                if max_bytes is not None and total > max_bytes:
                    raise _too_large(max_bytes)
                if held >= BATCH_BYTES:
                    if pending is not None:
                        await asyncio.wrap_future(pending)
                    pending = self._threads.submit(writer.write, batch)
                    batch, held = [], 0
            if pending is not None:
                await asyncio.wrap_future(pending)
            pending = self._threads.submit(_finish, writer, batch)
            await asyncio.shield(asyncio.wrap_future(pending))
        except BaseException:
            self._threads.submit(_abort_after, pending, writer)
            raise
        return total


def _finish(writer: Writer, batch: list[bytes]) -> None:
    writer.write(batch)
    writer.commit()


def _abort_after(pending: Future[None] | None, writer: Writer) -> None:
    if pending is not None:
        wait([pending])
    writer.abort()


def _close_after(ahead: Future[bytes | None], chunks: object) -> None:
    wait([ahead])
    close = getattr(chunks, "close", None)
    if close is not None:
        close()


def _too_large(limit: int) -> Invalid:
    return Invalid(
        f"Artifact size is too large. Max size is {limit >> 20}MB.", code="http.body_too_large", limit=limit
    )
