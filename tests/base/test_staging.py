"""What killed processes left is cleared away; what may be in use is not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from penstock.base import staging
from penstock.base.staging import new_token, remove_stale, staging_name


def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_only_what_nobody_uses_goes(tmp_path: Path) -> None:
    foreign = f"{dead_pid()}-{'0' * 20}"
    kept = [staging_name(), f"{os.getpid()}-{new_token()}-7", foreign, "file", f"{dead_pid()}-x.part"]
    gone = [f"{dead_pid()}-{new_token()}", f"{dead_pid()}-{new_token()}-12"]
    for name in (*kept, *gone):
        (tmp_path / name).touch()
    (tmp_path / f"{dead_pid()}-{new_token()}-1" / "inner").mkdir(parents=True)
    remove_stale(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_another_machine_s_go_after_a_day(tmp_path: Path) -> None:
    foreign = tmp_path / f"{os.getpid()}-{'0' * 20}-3"
    foreign.touch()
    os.utime(foreign, (1, 1))
    remove_stale(str(tmp_path))
    assert not foreign.exists()
    assert staging.HOST != "0" * 8


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    remove_stale(str(tmp_path / "nothing"))
