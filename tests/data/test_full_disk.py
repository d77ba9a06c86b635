"""A full disk: the message says so, nothing wrong is kept, and the same command completes with room."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cli.conftest import IDENTITY
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
    assert done.returncode == 5, done
    assert "No space left on device" in done.stderr and "make room" in done.stderr
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


def test_the_last_block_of_a_large_file_does_not_fit(root: Path, small: Path) -> None:
    """A write that finds room for a part takes that part and says nothing."""
    run(root, "cache", "dir", str(small / "cache"))
    subprocess.run(["mount", "-o", "remount,size=6500k", str(small)], check=True)
    (root / "large").write_bytes(os.urandom((7 << 20) - 1))
    refused(root, "add", "large")
    assert not (root / "large.dvc").exists()
    assert assert_objects_are_sound(small / "cache") == 0
    grow(small)
    run(root, "add", "large")
    assert assert_objects_are_sound(small / "cache") == 1


COMMANDS = [
    "remote add -d store /tmp/store",
    "config core.autostage true",
    "stage add -n more -d raw -o made cp raw made",
    "add new",
    "commit -f",
    "repro",
    "freeze copy",
    "exp run -S rate=2",
    "exp run --temp -S rate=2",
    "exp run --queue -S rate=2",
    "exp save",
    "up --port 0",
    "server --port 0",
    "db upgrade",
    "install",
]


def test_every_command_names_the_place_and_ends_alike_where_there_is_no_room(
    small: Path, tmp_path: Path
) -> None:
    home, root = tmp_path / "home", small / "repo"
    home.mkdir()
    root.mkdir()
    variables = {"HOME": str(home), **IDENTITY}
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    run(root, "init")
    (root / "params.yaml").write_text("rate: 1\n")
    (root / "raw").write_text("raw")
    run(root, "stage", "add", "-n", "copy", "-d", "raw", "-p", "rate", "-o", "copied", "cp raw copied")
    run(root, "repro")
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    subprocess.run(["git", "commit", "-qm", "all"], cwd=root, check=True, env={**os.environ, **variables})
    (root / "raw").write_text("other")
    (root / "new").write_text("new")
    with (small / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while filler.write(bytes(4096)):
            pass
    odd = {}
    for command in COMMANDS:
        done = run_penstock(root, *command.split(), **variables)
        told = done.stderr.strip().splitlines()[-2:]
        is_right = done.returncode == 5 and str(small) in done.stderr and "make room" in done.stderr
        if not is_right or "No space left on device" not in done.stderr:
            odd[command] = (done.returncode, done.stdout[-300:], told)
    assert odd == {}
