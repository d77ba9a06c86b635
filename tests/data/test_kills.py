"""SIGKILL at any moment: nothing stored is lost, nothing corrupt is trusted, and the same command completes."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from servers.forking import penstock_server, run_penstock

from .conftest import write_files

pytestmark = pytest.mark.slow
FILES = {f"{number % 7}/f{number}": os.urandom(2000) for number in range(100)}
ROUNDS = 34  # times six commands: 204 kill points


def run(root: Path, *arguments: str) -> None:
    done = run_penstock(root, *arguments)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)


def kill_during(root: Path, after_s: float, *arguments: str) -> None:
    with suppress(subprocess.TimeoutExpired):
        penstock_server().run(arguments, cwd=root, env=os.environ, timeout=after_s)


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


def delays(root: Path, *arguments: str) -> list[float]:
    """Time the command once, undisturbed, and spread random moments over a little more than that."""
    started = time.perf_counter()
    run(root, *arguments)
    whole = time.perf_counter() - started
    chosen = random.Random(arguments[0])
    return [chosen.uniform(0.03, whole * 1.1) for _ in range(ROUNDS)]


def put_back(root: Path, name: str) -> None:
    """Remove a directory by moving it away, which does not depend on its size."""
    path = root / name
    if path.exists():
        path.rename(root.parent / f"old-{time.monotonic_ns()}")


def test_add_completes_after_kills(root: Path) -> None:
    cache = root / ".dvc" / "cache"
    for delay in delays(root, "add", "data"):
        put_back(root, ".dvc/cache")
        (root / "data.dvc").unlink(missing_ok=True)
        kill_during(root, delay, "add", "data")
        assert_objects_are_sound(cache)
        run(root, "add", "data")
        assert assert_objects_are_sound(cache) == len(FILES) + 1
        assert list((cache / "tmp").iterdir()) == []
        run(root, "-q", "status")
    assert content(root / "data") == FILES


def test_commit_completes_after_kills(root: Path) -> None:
    run(root, "add", "data")
    cache = root / ".dvc" / "cache"
    for number, delay in enumerate(delays(root, "commit")):
        changed = {name: f"{number} {name}".encode() for name in list(FILES)[::3]}
        write_files(root / "data", dict(changed))
        kill_during(root, delay + 0.05, "commit")
        assert_objects_are_sound(cache)
        run(root, "commit", "-f")
        run(root, "-q", "status")
        assert content(root / "data") == FILES | changed
    run(root, "verify")


def test_checkout_completes_after_kills(root: Path) -> None:
    run(root, "add", "data")
    put_back(root, "data")
    for number, delay in enumerate(delays(root, "checkout")):
        if number % 2:
            put_back(root, "data")
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


def test_push_completes_after_kills(root: Path, tmp_path: Path) -> None:
    run(root, "add", "data")
    store = tmp_path / "store"
    for delay in delays(root, "push"):
        put_back(tmp_path, "store")
        kill_during(root, delay, "push")
        count = assert_objects_are_sound(store)
        if list(store.rglob("*.dir")):
            assert count == len(FILES) + 1, "a tree arrived before its files"
        run(root, "push")
        assert assert_objects_are_sound(store) == len(FILES) + 1


def test_fetch_completes_after_kills(root: Path) -> None:
    run(root, "add", "data")
    run(root, "push")
    cache = root / ".dvc" / "cache"
    put_back(root, ".dvc/cache")
    for delay in delays(root, "fetch"):
        put_back(root, ".dvc/cache")
        kill_during(root, delay, "fetch")
        assert_objects_are_sound(cache)
        run(root, "fetch")
        assert assert_objects_are_sound(cache) == len(FILES) + 1
    run(root, "verify")


def test_gc_completes_after_kills_and_can_be_undone(root: Path) -> None:
    run(root, "add", "data")
    cache = root / ".dvc" / "cache"
    orphans = {f"{number} orphan".encode() for number in range(75)}

    def litter() -> None:
        for data in orphans:
            md5 = hashlib.md5(data).hexdigest()
            path = cache / "files" / "md5" / md5[:2] / md5[2:]
            path.parent.mkdir(exist_ok=True)
            if not path.exists():
                path.write_bytes(data)
                path.chmod(0o444)

    litter()
    for number, delay in enumerate(delays(root, "gc", "-f", "-w")):
        litter()
        kill_during(root, delay, "gc", "-f", "-w")
        assert assert_objects_are_sound(cache) >= len(FILES) + 1
        if number % 4 == 0 and list((root / ".dvc" / "tmp" / "penstock-trash").iterdir()):
            run(root, "gc", "--undo")
            assert assert_objects_are_sound(cache) == len(FILES) + 1 + len(orphans)
        run(root, "gc", "-f", "-w")
        assert assert_objects_are_sound(cache) == len(FILES) + 1
        run(root, "gc", "--empty-trash")
    run(root, "-q", "status")
