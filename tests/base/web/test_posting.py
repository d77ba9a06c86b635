"""What is posted goes where it was checked to go, and nowhere a foreign address leads inside."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

from penstock.base.errors import Invalid, Unavailable
from penstock.base.web.posting import check_target, is_public, post_bytes
from servers.receiver import run_receiver
from tables import table

INSIDE = [
    "http://127.0.0.1/",
    "http://localhost/",
    "http://127.1/",
    "http://0177.0.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://8.8.2056/",
    "http://0/",
    "http://0.0.0.0/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://[::1]/",
    "http://[::]/",
    "http://[fe80::1]/",
    "http://[fd00::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b:1::a00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:7f00:1::80ff:fffe]/",
]
BAD = [
    "",
    "ftp://example.org/",
    "file:///etc/passwd",
    "//example.org",
    "http://",
    "http:///x",
    "http://user:secret@8.8.8.8/",
    "http://8.8.8.8:x/",
    "http://8.8.8.8:99999/",
    "http://8.8.8.8/a b",
    "http://8.8.8.8/\r\nX: y",
    "http://[::1",
    "http://no-such-host.invalid/",
]


@table("url", [*INSIDE, *BAD])
def test_an_address_inside_or_malformed_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        check_target(url)


@table("url", ["http://8.8.8.8/", "https://8.8.8.8:8443/x?y=1", "http://[2001:4860:4860::8888]/"])
def test_a_public_address_is_let_through(url: str) -> None:
    check_target(url)


@table("url", BAD)
def test_what_is_malformed_is_refused_inside_too(url: str) -> None:
    with pytest.raises(Invalid):
        check_target(url, allow_private=True)


def test_a_name_that_turns_inward_between_check_and_sending_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter(["8.8.8.8", "127.0.0.1"])

    def resolve(*_arguments: Any, **_options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), 80))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    check_target("http://rebinding.example/")
    with pytest.raises(Invalid, match="not a public address"):
        post_bytes("http://rebinding.example/", b"{}", {})


def test_one_inward_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("8.8.8.8", "10.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_o: found)
    with pytest.raises(Invalid, match=r"10\.0\.0\.1"):
        check_target("http://mixed.example/")


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    with run_receiver([302, 200]) as receiver:
        answer = post_bytes(receiver.url, b"x", {"X-A": "b"}, allow_private=True)
        assert (answer.status, answer.is_taken) == (302, False)
        assert [one.body for one in receiver.requests] == [b"x"]
        assert receiver.requests[0].headers["X-A"] == "b"


def test_silence_is_unavailable() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(Unavailable, match="did not answer"):
            post_bytes(url, b"x", {}, allow_private=True, timeout_s=0.2)


def test_wrapping_hides_nothing() -> None:
    assert not is_public(ipaddress.ip_address("::ffff:169.254.169.254"))
    assert is_public(ipaddress.ip_address("64:ff9b::808:808"))
