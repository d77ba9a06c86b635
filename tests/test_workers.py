"""Tests that are run by several processes are told of as if one had run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CONFTEST = """
import os
from pathlib import Path
import pytest
from workers import add_option, use_workers

pytest_addoption, pytest_configure = add_option, use_workers

def note(text):
    with Path(__file__).with_name("noted").open("a") as noted:
        noted.write(text + "\\n")

note(f"collected by {os.getpid()}")

@pytest.fixture(scope="session", autouse=True)
def of_session():
    note("session begins")
    yield
    note("session ends")

@pytest.fixture(scope="module")
def of_module(request):
    note(f"{request.node.name} begins in {os.getpid()}")
    yield
    note(f"{request.node.name} ends")
"""
FILES = {
    "test_one.py": """
import os, warnings, pytest
def test_passes(of_module, tmp_path):
    (tmp_path / "a").touch()
def test_says_what_it_printed(of_module):
    print("to the one")
    os.write(1, b"past python\\n")
    assert [1] == [2]
@pytest.mark.skip(reason="not today")
def test_waits(of_module): ...
""",
    "test_two.py": """
import os, signal, warnings, pytest
def test_warns(of_module):
    warnings.warn("mind the step", DeprecationWarning)
def test_dies(of_module):
    os.kill(os.getpid(), signal.SIGKILL)
def test_goes_on(of_module): ...
@pytest.fixture
def broken():
    raise ValueError("no fixture")
def test_errs(broken): ...
""",
    "test_three.py": "def test_passes(of_module, tmp_path): ...\n",
}


def run(folder: Path, *words: str) -> tuple[int, str, list[str]]:
    """Run the tests of a folder; return the exit code, what was told and what they noted."""
    for name, text in {"conftest.py": CONFTEST, **FILES}.items():
        (folder / name).write_text(text)
    (folder / "noted").unlink(missing_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:schemathesis", "-rA", "--rootdir", ".", *words],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr, (folder / "noted").read_text().splitlines()


def test_each_file_is_run_by_one_of_the_forks_and_all_is_told(tmp_path: Path) -> None:
    code, told, noted = run(tmp_path, "-n", "2")
    assert code == 1, told
    assert "3 failed" not in told and "2 failed, 4 passed, 1 skipped, 1 warning, 1 error" in told, told
    for words in (
        "assert [1] == [2]",
        "to the one\npast python\n",
        "not today",
        "DeprecationWarning: mind the step",
        "ended with -9 during this test",
        "ValueError: no fixture",
        "PASSED test_two.py::test_goes_on",
    ):
        assert words in told, f"{words} is not in {told}"
    collected = [line for line in noted if line.startswith("collected")]
    assert len(collected) == 1
    begun = {line.rpartition(" ")[2] for line in noted if " begins in " in line}
    assert len(begun) in {2, 3} and collected[0].rpartition(" ")[2] not in begun
    assert [sum(line.startswith(f"test_{one}.py begins") for line in noted) for one in ("one", "two")] == [
        1,
        2,
    ]
    assert noted.count("session begins") == noted.count("session ends") + 1, "the one that died ended nothing"


def test_one_that_is_to_stop_at_the_first_failure_ends_the_others(tmp_path: Path) -> None:
    code, told, noted = run(tmp_path, "-n", "2", "-x", "test_one.py", "test_three.py")
    assert code == 1
    assert "stopping after 1 failures" in told, told
    assert noted.count("session begins") == noted.count("session ends"), noted


def test_what_cannot_be_collected_is_told_and_nothing_is_run(tmp_path: Path) -> None:
    (tmp_path / "test_bad.py").write_text("import nosuchmodule\n")
    code, told, _ = run(tmp_path, "-n", "2")
    assert code == 2
    assert "nosuchmodule" in told and "1 error during collection" in told, told
    code, told, _ = run(tmp_path, "-n", "2", "--collect-only", "test_one.py")
    assert code == 0 and "3 tests collected" in told, told
