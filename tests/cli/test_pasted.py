"""A command that a message or a page proposes is one command with the same words in a shell, whatever a model is called."""

from __future__ import annotations

import html
import re
import subprocess
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from penstock.http.app import build_server_app
from penstock.processes.controller import ControllerLoop
from projects import Sample
from servers.forking import run_penstock

ODD = "it's $HOME; `late`"


@pytest.fixture
def odd(released: Sample) -> Sample:
    made = run_penstock(released.root, "model", "register", ODD, "models/late")
    assert made.returncode == 0, made.stderr
    return released


def words(command: str) -> list[str]:
    """Let a shell take a command apart."""
    said = command.replace("penstock ", "printf '%s\\n' ", 1)
    return subprocess.run(["sh", "-c", said], capture_output=True, text=True, check=True).stdout.splitlines()


def proposed(said: str, begins: str, ends: str) -> list[str]:
    found = re.search(rf"({re.escape(begins)}.*?){re.escape(ends)}", said)
    assert found is not None, said
    return words(found[1])


def test_messages_name_models_so_that_a_shell_reads_them_back(odd: Sample) -> None:
    absent = run_penstock(odd.root, "model", "show", f"{ODD}@nosuch").stderr
    assert proposed(absent, "penstock promote", "\n") == ["promote", f"{ODD}/N"]
    gone = run_penstock(odd.root, "model", "delete", f"{ODD}/1", "--force").stdout
    assert proposed(gone, "penstock model restore", " undoes it.") == ["model", "restore", f"{ODD}/1"]
    lost = run_penstock(odd.root, "model", "show", f"{ODD}/1").stderr
    assert proposed(lost, "penstock model restore", "\n") == ["model", "restore", f"{ODD}/1"]


def test_pages_name_models_so_that_a_shell_reads_them_back(odd: Sample) -> None:
    client = TestClient(build_server_app(odd.project, ControllerLoop(odd.project)))
    page = html.unescape(client.get(f"/models/{quote(ODD)}/1/promote").text)
    assert proposed(page, "penstock gate run", "</p>") == ["gate", "run", f"{ODD}/1"]
    chain = html.unescape(client.get(f"/why/{quote(ODD)}/1").text)
    assert proposed(chain, "penstock restore", " --into DIR</code>") == ["restore", f"{ODD}/1"]
