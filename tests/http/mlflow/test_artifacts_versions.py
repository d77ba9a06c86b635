"""The files of registered versions through the proxy: read-only, and never other than their manifest says."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.artifact_server import PROXY, Proxy, run_proxy
from penstock.artifacts.files import WHOLE_BYTES
from penstock.base.digest import digest_bytes
from penstock.storage.resolve import open_backend

SMALL, LARGE = b"flavors: {}", os.urandom(WHOLE_BYTES + (3 << 20) + 1)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with run_proxy(open_backend(str(tmp_path / "store"))) as running:
        yield running


@pytest.fixture
def version(proxy: Proxy) -> str:
    digest = proxy.register({"MLmodel": SMALL, "data/w.bin": LARGE, "data/empty": b""})
    return f"{PROXY}/versions/{digest}"


def blob(tmp_path: Path, data: bytes) -> Path:
    digest = digest_bytes(data)
    return tmp_path / "store" / "objects" / digest[:2] / digest[2:]


def test_a_version_is_listed_from_its_manifest(proxy: Proxy, version: str) -> None:
    folder = version.removeprefix(f"{PROXY}/")
    assert json.loads(proxy.ask("GET", f"{PROXY}?path={folder}")[2]) == {
        "files": [
            {"path": "MLmodel", "is_dir": False, "file_size": len(SMALL)},
            {"path": "data", "is_dir": True},
        ]
    }
    assert json.loads(proxy.ask("GET", f"{PROXY}?path={folder}/data")[2]) == {
        "files": [
            {"path": "empty", "is_dir": False, "file_size": 0},
            {"path": "w.bin", "is_dir": False, "file_size": len(LARGE)},
        ]
    }
    assert json.loads(proxy.ask("GET", f"{PROXY}?path={folder}/MLmodel")[2]) == {}


def test_its_files_are_read(proxy: Proxy, version: str) -> None:
    status, headers, body = proxy.ask("GET", f"{version}/MLmodel")
    assert (status, body, headers["etag"]) == (200, SMALL, f'"{digest_bytes(SMALL)}"')
    assert proxy.ask("GET", f"{version}/data/w.bin")[::2] == (200, LARGE)
    assert proxy.ask("GET", f"{version}/data/empty")[::2] == (200, b"")
    assert proxy.ask("GET", f"{version}/MLmodel", headers={"Range": "bytes=0-2"})[::2] == (206, SMALL[:3])
    status, headers, body = proxy.ask("GET", f"{version}/data/w.bin", headers={"Range": "bytes=0-2"})
    assert (status, headers["accept-ranges"], body) == (200, "none", LARGE)


def test_what_a_version_does_not_hold_is_not_found(proxy: Proxy, version: str) -> None:
    unknown = f"{PROXY}/versions/{'0' * 64}/MLmodel"
    for url in (f"{version}/other", unknown, f"{PROXY}/versions/x/MLmodel", f"{PROXY}/versions/x"):
        assert proxy.ask("GET", url)[0] == 404
    assert proxy.ask("GET", f"{version}/data")[0] == 400
    assert proxy.ask("GET", f"{PROXY}?path=versions/{'0' * 64}")[0] == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("name", ["MLmodel", "new", "", "1/artifacts/f", "artifacts/f"])
def test_a_version_cannot_be_changed(proxy: Proxy, version: str, method: str, name: str) -> None:
    status, _, body = proxy.ask(method, f"{version}/{name}", b"x")
    assert (status, json.loads(body)["error_code"]) == (403, "PERMISSION_DENIED")
    assert proxy.ask("GET", f"{version}/MLmodel")[2] == SMALL


@pytest.mark.parametrize("changed", [b"flavors: []", b"short", b""])
def test_a_small_file_that_was_changed_is_not_sent(
    proxy: Proxy, version: str, tmp_path: Path, changed: bytes
) -> None:
    path = blob(tmp_path, SMALL)
    path.unlink()
    path.write_bytes(changed)
    status, _, body = proxy.ask("GET", f"{version}/MLmodel")
    assert (status, json.loads(body)["error_code"]) == (500, "DATA_LOSS")
    path.unlink()
    assert proxy.ask("GET", f"{version}/MLmodel")[0] == 404


@pytest.mark.parametrize("place", [0, len(LARGE) // 2, len(LARGE) - 1])
def test_a_large_file_that_was_changed_is_never_received_whole(
    proxy: Proxy, version: str, tmp_path: Path, place: int
) -> None:
    changed = bytearray(LARGE)
    changed[place] ^= 1
    path = blob(tmp_path, LARGE)
    path.unlink()
    path.write_bytes(changed)
    with pytest.raises(http.client.IncompleteRead) as caught:
        proxy.ask("GET", f"{version}/data/w.bin")
    assert len(caught.value.partial) < len(LARGE)
    path.write_bytes(changed[:-1])
    assert proxy.ask("GET", f"{version}/data/w.bin")[0] == 500
    assert proxy.ask("GET", f"{version}/MLmodel")[2] == SMALL
