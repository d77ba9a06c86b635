"""Files that arrive in parts: each part is an object of its own until all are joined into the file.

    uploads/<upload id>/upload.json      the file's path, how many parts, when it began, the parts' secret
    uploads/<upload id>/<number>-<etag>  a part as it was sent once; the etag is drawn by lot

Nothing of it is visible among the artifacts before `complete`. An upload that was aborted is gone; one that
nobody finished for `KEEP_MS` is removed when another one begins.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Sequence

import msgspec

from penstock.artifacts.files import ArtifactTree
from penstock.artifacts.paths import artifact_root_of, bad_path, parse_path
from penstock.base.clock import now_ms
from penstock.base.errors import Denied, Invalid, NotFound
from penstock.storage.backend import Backend, Writer

FOLDER, RECORD = "uploads", "upload.json"
MAX_PARTS = 10_000
KEEP_MS = 24 * 3_600_000
_ID = re.compile(r"[0-9a-f]{32}\Z")
_ETAG = re.compile(r"[0-9a-f]{64}\Z")


class PartUpload(msgspec.Struct, frozen=True, kw_only=True):
    """A file under way; who knows `secret` may send its parts."""

    id: str
    path: str
    part_count: int
    began_ms: int
    secret: str
    is_complete: bool = False


class PartUploads:
    """Uploads in parts into an artifact tree. Thread-safe as its backend is; several servers may share it."""

    def __init__(self, tree: ArtifactTree, backend: Backend) -> None:
        self._tree, self._backend = tree, backend

    def begin(self, path: str, part_count: int) -> PartUpload:
        """Begin an upload, and remove those that were abandoned.

        Raises:
            Invalid: the path is refused as for `ArtifactTree.writer`, or the count is not in 1 to `MAX_PARTS`.
            Refused: it would be a version's file.
        """
        path = parse_path(path)
        root = artifact_root_of(path)
        self._tree.check_writable(path)
        if root is None or path == root.path:
            raise bad_path()
        if not 1 <= part_count <= MAX_PARTS:
            raise Invalid(
                f"Invalid value {part_count} for parameter 'num_parts' supplied: it must be 1 to {MAX_PARTS}",
                code="request.invalid_value",
            )
        self._sweep()
        upload = PartUpload(
            id=secrets.token_hex(16),
            path=path,
            part_count=part_count,
            began_ms=now_ms(),
            secret=secrets.token_hex(32),
        )
        self._write(upload)
        return upload

    def writer(self, upload_id: str, number: int, secret: str) -> PartWriter:
        """Open a part for writing; sent twice, each is kept until `complete` names the one that counts.

        Raises:
            NotFound: there is no such upload or part.
            Denied: the secret is another one.
        """
        upload = self._get(upload_id)
        if not hmac.compare_digest(upload.secret.encode(), secret.encode()):
            raise Denied("this part's headers are not those that were given", code="artifacts.bad_secret")
        if upload.is_complete or not 1 <= number <= upload.part_count:
            raise _no_upload(upload_id)
        return PartWriter(self._backend, f"{FOLDER}/{upload_id}/{number}")

    def complete(self, upload_id: str, path: str, parts: Sequence[tuple[int, str]]) -> None:
        """Join the parts into the file; done again, it changes nothing.

        Args:
            parts: number and etag of each.

        Raises:
            NotFound: there is no such upload of this path.
            Invalid: a part is missing, or was never sent so.
        """
        upload = self._get(upload_id, path)
        if upload.is_complete:
            return
        names = dict(parts)
        if sorted(number for number, _ in parts) != list(range(1, upload.part_count + 1)):
            raise Invalid(
                f"upload {upload_id} has the parts 1 to {upload.part_count}", code="artifacts.bad_parts"
            )
        keys = []
        total = 0
        for number in range(1, upload.part_count + 1):
            etag = names[number].strip('"')
            key = f"{FOLDER}/{upload_id}/{number}-{etag}"
            size = self._backend.size(key) if _ETAG.match(etag) else None
            if size is None:
                raise Invalid(f"part {number} was not sent with this etag", code="artifacts.bad_parts")
            keys.append(key)
            total += size
        self._join(keys, self._tree.writer(upload.path, total))
        self._write(msgspec.structs.replace(upload, is_complete=True))
        for key in keys:
            self._backend.delete(key)

    def abort(self, upload_id: str, path: str) -> None:
        """Forget an upload and its parts; one that is not there is forgotten already.

        Raises:
            NotFound: it is of another path.
        """
        if self._find(upload_id) is not None:
            self._get(upload_id, path)
            self._backend.delete_tree(f"{FOLDER}/{upload_id}")

    def _join(self, keys: Sequence[str], writer: Writer) -> None:
        try:
            for key in keys:
                for chunk in self._backend.stream(key):
                    writer.write([chunk])
            writer.commit()
        except BaseException:
            writer.abort()
            raise

    def _get(self, upload_id: str, path: str | None = None) -> PartUpload:
        upload = self._find(upload_id)
        if upload is None or (path is not None and parse_path(path) != upload.path):
            raise _no_upload(upload_id)
        return upload

    def _find(self, upload_id: str) -> PartUpload | None:
        if not _ID.match(upload_id):
            raise _no_upload(upload_id)
        try:
            data = self._backend.get(f"{FOLDER}/{upload_id}/{RECORD}")
            return msgspec.json.decode(data, type=PartUpload)
        except (NotFound, msgspec.DecodeError):
            return None

    def _write(self, upload: PartUpload) -> None:
        self._backend.put(f"{FOLDER}/{upload.id}/{RECORD}", msgspec.json.encode(upload))

    def _sweep(self) -> None:
        """Remove uploads that are too old, and parts that came after their upload was aborted."""
        for child in list(self._backend.children(FOLDER)):
            if not _ID.match(child.name):
                continue
            upload = self._find(child.name)
            if upload is None or upload.began_ms < now_ms() - KEEP_MS:
                self._backend.delete_tree(f"{FOLDER}/{child.name}")


class PartWriter:
    """A `Writer` of one part; its `etag` names these bytes and no others that are sent as the same part."""

    def __init__(self, backend: Backend, key: str) -> None:
        self.etag = secrets.token_hex(32)
        self._writer = backend.writer(f"{key}-{self.etag}")

    def write(self, chunks: Sequence[bytes]) -> None:
        """Append chunks of bytes."""
        self._writer.write(chunks)

    def commit(self) -> int:
        """Keep the part under its etag and return its size."""
        return self._writer.commit()

    def abort(self) -> None:
        """Forget the part."""
        self._writer.abort()


def _no_upload(upload_id: str) -> NotFound:
    return NotFound(
        f"there is no upload {upload_id[:40]!r} under way here",
        code="artifacts.no_upload",
        hint="begin it again with mpu/create",
    )
