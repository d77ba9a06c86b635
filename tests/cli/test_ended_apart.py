"""What runs in a tree of its own is ended with the command that began it, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial

import pytest

from patience import PATIENCE_S
from penstock.base.errors import Invalid
from penstock.project.worktree import clean_worktree
from penstock.workspace import open_workspace
from stories.live import is_running, wait_until

from .conftest import IDENTITY, Desk
from .test_repro_at_once import hear_hangups


def test_ci_runs_and_experiments_apart_end_what_they_began(desk: Desk) -> None:
    pids = desk.home / "pids"
    command = f"sleep 1000 & echo $! > {pids}.part; echo $$ >> {pids}.part; mv {pids}.part {pids}; wait"
    desk.put(
        {
            "in": "1",
            "params.yaml": "p: 1\n",
            "dvc.yaml": f"stages:\n  a:\n    cmd: |\n      {command}\n    deps: [in]\n    params: [p]\n    outs: [o]\n",
            "penstock.yaml": f"project: p\nci:\n  tests: |\n    {command}\n",
        }
    )
    desk.commit_all()
    project = open_workspace(desk.root)
    trees = project.home / "worktrees"
    for words in (["ci", "run"], ["exp", "run", "--temp", "-S", "p=2"]):
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGKILL):
            pids.unlink(missing_ok=True)
            process = subprocess.Popen(
                [sys.executable, "-m", "penstock.cli", *words],
                cwd=desk.root,
                env={**os.environ, **IDENTITY, "HOME": str(desk.home)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=hear_hangups,  # noqa: PLW1509 - before any thread
            )
            wait_until(lambda: pids.exists() and any(trees.glob("*/.dvc/tmp/penstock-running/*.json")))
            begun = [int(pid) for pid in pids.read_text().split()]
            process.send_signal(number)
            code = process.wait(timeout=PATIENCE_S)
            if number == signal.SIGKILL:
                with clean_worktree(project, "HEAD", "ci") as tree:
                    assert [one.name for one in trees.iterdir()] == [tree.root.name]
            else:
                assert code == 130
            wait_until(partial(_are_gone, begun))
            assert not any(trees.iterdir())
    project.close()


def _are_gone(pids: list[int]) -> bool:
    return not any(map(is_running, pids))


def test_a_report_names_no_path_of_the_tree_that_is_gone(desk: Desk) -> None:
    desk.put(
        {
            "in": "1",
            "dvc.yaml": "stages:\n  a: {cmd: cp in o, deps: [in], outs: [o]}\n",
            "penstock.yaml": "project: p\n",
        }
    )
    desk.commit_all()
    steps = {one["name"]: one for one in desk.json("ci", "run", code=1)["steps"]}
    assert steps["gate"]["sentence"] == "penstock.yaml has no `model:` section"
    desk.put({"penstock.yaml": "project: p\ngates: [{drift: {psi_max: .nan}}]\n"})
    desk.commit_all()
    desk.put({"penstock.yaml": "project: p\n"})
    project = open_workspace(desk.root)
    with pytest.raises(Invalid) as caught, clean_worktree(project, "HEAD", "ci"):
        pass
    project.close()
    assert caught.value.message == "penstock.yaml:2: `.nan` is no finite number in `gates[0].drift.psi_max`"
    assert (caught.value.fields["file"], str(caught.value)) == ("penstock.yaml", caught.value.message)
    assert "worktrees" not in str(caught.value.hint)
