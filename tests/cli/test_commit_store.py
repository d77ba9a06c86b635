"""`penstock commit` while the store is away."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator

import pytest

from projects import Sample
from servers.forking import run_penstock


class Away:
    """A server that hangs up on everybody, and counts them."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"postgresql://penstock@127.0.0.1:{self._socket.getsockname()[1]}/p"
        self.count = 0
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.count += 1
            connection.close()

    def close(self) -> None:
        """Let nobody in any more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def away() -> Iterator[Away]:
    server = Away()
    yield server
    server.close()


def test_a_store_that_does_not_answer_is_asked_once_for_all_stages(trained: Sample, away: Away) -> None:
    trained.close()
    shutil.rmtree(trained.root / ".dvc/cache/runs")
    one = run_penstock(trained.root, "commit", "split", PENSTOCK_STORE=away.url)
    asked_for_one = away.count
    both = run_penstock(trained.root, "commit", PENSTOCK_STORE=away.url)
    assert (one.returncode, both.returncode) == (0, 0), both.stderr
    assert asked_for_one > 0
    assert away.count == 2 * asked_for_one
    assert both.stderr.count("did not answer") == 1
    assert "run cache" in both.stderr
