"""What outlived a killed command is ended by the next reproduction; what is somebody else's is left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from penstock.base.running import is_running, name_process
from penstock.pipeline.executors.local import run_task
from penstock.pipeline.executors.role import Task
from penstock.pipeline.process import Command
from penstock.pipeline.running.survivors import FOLDER, end_survivors, noted
from stories.live import wait_until

KILLED = """\
import os, signal, sys
from pathlib import Path
from penstock.base.process import GUARD
from penstock.pipeline.executors.local import run_task
from penstock.pipeline.executors.role import Task
root = Path(sys.argv[1])
task = Task("train", ("sleep 100 & echo $!; wait",), root, variables={"DVC_ROOT": str(root)})
def say(line):
    print(line, flush=True)
    if sys.argv[2] == "guard too":
        os.kill(GUARD.pid, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
run_task(task, say, lambda command: True)
"""


def _killed(root: Path, how: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", KILLED, str(root), how], stdout=subprocess.PIPE, text=True, check=False
    )


def test_all_that_a_stage_runs_ends_with_a_command_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    done = _killed(tmp_path, "alone")
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: not is_running(int(done.stdout)))


def test_a_group_whose_command_and_guard_were_killed_is_ended_by_the_next(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    done = _killed(tmp_path, "guard too")
    assert done.returncode == -signal.SIGKILL
    left = int(done.stdout)
    (note,) = (tmp_path / ".dvc/tmp" / FOLDER).iterdir()
    assert is_running(left)
    assert end_survivors(tmp_path) == [int(note.stem)]
    assert not is_running(left)
    assert not note.exists()
    assert end_survivors(tmp_path) == []


def test_a_command_that_is_ended_at_once_is_noted_until_it_has_ended(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    folder = tmp_path / ".dvc/tmp" / FOLDER
    leaders: list[tuple[str, str]] = []

    def refuse(command: Command) -> bool:
        (note,) = folder.iterdir()
        leaders.append((json.loads(note.read_text())["leader"], name_process(command.group)))
        return False

    assert run_task(Task("train", ("sleep 300",), tmp_path), print, refuse).ending == "failed"
    assert [noted for noted, _ in leaders] == [named for _, named in leaders] != []
    assert list(folder.iterdir()) == []


def test_groups_of_living_commands_and_numbers_given_anew_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    with subprocess.Popen(["sleep", "100"], start_new_session=True) as other:
        try:
            with noted(tmp_path, "train", other.pid):
                (note,) = (tmp_path / ".dvc/tmp" / FOLDER).iterdir()
                assert end_survivors(tmp_path) == []
                document = json.loads(note.read_text())
                pid, began, place = name_process(other.pid).split(".")
                ended = f"{os.getpid()}.1.{place}"
                document |= {"owner": ended, "leader": f"{pid}.{int(began) - 1}.{place}"}
                note.write_text(json.dumps(document))
                assert end_survivors(tmp_path) == []
                assert not note.exists()
            assert other.poll() is None
        finally:
            other.kill()
