"""The files of runs, logged models and versions under the paths that clients know them by.

- `<experiment>/<run>/artifacts/…` and `<experiment>/models/<id>/artifacts/…` are files that clients write
  (`ArtifactFiles`), stored below one prefix of a backend.
- `versions/<digest>/…` are the files of a registered version (`VersionFiles`): read-only, made of a manifest
  whose sha256 is the digest, each checked against its own sha256 on the way out.

`ArtifactTree` is both. Every path is parsed here once more, so that no caller can forget it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from penstock.artifacts.paths import artifact_root_of, bad_path, parse_path
from penstock.base.errors import Corrupt, Invalid, NotFound, Refused
from penstock.base.numbers import counted
from penstock.storage.backend import Backend, Child, Entry, Writer
from penstock.storage.content import ContentStore

VERSIONS = "versions"
WHOLE_BYTES = 8 << 20  # a version's file up to this size is checked before its first byte goes out
Manifest = Mapping[str, tuple[str, int]]
"""From a file's path in a version to its sha256 and size."""
_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class OpenFile:
    """A file that is there, before it is read.

    `read(start, length)` yields its bytes; `has_ranges` is False where only the whole file can be read.
    """

    path: str
    size_bytes: int
    read: Callable[[int, int | None], Iterator[bytes]]
    has_ranges: bool = True
    sha256: str | None = None

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]


class ArtifactFiles:
    """Files that clients write, below one prefix of a backend. Thread-safe as its backend is."""

    def __init__(self, backend: Backend, prefix: str = "files") -> None:
        self.backend, self._prefix = backend, prefix

    def _key(self, path: str) -> str:
        """Return the key of a path.

        Raises:
            Invalid: the path is refused, or leads through a symbolic link, wherever that points.
        """
        path = parse_path(path)
        key = f"{self._prefix}/{path}" if path else self._prefix
        if not self.backend.is_plain(key):
            raise bad_path()
        return key

    def writer(self, path: str, size_bytes: int | None = None) -> Writer:
        """Open a file below an artifact root for writing.

        Raises:
            Invalid: the path is refused, or lies in no artifact root.
            Conflict: there is a directory of this name, or a file on the way to it.
        """
        path = parse_path(path)
        root = artifact_root_of(path)
        if root is None or path == root.path:
            raise bad_path()
        return self.backend.writer(self._key(path), size_bytes)

    def open(self, path: str) -> OpenFile:
        """Find a file.

        Raises:
            Invalid: the path is refused, or is a directory.
            NotFound: there is nothing.
        """
        path = parse_path(path)
        key = self._key(path)
        size = self.backend.size(key) if path else None
        if size is None:
            if next(self.backend.children(key), None) is not None:
                raise _is_directory(path)
            raise _no_file(path)
        return OpenFile(path, size, lambda start, length: self.backend.stream(key, start, length))

    def children(self, path: str) -> list[Child]:
        """Return what lies directly in a directory, by name; nothing for a file or what is not there."""
        return _by_name(self.backend.children(self._key(path)))

    def walk(self, path: str) -> Iterator[Entry]:
        """Yield every file below a directory, in no order, under its path from there."""
        key = self._key(path)
        for entry in self.backend.list(key):
            if self.backend.is_plain(entry.key):
                yield entry._replace(key=entry.key[len(key) + 1 :])

    def adopt(self, path: str, content: ContentStore) -> tuple[str, int]:
        """Keep a file in a content store over the same backend; return its sha256 and size.

        Raises:
            Invalid: the path is refused.
            NotFound: there is no such file.
        """
        return content.adopt(self._key(path))

    def delete(self, path: str) -> None:
        """Remove a file, a directory or an artifact root; what is not there is removed already.

        Raises:
            Invalid: the path is refused, or lies in no artifact root.
        """
        path = parse_path(path)
        if artifact_root_of(path) is None:
            raise bad_path()
        key = self._key(path)
        self.backend.delete(key)
        self.backend.delete_tree(key)


class VersionFiles:
    """The files of versions, from the content store; `manifest_of` finds the manifest of a digest."""

    def __init__(self, content: ContentStore, manifest_of: Callable[[str], Manifest | None]) -> None:
        self._content, self._manifest_of = content, manifest_of

    def _manifest(self, path: str) -> tuple[Manifest, str]:
        digest, _, inner = path.partition("/")
        manifest = self._manifest_of(digest) if _DIGEST.fullmatch(digest) else None
        if manifest is None:
            raise _no_file(f"{VERSIONS}/{path}")
        return manifest, inner

    def open(self, path: str) -> OpenFile:
        """Find a file of a version by `<digest>/<path>`; a small one is read and checked at once.

        Raises:
            Invalid: the path is a directory.
            NotFound: there is no such version or file, or the content store lost it.
            Corrupt: what is stored is something else.
        """
        manifest, inner = self._manifest(path)
        found = manifest.get(inner)
        if found is None:
            if any(name.startswith(f"{inner}/") for name in manifest) or not inner:
                raise _is_directory(path)
            raise _no_file(path)
        sha256, size = found
        if size > WHOLE_BYTES:
            stored = self._content.size(sha256)
            if stored is None:
                self._content.check(sha256)  # says that it is lost, as for a small one
            if stored != size:
                raise Corrupt(
                    f"artifact {sha256[:12]} does not have the {counted(size, 'byte')} it should have",
                    code="storage.artifact_corrupt",
                    digest=sha256,
                )
            stream = self._content.stream
            return OpenFile(
                path, size, lambda _start, _length: stream(sha256), has_ranges=False, sha256=sha256
            )
        data = self._content.get(sha256)

        def read(start: int, length: int | None) -> Iterator[bytes]:
            yield data[start : None if length is None else start + length]

        return OpenFile(path, len(data), read, sha256=sha256)

    def children(self, path: str) -> list[Child]:
        """Return what lies directly in a directory of a version, by name.

        Raises:
            NotFound: there is no such version.
        """
        manifest, inner = self._manifest(path)
        start = len(inner) + 1 if inner else 0
        found: dict[str, Child] = {}
        for name, (_, size) in manifest.items():
            if name.startswith(f"{inner}/" if inner else ""):
                child, below, _ = name[start:].partition("/")
                found[child] = Child(child, None if below else size)
        return _by_name(found.values())


class ArtifactTree:
    """Both kinds of files under one root; `versions` is the folder of the read-only ones."""

    def __init__(self, files: ArtifactFiles, versions: VersionFiles) -> None:
        self.files, self.versions = files, versions

    def open(self, path: str) -> OpenFile:
        """Find a file; raises as the two do."""
        path = parse_path(path)
        inner = _in_versions(path)
        return self.files.open(path) if inner is None else self.versions.open(inner)

    def children(self, path: str) -> list[Child]:
        """Return what lies directly in a directory, by name."""
        path = parse_path(path)
        inner = _in_versions(path)
        return self.files.children(path) if inner is None else self.versions.children(inner)

    def writer(self, path: str, size_bytes: int | None = None) -> Writer:
        """Open a file for writing.

        Raises:
            Refused: it would be a version's file.
        """
        self.check_writable(path)
        return self.files.writer(path, size_bytes)

    def delete(self, path: str) -> None:
        """Remove a file or a directory.

        Raises:
            Refused: it is a version's.
        """
        self.check_writable(path)
        self.files.delete(path)

    def check_writable(self, path: str) -> None:
        """Check that a path is not a version's.

        Raises:
            Refused: it is.
        """
        if _in_versions(parse_path(path)) is not None:
            raise Refused(
                "the files of a registered version are fixed",
                code="artifacts.version_fixed",
                hint="log the files to a run or a model and register a new version",
            )


def _by_name(children: Iterable[Child]) -> list[Child]:
    return sorted(children, key=lambda child: (child.name, child.is_directory))


def _in_versions(path: str) -> str | None:
    head, _, inner = path.partition("/")
    return inner if head == VERSIONS else None


def _is_directory(path: str) -> Invalid:
    return Invalid(
        f"Artifact path refers to a directory, not a file: '{path}'", code="artifacts.is_directory", path=path
    )


def _no_file(path: str) -> NotFound:
    return NotFound(f"No such artifact: '{path}'", code="artifacts.missing", path=path)
