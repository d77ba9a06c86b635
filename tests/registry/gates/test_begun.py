"""What a check of the user's own began does not outlive a `gate run` that is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.base.running import is_running
from stories.live import wait_until

KILLED = """\
import sys
from functools import partial
from pathlib import Path
import msgspec
from penstock.pipeline.running.survivors import noted
from penstock.registry.gates.catalogue import find_gate
from penstock.registry.gates.check import Evidence
root = Path(sys.argv[1])
kind, settings = msgspec.json.decode(sys.argv[2])
gate = find_gate(kind)
evidence = Evidence(root, {}, object(), guard=partial(noted, root))
print(gate.check(msgspec.convert(settings, gate.settings), evidence))
"""
MINE = """\
import os, pathlib, signal, subprocess, time
def check(evidence):
    left = subprocess.Popen(["sleep", "100"])
    pathlib.Path("left").write_text(str(left.pid))
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(100)
"""


@pytest.mark.parametrize(
    "check",
    [
        """["command", {"run": "sleep 100 & echo $! > left; kill -KILL $PPID; wait"}]""",
        """["python", {"check": "mine.py:check"}]""",
    ],
)
def test_what_a_check_began_ends_with_a_run_that_is_killed(tmp_path: Path, check: str) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "mine.py").write_text(MINE)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), check], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    left = int((tmp_path / "left").read_text())
    wait_until(lambda: not is_running(left))
