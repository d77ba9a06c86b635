"""What the demo says where its own servers do not answer."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from penstock.base.errors import Unavailable
from penstock.cli.main import cli
from penstock.demo import story
from penstock.demo.shop import Shop


def test_a_demo_whose_server_does_not_answer_says_at_which_step_and_call_and_how_to_repeat_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(told: story.Story) -> str:
        with socket.socket() as silent:  # it has the port and takes nothing there
            silent.bind(("127.0.0.1", 0))
            told.shop.server_port = silent.getsockname()[1]
            told.shop.ask("/api/endpoints")
        return ""

    monkeypatch.setattr(story, "STEPS", [("April goes live", ask)])
    monkeypatch.setattr(Shop, "prepare", lambda *_, **__: None)
    done = CliRunner().invoke(cli, ["-C", str(tmp_path), "demo"])
    assert isinstance(done.exception, Unavailable)
    said = "step 1, April goes live: the demo's own server did not answer GET /api/endpoints"
    assert done.exception.message.startswith(said)
    assert done.exception.code == "demo.no_answer"
    assert (done.exception.hint or "").startswith("penstock demo --force repeats it")


def test_the_demos_servers_take_ports_that_the_system_gives_and_the_demo_reads_them_anew(
    tmp_path: Path,
) -> None:
    shop = Shop(tmp_path, os.environ)
    shop.repository.mkdir()
    shop.git("init", "--quiet")
    shop.penstock("init")
    (tmp_path / "up.log").write_text(
        "tracking, pages and controller on http://127.0.0.1:1; stop with Ctrl-C\nserving on http://127.0.0.1:1 as worker 1\n"
    )
    try:
        shop.start()
        assert shop.server_port > 1 < shop.serve_port
        assert shop.ask("/health")
    finally:
        shop.stop()
