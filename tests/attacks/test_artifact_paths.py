"""Paths that try to leave the artifact store: all answered with a 4xx, nothing outside is read or changed.

Source: the published advisories of MLflow's artifact routes, among them CVE-2023-1177, CVE-2023-6831,
CVE-2023-6909, CVE-2023-6015, CVE-2024-1558, CVE-2024-1560, CVE-2024-1593, CVE-2024-3573, CVE-2024-3848,
CVE-2026-2651.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from contracts.artifact_server import ROOT, Proxy, run_proxy
from penstock.storage.resolve import open_backend
from tables import table

PREFIXES = ["/api/2.0/mlflow-artifacts", "/ajax-api/2.0/mlflow-artifacts"]
SECRET = b"outside the artifact store"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("attack")


@pytest.fixture(scope="module")
def running(place: Path) -> Iterator[Proxy]:
    with run_proxy(open_backend(str(place / "store"))) as running:
        running.ask("PUT", f"{PREFIXES[0]}/artifacts/{ROOT}/kept", b"kept")
        running.register({"MLmodel": b"x"})
        (place / "secret").write_bytes(SECRET)
        (place / "store" / "inside").write_bytes(SECRET)
        yield running


def snapshot(place: Path) -> dict[str, bytes | str]:
    found: dict[str, bytes | str] = {}
    for path in sorted(place.rglob("*")):
        name = str(path.relative_to(place))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file():
            found[name] = path.read_bytes()
        elif path.name != ".penstock-tmp":
            found[name] = "directory"
    return found


@pytest.fixture
def proxy(running: Proxy, place: Path) -> Iterator[Proxy]:
    before = snapshot(place)
    yield running
    assert snapshot(place) == before


CLIMBS = [
    "../secret",
    "../../secret",
    "..",
    "../",
    f"{ROOT}/..",
    f"{ROOT}/../../../../secret",
    f"{ROOT}/x/../../../../../secret",
    f"{ROOT}/./../../../../secret",
    f"{ROOT}//../../../../secret",
    f"{ROOT}/..;/..;/..;/..;/secret",
    f"{ROOT}/x;/../../../../../secret",
    f"{ROOT}/..;x=y/secret",
    f"{ROOT}/a?/../../../../../secret",
    f"{ROOT}/#/../../../../../secret",
    f"{ROOT}/artifact#",
    "/etc/passwd",
    "//etc/passwd",
    "//proc/self/root/etc/passwd",
    "file:///etc/passwd",
    "file:/etc/passwd",
    "FILE://localhost/etc/passwd",
    "file:",
    "C:/Windows/win.ini",
    "C:\\Windows\\win.ini",
    "c:",
    f"{ROOT}/C:/x",
    "\\\\server\\share",
    "\\..\\..\\secret",
    f"{ROOT}/..\\..\\..\\..\\secret",
    f"{ROOT}/a\\b",
    f"{ROOT}/secret\0",
    f"{ROOT}/\0/../../secret",
    f"{ROOT}/a\nb",
    f"{ROOT}/a\x7fb",
    f"{ROOT}/{'a' * 300}",
    f"{ROOT}/{'a/' * 500}b",
    "mlflow-artifacts://host:9000/models/..%2f..%2fartifacts",
    f"{ROOT}/artifact%00",
    "dbfs:/R/artifacts/a%3f/../../..",
    "s3a://b/x/../../..",
    "http://h/models/../../../",
    "versions/../../secret",
    f"versions/{'a' * 64}/../../../secret",
]
RAW = [
    "%2e%2e/%2e%2e/secret",
    "%2e%2e%2f%2e%2e%2fsecret",
    "%252e%252e%252f%252e%252e%252fsecret",
    "%25252e%25252e%25252fsecret",
    "%c0%ae%c0%ae/%c0%ae%c0%ae/secret",
    "%25c0%25ae%25c0%25ae%25c0%25afsecret",
    "..%c0%afsecret",
    "..%255c..%255csecret",
    f"{ROOT}/%ff",
    f"{ROOT}/%2500",
    f"{ROOT}/%250a",
    "%2fetc/passwd",
    "%252fetc/passwd",
    f"{ROOT}/%23/../x",
    "/".join(["%" + "25" * 15 + "2e%" + "25" * 15 + "2e", "secret"]),
]
TWICE = [quote(quote(path, safe=""), safe="") for path in CLIMBS if path not in {f"{ROOT}/artifact%00"}]
TARGETS = [quote(path, safe="/;") for path in CLIMBS] + TWICE + RAW


def is_refused(answer: tuple[int, dict[str, str], bytes]) -> bool:
    status, _, body = answer
    return 400 <= status < 500 and SECRET not in body and b"root:" not in body


@table("prefix", PREFIXES)
@table("target", TARGETS)
def test_no_path_leaves_the_store(proxy: Proxy, place: Path, prefix: str, target: str) -> None:
    before = snapshot(place)
    url = f"{prefix}/artifacts/{target}"
    for method, body in (("GET", None), ("HEAD", None), ("PUT", b"x"), ("DELETE", None)):
        assert is_refused(proxy.ask(method, url, body)), method
    assert is_refused(proxy.ask("GET", f"{prefix}/presigned/{target}"))
    for verb in ("create", "complete", "abort"):
        assert is_refused(proxy.ask("POST", f"{prefix}/mpu/{verb}/{target}", b"{}"))
    assert snapshot(place) == before


@table("target", TARGETS)
def test_no_query_leaves_the_store(proxy: Proxy, place: Path, target: str) -> None:
    before = snapshot(place)
    query = target.replace(";", "%3B")
    for prefix in PREFIXES:
        assert is_refused(proxy.ask("GET", f"{prefix}/artifacts?path={query}"))
    assert is_refused(proxy.ask("GET", f"/get-artifact?path={query}"))
    assert is_refused(proxy.ask("GET", f"/list?path={query}"))
    assert is_refused(proxy.ask("POST", f"/upload-artifact?path={query}", b"x"))
    assert snapshot(place) == before


def test_a_path_given_twice_is_refused(proxy: Proxy) -> None:
    for prefix in PREFIXES:
        assert is_refused(proxy.ask("GET", f"{prefix}/artifacts?path={ROOT}&path=8"))


def test_the_staging_folder_and_the_content_store_have_no_path(proxy: Proxy) -> None:
    for path in ("objects", "inside", ".penstock-tmp", "../objects", "files", f"files/{ROOT}/kept"):
        url = f"{PREFIXES[0]}/artifacts/{path}"
        assert is_refused(proxy.ask("GET", url))
        assert is_refused(proxy.ask("PUT", url, b"x"))
        assert is_refused(proxy.ask("DELETE", url))
        assert proxy.ask("GET", f"{PREFIXES[0]}/artifacts?path={path}")[2] in {b"{}"} or path[:2] == ".."


@pytest.fixture
def links(place: Path, running: Proxy) -> Iterator[Path]:
    (place / "outside").mkdir()
    (place / "outside" / "file").write_bytes(SECRET)
    root = place / "store" / "files" / ROOT
    made = {
        root / "file": place / "secret",
        root / "folder": place / "outside",
        root / "relative": Path("../../../../../outside"),
        root / "objects": place / "store" / "objects",
        root / "dangling": place / "not-there",
        place / "store" / "files" / "9": place / "outside",
        place / "store" / "files" / "7" / "linked": place / "outside",
    }
    (place / "outside" / "artifacts").mkdir()
    (place / "outside" / "artifacts" / "file").write_bytes(SECRET)
    for link, target in made.items():
        link.symlink_to(target)
    yield place
    for link in made:
        link.unlink()
    for name in ("artifacts/file", "file"):
        (place / "outside" / name).unlink()
    (place / "outside" / "artifacts").rmdir()
    (place / "outside").rmdir()


@pytest.mark.parametrize(
    "path",
    [
        f"{ROOT}/file",
        f"{ROOT}/folder",
        f"{ROOT}/folder/file",
        f"{ROOT}/folder/new",
        f"{ROOT}/relative/file",
        f"{ROOT}/objects/x",
        f"{ROOT}/dangling",
        f"{ROOT}/dangling/x",
        "9/artifacts/artifacts/file",
        "7/linked/artifacts/file",
        "7/linked/artifacts",
    ],
)
def test_a_link_is_not_followed(links: Path, running: Proxy, path: str) -> None:
    before = snapshot(links)
    for prefix in PREFIXES:
        for method, body in (("GET", None), ("HEAD", None), ("PUT", b"x"), ("DELETE", None)):
            assert is_refused(running.ask(method, f"{prefix}/artifacts/{path}", body)), method
        assert is_refused(running.ask("GET", f"{prefix}/artifacts?path={path}"))
    assert snapshot(links) == before


def test_links_are_not_listed_and_deleting_a_folder_spares_what_they_name(
    links: Path, running: Proxy
) -> None:
    listed = json.loads(running.ask("GET", f"{PREFIXES[0]}/artifacts?path={ROOT}")[2])
    assert [item["path"] for item in listed["files"]] == ["kept"]
    folder = links / "store" / "files" / ROOT / "d"
    folder.mkdir()
    (folder / "link").symlink_to(links / "outside")
    assert running.ask("DELETE", f"{PREFIXES[0]}/artifacts/{ROOT}/d")[0] == 200
    assert not folder.exists()
    assert (links / "outside" / "file").read_bytes() == SECRET


@pytest.mark.parametrize(
    "name", ['"; filename=evil.html; x="', "a\u202egpj.exe", "x' y*=UTF-8''z", "\u2028", "é" * 40]
)
def test_a_file_name_cannot_break_out_of_its_header(running: Proxy, name: str) -> None:
    url = f"{PREFIXES[0]}/artifacts/{ROOT}/names/{quote(name, safe='')}"
    assert running.ask("PUT", url, b"<svg/>")[0] == 200
    status, headers, _ = running.ask("GET", url, headers={"Content-Type": "<script>"})
    said = headers["content-disposition"]
    assert status == 200
    assert said.isascii()
    assert said.startswith('attachment; filename="')
    assert said.split('"')[2] in {"", f"; filename*=UTF-8''{quote(name, safe='!#$&+-.^_`|~')}"}
    assert said.count('"') == 2
    assert "<script>" not in str(headers)
