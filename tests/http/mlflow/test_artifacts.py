"""The artifact proxy over a real socket."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import contracts.artifact_server
from contracts.artifact_server import PROXY, ROOT, Proxy, run_proxy
from patience import PATIENCE_S
from penstock.access.roles import Role
from penstock.storage.local import STAGING
from penstock.storage.resolve import open_backend
from servers.ports import reserve
from servers.s3 import S3Server
from stories.live import wait_until
from tables import table

AJAX = PROXY.replace("/api/", "/ajax-api/")
MEBIBYTE = 1 << 20


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with run_proxy(open_backend(str(tmp_path / "store"))) as running:
        yield running


def listing(proxy: Proxy, path: str) -> object:
    status, _, body = proxy.ask("GET", f"{PROXY}?path={path}")
    assert status == 200
    return json.loads(body)


def error_of(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, str]:
    return answer[0], json.loads(answer[2])["error_code"]


@pytest.mark.parametrize("prefix", [PROXY, AJAX])
def test_a_file_goes_up_down_and_away(proxy: Proxy, prefix: str) -> None:
    data = os.urandom(5 * MEBIBYTE + 17)
    url = f"{prefix}/{ROOT}/model/m.pkl"
    assert proxy.ask("PUT", url, data)[0] == 200
    status, headers, body = proxy.ask("GET", url)
    assert (status, body) == (200, data)
    assert headers["content-length"] == str(len(data))
    assert proxy.ask("HEAD", url)[:2] == (200, headers)
    assert proxy.ask("PUT", url, b"")[0] == 200
    assert proxy.ask("GET", url)[::2] == (200, b"")
    assert proxy.ask("DELETE", url)[::2] == (200, b"{}")
    assert error_of(proxy.ask("GET", url)) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_a_listing_is_one_level_sorted_and_relative(proxy: Proxy) -> None:
    for name in ("b.txt", "a/x/y", "c"):
        proxy.ask("PUT", f"{PROXY}/{ROOT}/{name}", name.encode())
    assert listing(proxy, ROOT) == {
        "files": [
            {"path": "a", "is_dir": True},
            {"path": "b.txt", "is_dir": False, "file_size": 5},
            {"path": "c", "is_dir": False, "file_size": 1},
        ]
    }
    assert listing(proxy, f"{ROOT}/c") == listing(proxy, f"{ROOT}/nothing") == {}
    assert listing(proxy, f"{ROOT}/a/") == {"files": [{"path": "x", "is_dir": True}]}


@pytest.mark.parametrize("name", ["a b", "ü", "q'\"", "a+b&c=d", "100%", "?"])
def test_odd_names_come_back_as_they_were(proxy: Proxy, name: str) -> None:
    quoted = "".join(f"%{byte:02x}" for byte in name.encode())
    assert proxy.ask("PUT", f"{PROXY}/{ROOT}/d/{quoted}", b"x")[0] == 200
    assert listing(proxy, f"{ROOT}/d") == {"files": [{"path": name, "is_dir": False, "file_size": 1}]}
    status, headers, body = proxy.ask("GET", f"{PROXY}/{ROOT}/d/{quoted}")
    assert (status, body) == (200, b"x")
    assert headers["content-disposition"].isascii()


@pytest.mark.parametrize(
    ("asked", "status", "said", "sent"),
    [
        ("bytes=2-4", 206, "bytes 2-4/10", b"234"),
        ("bytes=7-", 206, "bytes 7-9/10", b"789"),
        ("bytes=-3", 206, "bytes 7-9/10", b"789"),
        ("bytes=-99", 206, "bytes 0-9/10", b"0123456789"),
        ("bytes=8-99", 206, "bytes 8-9/10", b"89"),
        ("bytes=10-", 416, "bytes */10", b""),
        ("bytes=-0", 416, "bytes */10", b""),
        ("bytes=4-2", 200, None, b"0123456789"),
        ("bytes=0-1,3-4", 200, None, b"0123456789"),
        ("lines=0-1", 200, None, b"0123456789"),
    ],
)
def test_a_range_is_answered(proxy: Proxy, asked: str, status: int, said: str | None, sent: bytes) -> None:
    proxy.ask("PUT", f"{PROXY}/{ROOT}/f", b"0123456789")
    answer = proxy.ask("GET", f"{PROXY}/{ROOT}/f", headers={"Range": asked})
    assert (answer[0], answer[1].get("content-range"), answer[2]) == (status, said, sent)


def test_what_is_sent_is_never_shown_inline(proxy: Proxy) -> None:
    proxy.ask("PUT", f"{PROXY}/{ROOT}/evil.html", b"<script>")
    for url in (f"{PROXY}/{ROOT}/evil.html", "/get-artifact?path=evil.html"):
        status, headers, _ = proxy.ask("GET", url)
        assert status == 200
        assert headers["content-disposition"] == 'attachment; filename="evil.html"'
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("sandbox;")


def test_a_directory_and_a_file_do_not_share_a_name(proxy: Proxy) -> None:
    proxy.ask("PUT", f"{PROXY}/{ROOT}/d/f", b"x")
    assert error_of(proxy.ask("PUT", f"{PROXY}/{ROOT}/d", b"y")) == (409, "RESOURCE_CONFLICT")
    assert error_of(proxy.ask("PUT", f"{PROXY}/{ROOT}/d/f/g", b"y")) == (409, "RESOURCE_CONFLICT")
    assert error_of(proxy.ask("GET", f"{PROXY}/{ROOT}/d")) == (400, "INVALID_PARAMETER_VALUE")
    assert proxy.ask("GET", f"{PROXY}/{ROOT}/d/f")[2] == b"x"


def test_a_directory_is_deleted_with_all_it_holds(proxy: Proxy) -> None:
    for name in ("d/f", "d/e/g", "h"):
        proxy.ask("PUT", f"{PROXY}/{ROOT}/{name}", b"x")
    assert proxy.ask("DELETE", f"{PROXY}/{ROOT}/d")[0] == 200
    assert listing(proxy, ROOT) == {"files": [{"path": "h", "is_dir": False, "file_size": 1}]}


@pytest.mark.parametrize("path", ["", "7", "7/run", "7/run/other/f", "7/models/m", "7/models/artifacts/f"])
def test_only_what_lies_in_an_artifact_root_is_written(proxy: Proxy, path: str) -> None:
    proxy.ask("PUT", f"{PROXY}/{ROOT}/f", b"x")
    for method in ("PUT", "DELETE"):
        assert error_of(proxy.ask(method, f"{PROXY}/{path}", b"")) == (400, "INVALID_PARAMETER_VALUE")
    assert proxy.ask("GET", f"{PROXY}/{ROOT}/f")[2] == b"x"


MOVES = [
    (method, route, role)
    for prefix in ("/api/2.0", "/ajax-api/2.0")
    for method, route, role in [
        ("GET", f"{prefix}/mlflow-artifacts/artifacts/{ROOT}/f", "reader"),
        ("HEAD", f"{prefix}/mlflow-artifacts/artifacts/{ROOT}/f", "reader"),
        ("PUT", f"{prefix}/mlflow-artifacts/artifacts/{ROOT}/f", "writer"),
        ("DELETE", f"{prefix}/mlflow-artifacts/artifacts/{ROOT}/f", "admin"),
        ("GET", f"{prefix}/mlflow-artifacts/artifacts?path={ROOT}/f", "reader"),
        ("GET", f"{prefix}/mlflow-artifacts/presigned/{ROOT}/f", "reader"),
        ("POST", f"{prefix}/mlflow-artifacts/mpu/create/{ROOT}/f", "writer"),
        ("POST", f"{prefix}/mlflow-artifacts/mpu/complete/{ROOT}/f", "writer"),
        ("POST", f"{prefix}/mlflow-artifacts/mpu/abort/{ROOT}/f", "writer"),
    ]
]


@table(("method", "url", "role"), MOVES)
def test_the_guard_is_asked_first_on_every_route(proxy: Proxy, method: str, url: str, role: Role) -> None:
    proxy.ask("PUT", f"{PROXY}/{ROOT}/f", b"x")
    proxy.seen.clear()
    proxy.is_closed = True
    assert proxy.ask(method, url.replace("/f", "/./f/"), b"y" if role != "reader" else None)[0] == 403
    assert proxy.seen == [(f"{ROOT}/f", role)]
    proxy.is_closed = False
    assert proxy.ask("GET", f"{PROXY}/{ROOT}/f")[2] == b"x"


def test_what_is_not_offered_says_so(proxy: Proxy) -> None:
    assert error_of(proxy.ask("GET", f"/api/2.0/mlflow-artifacts/presigned/{ROOT}/f")) == (
        501,
        "NOT_IMPLEMENTED",
    )


def test_other_routes_reach_one_artifact_root(proxy: Proxy) -> None:
    assert proxy.ask("POST", "/upload-artifact?path=d/f.txt", b"hello")[0] == 200
    assert json.loads(proxy.ask("GET", "/list")[2]) == [{"path": "d", "is_dir": True}]
    assert json.loads(proxy.ask("GET", "/list?path=d")[2]) == [
        {"path": "d/f.txt", "is_dir": False, "file_size": 5}
    ]
    assert proxy.ask("GET", "/get-artifact?path=d/f.txt")[2] == b"hello"
    assert error_of(proxy.ask("GET", "/get-artifact?path=d")) == (400, "INVALID_PARAMETER_VALUE")
    assert error_of(proxy.ask("GET", "/get-artifact?path=d&path=e")) == (400, "INVALID_PARAMETER_VALUE")
    assert error_of(proxy.ask("POST", "/upload-artifact?path=g", b"")) == (400, "INVALID_PARAMETER_VALUE")
    large = bytes(10 * MEBIBYTE + 1)
    assert error_of(proxy.ask("POST", "/upload-artifact?path=g", large)) == (400, "INVALID_PARAMETER_VALUE")
    assert proxy.ask("GET", "/get-artifact?path=g")[0] == 404


def start_upload(port: int, sent: int, declared: int = 64 * MEBIBYTE) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    head = f"PUT {PROXY}/{ROOT}/part HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {declared}\r\n\r\n"
    client.sendall(head.encode() + bytes(sent))
    return client


def wait_for_parts(root: Path, count: int, *, at_least: int = 0) -> list[Path]:
    found: list[Path] = []

    def are_there() -> bool:
        found[:] = (root / STAGING).glob("*")
        return len(found) == count and all(path.stat().st_size >= at_least for path in found)

    wait_until(are_there)
    return found


@pytest.mark.parametrize("sent", [0, 100, 20 * MEBIBYTE])
def test_a_client_that_dies_leaves_nothing(proxy: Proxy, tmp_path: Path, sent: int) -> None:
    store = tmp_path / "store"
    with start_upload(proxy.port, sent):
        wait_for_parts(store, 1)
        assert proxy.ask("GET", f"{PROXY}/{ROOT}/part")[0] == 404
    wait_for_parts(store, 0)
    assert proxy.ask("GET", f"{PROXY}/{ROOT}/part")[0] == 404
    assert listing(proxy, ROOT) == {}


def run_program(root: Path) -> tuple[subprocess.Popen[bytes], int]:
    port = reserve()
    program = contracts.artifact_server.__file__
    found = {**os.environ, "PYTHONPATH": str(Path(program).parents[1])}
    running = subprocess.Popen([sys.executable, program, str(port), str(root)], env=found)

    def answers() -> bool:
        assert running.poll() is None
        try:
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S).close()
        except OSError:
            return False
        return True

    wait_until(answers)
    return running, port


def test_a_server_that_is_killed_leaves_nothing_after_the_next_upload(tmp_path: Path) -> None:
    store = tmp_path / "store"
    first, port = run_program(store)
    client = start_upload(port, 20 * MEBIBYTE)
    wait_for_parts(store, 1, at_least=8 * MEBIBYTE)
    second, other = run_program(store)
    try:
        running = start_upload(other, 20 * MEBIBYTE)  # a living writer, which must not be swept away
        wait_for_parts(store, 2)
        first.kill()
        first.wait()
        client.close()
        with run_proxy(open_backend(str(store))) as proxy:
            assert proxy.ask("GET", f"{PROXY}/{ROOT}/part")[0] == 404
            assert proxy.ask("PUT", f"{PROXY}/{ROOT}/whole", b"x")[0] == 200
            wait_for_parts(store, 1)
            running.sendall(bytes(44 * MEBIBYTE))
            assert running.recv(100).startswith(b"HTTP/1.1 200")
            wait_for_parts(store, 0)
            assert int(proxy.ask("HEAD", f"{PROXY}/{ROOT}/part")[1]["content-length"]) == 64 * MEBIBYTE
    finally:
        second.kill()
        second.wait()
        running.close()


@pytest.mark.slow
def test_the_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    size, part = 600 * MEBIBYTE, os.urandom(MEBIBYTE)
    server, port = run_program(tmp_path / "store")
    try:
        with start_upload(port, 0, size) as client:
            for _ in range(size // MEBIBYTE):
                client.sendall(part)
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        proxy = Proxy(open_backend(str(tmp_path / "store")), port)
        status, _, body = proxy.ask("GET", f"{PROXY}/{ROOT}/part")
        assert status == 200
        assert len(body) == size
        peak = next(
            int(line.split()[1])
            for line in Path(f"/proc/{server.pid}/status").read_text().splitlines()
            if line.startswith("VmHWM")
        )
        assert peak < 150 << 10
    finally:
        server.kill()
        server.wait()


@pytest.mark.slow
def test_it_works_over_an_object_store(s3_server: S3Server) -> None:
    backend = open_backend(f"s3://{s3_server.make_bucket()}/p", s3_server.options())
    with run_proxy(backend) as proxy:
        data = os.urandom(40 * MEBIBYTE)
        assert proxy.ask("PUT", f"{PROXY}/{ROOT}/d/big", data)[0] == 200
        assert proxy.ask("PUT", f"{PROXY}/{ROOT}/small", b"x")[0] == 200
        assert proxy.ask("GET", f"{PROXY}/{ROOT}/d/big")[2] == data
        answer = proxy.ask("GET", f"{PROXY}/{ROOT}/d/big", headers={"Range": "bytes=-5"})
        assert answer[::2] == (206, data[-5:])
        assert listing(proxy, ROOT) == {
            "files": [
                {"path": "d", "is_dir": True},
                {"path": "small", "is_dir": False, "file_size": 1},
            ]
        }
        with start_upload(proxy.port, 40 * MEBIBYTE):
            pass
        assert proxy.ask("DELETE", f"{PROXY}/{ROOT}/d")[0] == 200
        assert [entry.key for entry in backend.list("")] == [f"files/{ROOT}/small"]
