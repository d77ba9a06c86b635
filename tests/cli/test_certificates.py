"""A certificate that ends while a server runs is told by its metrics and by `doctor`."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from patience import PATIENCE_S, wait_until
from penstock.data.verbs.creation import init_repository
from servers.forking import run_penstock
from serving import certificates
from serving.certificates import Authority

URL = re.compile(r"https://\S+?:(\d+)")


@contextmanager
def running(root: Path, *arguments: str) -> Iterator[int]:
    """Run a command that serves over TLS; yields its port."""
    log = root / f"{arguments[0]}.log"
    with log.open("wb") as writing:
        command = [sys.executable, "-m", "penstock.cli", "-C", str(root), *arguments]
        # from a fork several workers would not add up what they tell
        process = subprocess.Popen(command, stdout=writing, stderr=writing)
    try:
        wait_until(lambda: URL.search(log.read_text()) is not None or process.poll() is not None)
        found = URL.search(log.read_text())
        assert found is not None, log.read_text()
        port = int(found[1])
        wait_until(lambda: listens(port))
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def scrape(port: int) -> str:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(
        f"https://127.0.0.1:{port}/metrics", timeout=PATIENCE_S, context=context
    ) as answer:
        return str(answer.read().decode())


def doctor(root: Path, *ports: str) -> list[tuple[str, str]]:
    done = run_penstock(root, "doctor", "--json", *ports)
    return [
        (one["state"], one["sentence"])
        for one in json.loads(done.stdout)["checks"]
        if one["part"] == "certificate"
    ]


@pytest.mark.parametrize("ends_in", [timedelta(days=10), timedelta(days=-1)])
def test_the_end_of_a_certificate_is_told_by_metrics_and_by_doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends_in: timedelta
) -> None:
    init_repository(tmp_path, no_scm=True)
    end = (datetime.now(UTC) + ends_in).replace(microsecond=0)
    authority = Authority(tmp_path)
    monkeypatch.setattr(certificates, "END", end)
    cert, key = (str(one) for one in authority.sign("server"))
    tls = ["--tls-cert", cert, "--tls-key", key]
    ended = re.compile(r'^penstock_certificate_end_timestamp_seconds\{file="(.*)"\} (.*)$', re.M)
    words = "has expired on" if ends_in < timedelta() else "expires on"
    state = "broken" if ends_in < timedelta() else "missing"
    with running(tmp_path, "server", "--port", "0", *tls, "--tls-client-ca", str(authority.path)) as port:
        told = doctor(tmp_path, "--port", str(port))
        assert [one[0] for one in told] == [state]
        assert (
            f"the server at port {port}: the certificate CN=server {words} {end:%Y-%m-%d %H:%M}" in told[0][1]
        )
    with running(tmp_path, "server", "--port", "0", *tls) as port:
        assert dict(ended.findall(scrape(port))).keys() == {"tls-cert"}
        assert float(dict(ended.findall(scrape(port)))["tls-cert"]) == end.timestamp()
    with running(tmp_path, "serve", "--port", "0", "--workers", "2", *tls) as port:
        wait_until(lambda: "tls-cert" in dict(ended.findall(scrape(port))))
        assert float(dict(ended.findall(scrape(port)))["tls-cert"]) == end.timestamp()
        wait_until(lambda: bool(doctor(tmp_path)))
        assert [f"the model server at https://127.0.0.1:{port}: the certificate CN=server {words}" in one[1]
                for one in doctor(tmp_path)] == [True]  # fmt: skip
    assert doctor(tmp_path, "--port", str(port)) == [], "nothing runs"
