"""Files that arrive in parts: whole or not at all, by whoever was allowed to begin."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from contracts.artifact_server import PROXY, ROOT, Proxy, run_proxy
from penstock.artifacts.parts import KEEP_MS, PartUpload
from penstock.storage.resolve import open_backend
from tables import table

MPU = "/api/2.0/mlflow-artifacts/mpu"
DATA = os.urandom(2_500_000)
SIZE = 1_000_000


@pytest.fixture(params=["local", "memory"])
def proxy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Proxy]:
    place = str(tmp_path / "store") if request.param == "local" else "memory://parts"
    with run_proxy(open_backend(place)) as running:
        yield running


def post(proxy: Proxy, verb: str, folder: str = ROOT, **body: Any) -> tuple[int, Any]:
    headers = {"Content-Type": "application/json"}
    status, _, answer = proxy.ask("POST", f"{MPU}/{verb}/{folder}", json.dumps(body).encode(), headers)
    return status, json.loads(answer)


def begin(proxy: Proxy, name: str = "m.bin", count: int = 3) -> dict[str, Any]:
    status, made = post(proxy, "create", path=f"/home/me/{name}", num_parts=count)
    assert status == 200, made
    return made


def send(proxy: Proxy, credential: dict[str, Any], data: bytes) -> tuple[int, str]:
    status, headers, _ = proxy.ask("PUT", urlsplit(credential["url"]).path, data, credential["headers"])
    return status, headers.get("etag", "")


def send_all(proxy: Proxy, made: dict[str, Any]) -> list[dict[str, Any]]:
    parts = []
    for one in reversed(made["credentials"]):
        number = one["part_number"]
        status, etag = send(proxy, one, DATA[(number - 1) * SIZE : number * SIZE])
        assert status == 200
        parts.append({"part_number": number, "etag": etag, "url": one["url"]})
    return parts


def kept(proxy: Proxy) -> list[str]:
    return sorted(entry.key for entry in proxy.backend.list(""))


def test_parts_become_one_file(proxy: Proxy) -> None:
    made = begin(proxy)
    assert [one["part_number"] for one in made["credentials"]] == [1, 2, 3]
    assert {urlsplit(one["url"]).port for one in made["credentials"]} == {proxy.port}
    parts = send_all(proxy, made)
    assert proxy.ask("GET", f"{PROXY}?path={ROOT}")[2] == b"{}"
    wanted = {"path": "/home/me/m.bin", "upload_id": made["upload_id"], "parts": parts}
    for _ in range(2):
        assert post(proxy, "complete", **wanted) == (200, {})
    assert proxy.ask("GET", f"{PROXY}/{ROOT}/m.bin")[2] == DATA
    assert len(kept(proxy)) == 2
    assert post(proxy, "abort", path="m.bin", upload_id=made["upload_id"])[0] == 200
    assert proxy.ask("GET", f"{PROXY}/{ROOT}/m.bin")[2] == DATA


def test_the_part_that_counts_is_the_one_whose_etag_is_named(proxy: Proxy) -> None:
    made = begin(proxy, count=1)
    (one,) = made["credentials"]
    first, second = (send(proxy, one, data)[1] for data in (b"first", b"second"))
    assert first != second
    parts = [{"part_number": 1, "etag": first}]
    assert post(proxy, "complete", path="m.bin", upload_id=made["upload_id"], parts=parts)[0] == 200
    assert proxy.ask("GET", f"{PROXY}/{ROOT}/m.bin")[2] == b"first"


def test_an_aborted_upload_leaves_nothing(proxy: Proxy) -> None:
    made = begin(proxy)
    parts = send_all(proxy, made)
    upload = {"path": "m.bin", "upload_id": made["upload_id"]}
    for _ in range(2):
        assert post(proxy, "abort", **upload) == (200, {})
    assert kept(proxy) == []
    assert post(proxy, "complete", **upload, parts=parts)[0] == 404
    assert send(proxy, made["credentials"][0], b"x")[0] == 404
    assert kept(proxy) == []


def test_an_abandoned_upload_goes_when_another_begins(proxy: Proxy) -> None:
    made = begin(proxy)
    send_all(proxy, made)
    key = f"uploads/{made['upload_id']}/upload.json"
    record = msgspec.json.decode(proxy.backend.get(key), type=PartUpload)
    old = msgspec.structs.replace(record, began_ms=record.began_ms - KEEP_MS - 1)
    proxy.backend.put(key, msgspec.json.encode(old))
    other = begin(proxy, "other.bin")
    assert all(name.startswith(f"uploads/{other['upload_id']}/") for name in kept(proxy))


def test_only_who_has_the_secret_sends_parts(proxy: Proxy) -> None:
    made, other = begin(proxy), begin(proxy, "other.bin")
    one = made["credentials"][0]
    assert send(proxy, {**one, "headers": {}}, b"x")[0] == 403
    assert send(proxy, {**one, "headers": other["credentials"][0]["headers"]}, b"x")[0] == 403
    for url in ("4", "0", "x", "1/../2", "-1", "1" * 30):
        path = urlsplit(one["url"]).path.removesuffix("/1")
        assert send(proxy, {**one, "url": f"http://h{path}/{url}"}, b"x")[0] in {404, 405}
    assert made["credentials"][0]["headers"] != made["upload_id"]


def test_an_upload_belongs_to_its_path(proxy: Proxy) -> None:
    made = begin(proxy)
    parts = send_all(proxy, made)
    elsewhere = ROOT.replace("run", "other")
    for folder, path in ((elsewhere, "m.bin"), (ROOT, "n.bin"), (f"{ROOT}/d", "m.bin")):
        for verb in ("complete", "abort"):
            asked = {"path": path, "upload_id": made["upload_id"], "parts": parts}
            assert post(proxy, verb, folder, **asked)[0] == 404
    assert len(kept(proxy)) == 4


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [(1, None), (2, None)],
        [(1, None), (2, None), (2, None)],
        [(1, None), (2, None), (3, None), (4, None)],
        [(1, None), (2, None), (3, "0" * 64)],
        [(1, None), (2, None), (3, "../../x")],
        [(1, None), (2, None), (3, "")],
    ],
)
def test_what_was_not_sent_is_not_joined(proxy: Proxy, parts: list[tuple[int, str | None]]) -> None:
    made = begin(proxy)
    etags = {one["part_number"]: one["etag"] for one in send_all(proxy, made)}
    named = [
        {"part_number": number, "etag": etags.get(number, "") if etag is None else etag}
        for number, etag in parts
    ]
    before = kept(proxy)
    status, error = post(proxy, "complete", path="m.bin", upload_id=made["upload_id"], parts=named)
    assert (status, error["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert kept(proxy) == before


@table(
    ("folder", "body"),
    [
        (ROOT, {}),
        (ROOT, {"path": "f", "num_parts": 0}),
        (ROOT, {"path": "f", "num_parts": 10_001}),
        (ROOT, {"path": "f", "num_parts": "many"}),
        (ROOT, {"path": "", "num_parts": 1}),
        (ROOT, {"path": "a/..", "num_parts": 1}),
        (ROOT, {"path": "..%2f..%2ff", "num_parts": 1}),
        (f"{ROOT}/../../x", {"path": "f", "num_parts": 1}),
        ("7/run", {"path": "artifacts", "num_parts": 1}),
        ("7", {"path": "f", "num_parts": 1}),
    ],
)
def test_a_place_that_cannot_be_written_is_refused(proxy: Proxy, folder: str, body: dict[str, Any]) -> None:
    status, error = post(proxy, "create", folder, **body)
    assert (status, error["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert kept(proxy) == []


def test_a_version_is_not_written(proxy: Proxy) -> None:
    digest = proxy.register({"w.bin": b"x"})
    assert post(proxy, "create", f"versions/{digest}", path="w.bin", num_parts=1)[0] == 403
