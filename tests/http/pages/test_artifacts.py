"""Artifacts shown on pages: every kind, and files that were made to do harm."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from penstock.artifacts.previews import decode, pretty, read_parquet, read_rows
from penstock.http.app import build_server_app
from penstock.processes.controller import ControllerLoop
from penstock.project.opening import open_server_project
from penstock.project.project import Project
from penstock.tracking.entities import Run
from penstock.tracking.runs import create_run

RUN = "a" * 32
EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


FILES: dict[str, bytes] = {
    "notes.txt": f"plain {EVIL}\n".encode(),
    "big.log": b"line\n" * 200_000,
    "cut.txt": b"x" * (256 * 1024 - 1) + "é".encode() + b"rest",
    "deep/report.md": f"# Title\n\n**bold** {EVIL} [x](javascript:alert(1)) ![p](http://evil.example/p.png)\n".encode(),
    "conf.json": json.dumps({"a": {"b": [1, EVIL]}}).encode(),
    "nested.json": b"[" * 100_000,
    "table.csv": f'name,value\n"{EVIL}",1\nplain,2\n'.encode(),
    "wide.csv": (",".join(f"c{at}" for at in range(300)) + "\n" + ",".join("1" * 300) + "\n").encode(),
    "bad.csv": b'"' + b"x" * 200_000,
    "rows.jsonl": b'{"a": 1, "b": "x"}\n{"a": 2, "c": [1]}\n',
    "broken.parquet": b"PAR1" + b"\xff" * 200 + b"PAR1",
    "page.html": f"<h1>chart</h1>{EVIL}".encode(),
    "pixel.png": PNG,
    "fake.png": f"<html>{EVIL}</html>".encode(),
    "drawing.svg": f'<svg xmlns="http://www.w3.org/2000/svg">{EVIL}</svg>'.encode(),
    "binary.bin": bytes(range(256)),
    "empty.txt": b"",
}
TABLES: dict[str, Callable[[], pl.DataFrame]] = {
    "table.parquet": lambda: pl.DataFrame({"city": ["JFK", EVIL], "delay": [1.5, None]}),
    "bomb.parquet": lambda: pl.DataFrame({"a": pl.repeat("x" * 1000, 3_000_000, eager=True)}),
}
"""Made when they are needed: polars begins its threads with the first, and the second takes gigabytes."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    project: Project = open_server_project(tmp_path_factory.mktemp("artifacts"), {})
    with project.database.write() as connection:
        create_run(
            connection, Run(id=RUN, experiment="x", name="shown", status="FINISHED", start_ms=1, end_ms=2)
        )
    client = TestClient(build_server_app(project, ControllerLoop(project)), raise_server_exceptions=False)
    root = client.get(f"/api/2.0/mlflow/runs/get?run_id={RUN}").json()["run"]["info"]["artifact_uri"]
    folder = root.removeprefix("mlflow-artifacts:/").strip("/")
    for name, data in [*FILES.items(), *((name, parquet(make())) for name, make in TABLES.items())]:
        put = client.put(f"/api/2.0/mlflow-artifacts/artifacts/{folder}/{name}", content=data)
        assert put.status_code == 200, put.text
    yield client
    project.close()


def view(client: TestClient, name: str) -> str:
    answer = client.get(f"/runs/{RUN}/view", params={"path": name})
    assert answer.status_code == 200, (name, answer.text)
    return str(answer.text)


def test_every_file_of_a_run_has_a_page_and_none_of_its_markup_becomes_ours(client: TestClient) -> None:
    listed = client.get(f"/runs/{RUN}").text
    assert f"/runs/{RUN}/view?path=notes.txt" in listed
    for name in (*FILES, *TABLES):
        text = view(client, name)
        assert "<script>alert" not in text, name
        assert "<img src=x" not in text, name
        assert 'src="http' not in text, name
        assert len(text) < 700_000, name


def test_each_kind_is_shown_as_what_it_is(client: TestClient) -> None:
    assert "plain &lt;script&gt;" in view(client, "notes.txt")
    assert "The beginning is shown" in view(client, "big.log")
    assert "The beginning is shown" in view(client, "cut.txt")
    assert "<strong>bold</strong>" in view(client, "deep/report.md")
    assert "javascript:alert" not in view(client, "deep/report.md").replace("](javascript:alert(1))", "")
    assert "&#34;b&#34;: [\n" in view(client, "conf.json")
    assert "[[[[" in view(client, "nested.json")
    csv = view(client, "table.csv")
    assert "2 rows × 2 columns" in csv
    assert "<td>plain</td><td>2</td>" in csv
    assert "<td>2</td>" in view(client, "rows.jsonl")
    assert "and 60 columns are shown" in view(client, "wide.csv")
    table = view(client, "table.parquet")
    assert "2 rows × 2 columns" in table
    assert "<td>JFK</td><td>1.5</td>" in table
    assert "Float64" in table
    assert "It is not shown: it is no Parquet" in view(client, "broken.parquet")
    assert "3,000,000 rows" in view(client, "bomb.parquet") or "is no Parquet" in view(client, "bomb.parquet")
    assert f'src="/runs/{RUN}/raw?path=pixel.png"' in view(client, "pixel.png")
    assert "no picture that a browser can show" in view(client, "fake.png")
    assert "It is not shown" in view(client, "binary.bin")
    assert view(client, "empty.txt")
    frame = view(client, "page.html")
    assert 'sandbox="allow-scripts"' in frame
    assert "allow-same-origin" not in frame


def test_what_a_browser_interprets_comes_without_origin_network_or_ways_out(client: TestClient) -> None:
    def raw(name: str) -> tuple[int, str, str]:
        answer = client.get(f"/runs/{RUN}/raw", params={"path": name})
        assert answer.headers["x-content-type-options"] == "nosniff"
        return (
            answer.status_code,
            answer.headers.get("content-type", ""),
            answer.headers.get("content-security-policy", ""),
        )

    status, kind, policy = raw("page.html")
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert policy.startswith("sandbox allow-scripts; default-src 'none'")
    assert "connect-src" not in policy  # none, by default-src
    assert "frame-ancestors 'self'" in policy
    status, kind, policy = raw("drawing.svg")
    assert (status, kind) == (200, "image/svg+xml")
    assert policy.startswith("sandbox; default-src 'none'")
    assert raw("pixel.png")[:2] == (200, "image/png")
    for name in ("fake.png", "notes.txt", "table.parquet", "conf.json"):
        assert raw(name)[0] == 400, name
    for address in (f"/runs/{RUN}/view", f"/runs/{RUN}/raw"):
        for path in ("../../x", "%2e%2e/x", "deep", "none.txt", "", "a\x00b", "/etc/passwd"):
            assert client.get(address, params={"path": path}).status_code in {400, 404}, path
        assert client.get(address, params={"path": "notes.txt", "model": "m-none"}).status_code == 404
        assert client.get(f"/runs/{'b' * 32}/view?path=x").status_code == 404


@given(st.binary(max_size=300))
def test_any_bytes_can_be_looked_at(data: bytes) -> None:
    text = decode(data, is_whole=False)
    if text is not None:
        shown = pretty(text)
        assert shown is None or json.loads(shown) == json.loads(text) or "NaN" in shown
        for name in ("a.csv", "a.tsv", "a.jsonl"):
            rows = read_rows(name, text, is_whole=True)
            assert rows is None or len(rows.columns) <= 60


def test_a_parquet_of_nothing_is_told_and_not_raised() -> None:
    for data in (b"", b"PAR1", b"PAR1" * 50):
        assert isinstance(read_parquet(data), str)
    rows = read_parquet(parquet(pl.DataFrame({"a": [[1, 2]], "b": [b"\xff"]})))
    assert not isinstance(rows, str)
    assert rows.rows[0][0].startswith("shape") or "1" in rows.rows[0][0]
