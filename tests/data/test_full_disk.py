"""A full disk: the message says so, nothing wrong is kept, and the same command completes with room."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.forking import run_penstock
from servers.programs import missing

from .test_kills import assert_objects_are_sound, content, run

pytestmark = pytest.mark.slow
PENSTOCK = str(Path(sys.executable).with_name("penstock"))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB; making one takes root."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        missing("the right to mount a tmpfs", "run as root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    root.mkdir()
    run(root, "init", "--no-scm")
    for number in range(60):
        path = root / "data" / f"{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.urandom(100_000))
    return root


def refused(root: Path, *arguments: str) -> str:
    done = run_penstock(root, *arguments)
    assert done.returncode in {1, 5}, done
    assert "No space left on device" in done.stderr and "hint:" in done.stderr
    return done.stderr


def grow(place: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=32m", str(place)], check=True)


def test_add_with_a_full_cache(root: Path, small: Path) -> None:
    run(root, "cache", "dir", str(small / "cache"))
    before = content(root / "data")
    assert str(small) in refused(root, "add", "data")
    assert not (root / "data.dvc").exists()
    assert_objects_are_sound(small / "cache")
    assert content(root / "data") == before
    grow(small)
    run(root, "add", "data")
    assert assert_objects_are_sound(small / "cache") == 61


def test_push_to_a_full_remote(root: Path, small: Path) -> None:
    run(root, "add", "data")
    run(root, "remote", "add", "-d", "store", str(small / "store"))
    assert str(small) in refused(root, "push")
    assert_objects_are_sound(small / "store")
    assert not list((small / "store").rglob("*.dir"))
    grow(small)
    run(root, "push")
    assert assert_objects_are_sound(small / "store") == 61


def test_checkout_onto_a_full_disk(root: Path, small: Path) -> None:
    run(root, "add", "data")
    before = content(root / "data")
    run(small, "init", "--no-scm")
    (small / "data.dvc").write_bytes((root / "data.dvc").read_bytes())
    cache = root / ".dvc" / "cache"
    run(small, "cache", "dir", str(cache))
    refused(small, "checkout")
    assert not (small / "data").exists()
    grow(small)
    run(small, "checkout")
    assert content(small / "data") == before
