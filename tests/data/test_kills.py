"""SIGKILL at any moment: nothing stored is lost, nothing corrupt is trusted, and the same command completes."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import write_files

pytestmark = pytest.mark.slow
PENSTOCK = str(Path(sys.executable).with_name("penstock"))
FILES = {f"{number % 7}/f{number}": os.urandom(2000) for number in range(600)}
ROUNDS = 8


def run(root: Path, *arguments: str) -> None:
    done = subprocess.run([PENSTOCK, *arguments], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)


def kill_during(root: Path, after_s: float, *arguments: str) -> None:
    process = subprocess.Popen(
        [PENSTOCK, *arguments], cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    process.wait()


def assert_objects_are_sound(store: Path) -> int:
    """Every object matches its name and is read-only; nothing else stands among them."""
    count = 0
    for path in (store / "files" / "md5").rglob("*"):
        if path.is_file():
            md5 = path.parent.name + path.name.removesuffix(".dir")
            assert hashlib.md5(path.read_bytes()).hexdigest() == md5
            assert path.stat().st_mode & 0o777 == 0o444
            count += 1
    return count


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    root.mkdir()
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    run(root, "init")
    run(root, "remote", "add", "-d", "store", str(tmp_path / "store"))
    write_files(root / "data", FILES)
    return root


def delays(seed: str) -> list[float]:
    chosen = random.Random(seed)
    return [chosen.uniform(0.05, 0.35) for _ in range(ROUNDS)]


def test_add_completes_after_kills(root: Path) -> None:
    for delay in delays("add"):
        shutil.rmtree(root / ".dvc" / "cache", ignore_errors=True)
        (root / "data.dvc").unlink(missing_ok=True)
        kill_during(root, delay, "add", "data")
        assert_objects_are_sound(root / ".dvc" / "cache")
        assert content(root / "data") == FILES
        run(root, "add", "data")
        assert assert_objects_are_sound(root / ".dvc" / "cache") == len(FILES) + 1
        assert list((root / ".dvc" / "cache" / "tmp").iterdir()) == []
        run(root, "-q", "status")


def test_push_and_fetch_complete_after_kills(root: Path, tmp_path: Path) -> None:
    run(root, "add", "data")
    for delay in delays("push"):
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        kill_during(root, delay, "push")
        count = assert_objects_are_sound(tmp_path / "store")
        if list((tmp_path / "store").rglob("*.dir")):
            assert count == len(FILES) + 1, "a tree arrived before its files"
        run(root, "push")
        assert assert_objects_are_sound(tmp_path / "store") == len(FILES) + 1
    for delay in delays("fetch"):
        shutil.rmtree(root / ".dvc" / "cache")
        kill_during(root, delay, "fetch")
        assert_objects_are_sound(root / ".dvc" / "cache")
        run(root, "fetch")
        assert assert_objects_are_sound(root / ".dvc" / "cache") == len(FILES) + 1


def test_checkout_completes_after_kills(root: Path) -> None:
    run(root, "add", "data")
    for number, delay in enumerate(delays("checkout")):
        if number % 2:
            shutil.rmtree(root / "data", ignore_errors=True)
        else:
            for name in list(FILES)[::2]:
                (root / "data" / name).unlink(missing_ok=True)
        kill_during(root, delay, "checkout")
        if (root / "data").exists():
            found = content(root / "data")
            assert all(FILES[name] == data for name, data in found.items()), "a half file in the workspace"
        run(root, "checkout")
        assert content(root / "data") == FILES
        assert list((root / ".dvc" / "tmp" / "penstock").iterdir()) == []
