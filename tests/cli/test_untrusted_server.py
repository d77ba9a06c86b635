"""A server whose certificate nobody here vouches for."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from penstock.base.errors import Unavailable
from penstock.base.threads import begin
from penstock.base.web.calls import WebConnection
from penstock.cli.main import cli
from serving.certificates import Authority


class _Taking(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"accepted": 1}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def speaking_tls(authority: Authority) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("server"))
    server = HTTPServer(("127.0.0.1", 0), _Taking)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    ended = begin("taking", server.serve_forever)
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        ended.result()
        server.server_close()


def test_feedback_says_that_the_certificate_is_not_trusted_and_how_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    with speaking_tls(authority) as url:
        words = ["feedback", "delay", "--prediction", "x", "--label", "1", "--url", url]
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        told = CliRunner().invoke(cli, words)
        assert isinstance(told.exception, Unavailable)
        assert "its certificate is not trusted here: unable to get local issuer certificate" in str(
            told.exception
        )
        assert "SSL_CERT_FILE=CA.pem" in str(told.exception.hint)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
        taken = CliRunner().invoke(cli, words)
        assert (taken.exit_code, taken.output.strip()) == (0, "1 accepted")


def test_every_call_tells_it_apart_from_a_server_that_is_away(tmp_path: Path) -> None:
    with speaking_tls(Authority(tmp_path)) as url, pytest.raises(Unavailable) as told:
        WebConnection(url, timeout_s=30).request("POST", "/", b"{}")
    assert told.value.code == "web.untrusted"
