"""What answers is not always a Penstock server: nothing is taken for delivered, or for refused, that one did not say."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

import penstock
from flows.production.endpoints import World
from penstock.base.errors import Invalid, Unavailable
from penstock.client.rest import Address
from penstock.watching.engine import Engine
from penstock.watching.places import ServerPlace
from watching.seen import count, wait_until

ANSWERS = ((200, b"<html>sign in</html>"), (302, b""), (404, b"<html>"), (400, b"bad gateway?"), (200, b"[]"))


class Other(BaseHTTPRequestHandler):
    """Answers whatever the path's first part asks for."""

    def do_POST(self) -> None:
        status, body = ANSWERS[int(self.path.split("/")[1])]
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def other() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_another_server_says_of_a_batch_lets_it_wait(other: str) -> None:
    for number in range(len(ANSWERS)):
        place = ServerPlace(Address(f"{other}/{number}"))
        with pytest.raises(Unavailable):
            place.send(b"batch")
        place.close()


def test_an_address_without_its_scheme_lets_everything_wait(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_URI", "127.0.0.1:21799")
    penstock.watch(endpoint="delay", model="m/1")(lambda features: 0.5)({"hour": 1.0})
    assert not engine.drain(1)
    assert list((world.root / ".penstock").glob("watch/refused/*")) == []
    assert engine.waiting_bytes > 0


def test_calls_of_another_model_than_the_endpoints_are_not_judged(
    world: World, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    world.version(1, model="other")
    watched: Callable[..., Any] = penstock.watch(endpoint="delay", model="other/1")(lambda features: 0.5)
    watched({"hour": 1.0})
    wait_until(lambda: "other/1 is another model than m, which delay serves" in caplog.text)
    engine.drain(5)
    assert count(world) == 0
    with pytest.raises(Invalid):
        penstock.watch(endpoint="delay", model=3)  # type: ignore[arg-type]
