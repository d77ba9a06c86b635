"""Web servers that give less: no ETag, no HEAD; and what they refuse is not called absent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from penstock.base.errors import Denied, PenstockError, Unavailable
from penstock.data.repository import DataRepository
from penstock.data.verbs.creation import init_repository
from penstock.flows.sources.imports import ImportOptions, import_url, update_import
from penstock.flows.sources.urls import download_url, open_remote
from penstock.storage.resolve import open_backend


class Plain(SimpleHTTPRequestHandler):
    """Python's own server, which sends no ETag; a first part `head-405` of a path says what HEAD is answered with."""

    def log_message(self, format: str, *args: object) -> None:
        return

    def _refused(self, method: str) -> bool:
        for part in self.path.strip("/").split("/")[:-1]:
            kind, _, code = part.partition("-")
            if kind in {method, "both"}:
                self.send_error(int(code))
                return True
        self.path = "/" + self.path.rpartition("/")[2]
        return False

    def do_HEAD(self) -> None:
        if not self._refused("head"):
            super().do_HEAD()

    def do_GET(self) -> None:
        if not self._refused("get"):
            super().do_GET()


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The server's address and the directory that it serves."""
    root = tmp_path_factory.mktemp("web")
    (root / "a.csv").write_text("1,2\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Plain, directory=str(root))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", root
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("code", [403, 405, 501])
def test_where_head_is_refused_get_tells(web: tuple[str, Path], tmp_path: Path, code: int) -> None:
    with open_remote(None, f"{web[0]}/head-{code}/a.csv") as source:
        download_url(source, tmp_path / "got")
    assert (tmp_path / "got").read_text() == "1,2\n"


@pytest.mark.parametrize(
    ("code", "kind"), [(401, Denied), (403, Denied), (405, Unavailable), (410, Unavailable)]
)
def test_what_is_refused_is_not_called_absent(
    web: tuple[str, Path], code: int, kind: type[PenstockError]
) -> None:
    backend = open_backend(f"{web[0]}/both-{code}", {"retries": "0"})
    with pytest.raises(kind):
        backend.find("a.csv")
    with pytest.raises(kind):
        backend.get("a.csv")
    backend.close()
    backend = open_backend(web[0], {})
    assert backend.find("other.csv") is None
    backend.close()


def test_without_an_etag_the_content_tells_one_state_from_the_next(
    web: tuple[str, Path], tmp_path: Path
) -> None:
    url, root = web
    init_repository(tmp_path, no_scm=True)
    repo = DataRepository.open(tmp_path)
    (root / "b.csv").write_text("1\n")
    options = ImportOptions()
    pointer = import_url(repo, f"{url}/b.csv", tmp_path / "b.csv", options, base=tmp_path)
    assert "md5: b026324c6904b2a9cb4b88d6d61c81d1" in pointer.read_text()
    (root / "b.csv").write_text("2\n")
    update_import(repo, pointer, options)
    assert (tmp_path / "b.csv").read_text() == "2\n"
    repo.close()
