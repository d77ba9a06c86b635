"""Writes are whole or absent; locks exclude."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.base.errors import Conflict
from penstock.base.files import atomic_path, locked, write_atomic
from stories.live import wait_until


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a"
    write_atomic(target, b"old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_mode_is_set_before_the_file_appears(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", b"x", mode=0o444)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o444


def test_a_killed_writer_leaves_one_whole_version(tmp_path: Path) -> None:
    target = tmp_path / "a"
    write_atomic(target, b"0" * 100_000)
    code = (
        "import sys, pathlib; from penstock.base.files import write_atomic\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "while True:\n"
        "    for digit in b'123456789': write_atomic(path, bytes([digit]) * 100_000, durable=False)\n"
    )
    for changes in (1, 5, 20):
        writer = subprocess.Popen([sys.executable, "-c", code, str(target)])
        for _ in range(changes):
            before = target.stat().st_ino
            wait_until(lambda before=before: target.stat().st_ino != before)  # type: ignore[misc]
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        data = target.read_bytes()
        assert len(data) == 100_000
        assert len(set(data)) == 1


HOLD = (
    "import sys, pathlib; from penstock.base.files import locked\n"
    "with locked(pathlib.Path(sys.argv[1]), wait_s=1, holder_hint='wait'): print('taken', flush=True); input()\n"
)


def test_a_second_process_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdin=pipe, stdout=pipe, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "taken\n"
        with (
            pytest.raises(Conflict, match=f"process {holder.pid}"),
            locked(tmp_path / "lock", wait_s=0, holder_hint="wait"),
        ):
            pass
        holder.communicate("\n")
    with locked(tmp_path / "lock", wait_s=0, holder_hint="wait"):
        assert (tmp_path / "lock").read_text() == f" {os.getpid()}\n"
