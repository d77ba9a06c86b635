"""What `serve` and `server` refuse, or warn of, before they start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from penstock.cli.main import cli
from penstock.data.verbs.creation import init_repository
from penstock.http.listen import Tls
from penstock.http.validity import find_doubts
from servers.forking import run_penstock
from serving import certificates
from serving.certificates import Authority


@pytest.mark.parametrize("command", ["serve", "server"])
@pytest.mark.parametrize(
    "given", ["zzz", "10.0.0.0/99", "10.0.0.1/8", "10.0.0.7,proxy.example", "*,10.0.0.7"]
)
def test_what_is_no_address_or_network_is_no_proxy(tmp_path: Path, command: str, given: str) -> None:
    init_repository(tmp_path, no_scm=True)
    done = run_penstock(tmp_path, command, "--port", "0", "--trusted-proxies", given)
    assert done.returncode == 2
    assert "--trusted-proxies" in done.stderr


@pytest.mark.parametrize("more", [[], ["--workers", "2"]])
def test_serve_asks_for_no_credentials_that_nobody_has(tmp_path: Path, more: list[str]) -> None:
    init_repository(tmp_path, no_scm=True)
    done = run_penstock(tmp_path, "serve", "--port", "0", "--auth", *more)
    assert done.returncode not in {0, -9}
    assert "penstock user add NAME --role admin" in done.stderr


@pytest.mark.parametrize("command", ["serve", "server"])
def test_a_certificate_that_has_expired_is_told(
    tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    init_repository(tmp_path, no_scm=True)
    monkeypatch.setattr(certificates, "END", datetime(2021, 2, 3))
    cert, key = Authority(tmp_path).sign("server")
    arguments = [command, "--port", "0", "--auth", "--tls-cert", str(cert), "--tls-key", str(key)]
    done = CliRunner().invoke(cli, ["-C", str(tmp_path), *arguments])  # ends since there are no users
    assert f"warning: {cert}: the certificate CN=server has expired on 2021-02-03 00:00 UTC" in done.output


def test_a_certificate_is_doubted_outside_of_its_time_and_shortly_before_its_end(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = (str(one) for one in authority.sign("server"))
    tls = Tls(cert=cert, key=key, client_ca=str(authority.path))
    begin, end = certificates.BEGIN.replace(tzinfo=UTC), certificates.END.replace(tzinfo=UTC)
    for at, words in (
        (begin - timedelta(days=1), "holds from 2020-01-01 00:00 UTC only"),
        (end - timedelta(days=13), "expires on 2120-01-01 00:00 UTC, in 13 days"),
        (end + timedelta(days=1), "has expired on 2120-01-01 00:00 UTC"),
    ):
        told = find_doubts(tls, at)
        assert len(told) == 2
        assert all(words in one for one in told)
    assert find_doubts(tls) == find_doubts(tls, end - timedelta(days=15)) == []
