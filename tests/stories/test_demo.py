"""The demo holds, in a place with odd letters, and leaves a repository real DVC accepts."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from penstock.http.app import build_server_app
from penstock.processes.controller import ControllerLoop
from penstock.workspace import open_workspace
from servers.browser import PageServer, chromium
from servers.forking import MODEL_IMPORTS, penstock_server
from servers.quick_python import quick_programs

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


DEMO = """
import sys, sysconfig
programs = sys.argv[1]
sys.argv = ["penstock", *sys.argv[2:]]
sys.executable, sysconfig.get_path = f"{programs}/python", lambda name: programs
from penstock.cli.main import main
main()
"""
"""The demo; each command in it is a process, as ever, but a fork of one that has its imports."""


def dvc(cwd: Path, *arguments: str) -> str:
    program = os.environ.get("PENSTOCK_DVC") or str(ROOT / ".venv-peers/bin/dvc")
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(
        [program, *arguments], cwd=cwd, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The folder that the demo left, and what it said."""
    folder = tmp_path_factory.mktemp("demo") / "dëmo 1"
    done = penstock_server(*MODEL_IMPORTS).run(
        [str(quick_programs()), "--json", "demo", str(folder)],
        cwd=folder.parent,
        env=os.environ,
        program=DEMO,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, json.loads(done.stdout)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def looked_at(demo: tuple[Path, Any]) -> Iterator[PageServer]:
    """Pages of what the demo left."""
    project = open_workspace(demo[0] / "flights", {"USER": "ada"})
    server = PageServer(build_server_app(project, ControllerLoop(project)))
    server.start()
    yield server
    server.stop()
    project.close()


def test_the_demo_holds(demo: tuple[Path, Any]) -> None:
    _, document = demo
    assert [step["step"] for step in document["steps"]] == [1, 2, 3, 4, 5, 6]
    assert document["numbers"]["rollback_requests"] >= 2000
    assert document["numbers"]["rollback_failures"] == 0


def test_real_dvc_finds_nothing_to_do(demo: tuple[Path, Any]) -> None:
    repository = demo[0] / "flights"
    assert "up to date" in dvc(repository, "status")
    assert "Running stage" not in dvc(repository, "repro", "--dry")


def test_real_dvc_pulls_the_same_into_a_clone(demo: tuple[Path, Any], tmp_path: Path) -> None:
    repository, clone = demo[0] / "flights", tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(repository), str(clone)], check=True)
    dvc(clone, "pull")
    for name in ("data/raw", "models/delay"):
        assert files(clone / name) == files(repository / name)
    for name in ("data/train.parquet", "data/test.parquet"):
        assert (clone / name).read_bytes() == (repository / name).read_bytes()


FIRST_VIEWPORT = """() => [...document.querySelectorAll('main *')]
  .filter((one) => !one.children.length && one.getBoundingClientRect().top < innerHeight)
  .map((one) => one.closest('p, dd, td, li, h1, h2')?.innerText || one.innerText).join('\\n')"""


@pytest.mark.parametrize("role", ["reviewer", "on call", "trainer"])
def test_the_first_screen_answers_each_question(looked_at: PageServer, browser: Browser, role: str) -> None:
    address, told = {
        "reviewer": (
            "/models/flight-delay/2",
            ["rolled it back", "may not go out", "live roc_auc is 0.", "for the stable version", "dep_delay", "offline"],
        ),
        "on call": (
            "/",
            ["needs you: delay is down", "no serve process", "when its last serve process was heard of", "rolled back",
             "takes flight-delay/2 out", "live roc_auc is 0.", "penstock serve"],
        ),
        "trainer": (
            "/runs",
            ["Best roc_auc: 0.7", "before 0.", "differ", "does not count: it made flight-delay/2"],
        ),
    }[role]  # fmt: skip
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(looked_at.url + address)
    text = page.evaluate(FIRST_VIEWPORT)
    page.close()
    assert [words for words in told if words not in text] == [], text


def test_the_pages_say_what_the_tutorial_quotes_beside_their_pictures(
    looked_at: PageServer, browser: Browser
) -> None:
    made = runpy.run_path(str(ROOT / "docs/generate_pictures.py"))
    told = made["captions"](made["TUTORIAL"].read_text(encoding="utf-8"))
    page = browser.new_page(viewport={"width": made["WIDTH"], "height": 900})
    wrong = {}
    for name, picture in made["PICTURES"].items():
        page.goto(looked_at.url + picture.address)
        _, said = made["said_by"](page, picture)
        if unsaid := made["unsaid"](told[name], said):
            wrong[name] = (unsaid, said)
    page.close()
    assert wrong == {}
