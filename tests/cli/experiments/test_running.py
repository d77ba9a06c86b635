"""`exp run`: in the workspace, apart from it, queued and swept; and what a failed or ended one leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.conftest import IDENTITY, Desk, make_desk
from patience import PATIENCE_S
from penstock.base.errors import Invalid
from penstock.flows.experiments.references import check_name

TRAIN = """\
import json, re, time, os
text = open("params.yaml").read()
rate = float(re.search("lr: (.*)", text)[1])
open("model", "w").write(text)
json.dump({"acc": rate * 2}, open("metrics.json", "w"))
if os.path.exists("extra"):
    open("model", "a").write(open("extra").read())
if rate > 8:
    print("began", flush=True)
    time.sleep(int(os.environ.get("HELD_S", "0")))
elif rate > 7:
    raise SystemExit(3)
"""
DVC_YAML = f"""\
stages:
  prepare:
    cmd: cp raw prepared
    deps: [raw]
    outs: [prepared]
  train:
    cmd: {sys.executable} train.py
    deps: [prepared, train.py]
    params: [lr]
    outs: [model]
    metrics:
    - metrics.json:
        cache: false
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A pipeline that ran, committed; tests work on copies."""
    folder = tmp_path_factory.mktemp("ran")
    desk = make_desk(folder / "repo", folder / "home")
    desk.put({"dvc.yaml": DVC_YAML, "train.py": TRAIN, "params.yaml": "lr: 0.1\nother: 1\n", "raw": "data\n"})
    desk.run("add", "raw")
    desk.run("repro")
    desk.commit_all()
    return desk


@pytest.fixture
def project(ran: Desk, tmp_path: Path) -> Desk:
    """A copy of that pipeline."""
    root = tmp_path / "project"
    shutil.copytree(ran.root, root, symlinks=True)
    return Desk(root, ran.home)


def refs(desk: Desk) -> dict[str, str]:
    """Return the experiments' commits by name."""
    text = desk.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/exps")
    return {ref.rpartition("/")[2]: commit for ref, commit in (line.split() for line in text.splitlines())}


def state(desk: Desk) -> dict[str, bytes]:
    """Return what is in the workspace."""
    return {
        path.relative_to(desk.root).as_posix(): path.read_bytes()
        for path in desk.root.rglob("*")
        if path.is_file() and not {".git", ".dvc", ".penstock"} & set(path.parts)
    }


def test_an_experiment_in_the_workspace_leaves_its_result_there_and_under_its_name(project: Desk) -> None:
    done = project.json("exp", "run", "-S", "lr=0.2", "-n", "one", "-m", "try it")
    head = project.git("rev-parse", "HEAD").strip()
    assert done["metrics"] == {"acc": 0.4}
    assert refs(project) == {"one": done["rev"]}
    assert project.git("log", "-1", "--format=%P %s", done["rev"]).strip() == f"{head} try it"
    ref = f"refs/exps/{head[:2]}/{head[2:]}/one"
    assert project.git("rev-parse", ref).strip() == done["rev"]
    changed = project.git("diff", "--name-only", "HEAD", ref).split()
    assert changed == ["dvc.lock", "metrics.json", "params.yaml"]
    assert project.git("diff", "--stat", ref) == ""
    assert project.json("run", "show", done["run"])["tags"]["penstock.experiment"] == "one"
    assert "already" in project.error("exp", "run", "-S", "lr=0.3", "-n", "one", code=4)
    again = project.json("exp", "run", "-S", "lr=0.3", "-n", "one", "-f")
    assert refs(project) == {"one": again["rev"]} != {"one": done["rev"]}


def test_an_experiment_apart_from_the_workspace_takes_its_changes_and_touches_nothing(project: Desk) -> None:
    project.put({"params.yaml": "lr: 0.1\nother: 2\n", "extra": "more\n"})
    before = state(project)
    done = project.json("exp", "run", "--temp", "-S", "lr=0.3", "-n", "two", "-C", "extra")
    assert state(project) == before
    (rev,) = refs(project).values()
    assert rev == done[0]["rev"]
    assert project.git("show", f"{rev}:params.yaml") == "lr: 0.3\nother: 2\n"
    assert project.git("worktree", "list").count("\n") == 1
    project.run("exp", "run", "-S", "lr=0.3", "-n", "here", "-q")
    assert (project.root / "model").read_text() == "lr: 0.3\nother: 2\nmore\n"


def test_a_sweep_runs_every_combination_as_runs_under_one_parent(project: Desk) -> None:
    queued = project.json("exp", "run", "--queue", "-S", "lr=0.5,0.6", "-n", "q")
    assert [one["name"] for one in queued] == ["q-1", "q-2"]
    assert "already" in project.error("exp", "run", "--queue", "-n", "q-1", code=4)
    assert refs(project) == {}
    done = project.json("exp", "run", "--run-all", "-j", "2")
    assert {one["name"]: one["metrics"]["acc"] for one in done} == {"q-1": 1.0, "q-2": 1.2}
    shown = [project.json("run", "show", one["run"]) for one in done]
    parents = {one["tags"]["mlflow.parentRunId"] for one in shown}
    assert len(parents) == 1
    assert project.json("run", "show", parents.pop())["status"] == "FINISHED"
    assert project.json("exp", "run", "--run-all") == []
    assert [one["metrics"]["acc"] for one in project.json("exp", "run", "-S", "lr=range(1,3)")] == [2.0, 4.0]


def test_a_failed_experiment_leaves_everything_as_it_was(project: Desk) -> None:
    (project.root / "raw").unlink()
    project.put({"raw": "new data\n", "notes": "mine\n", "params.yaml": "lr: 0.1\nother: 5\n"})
    before = state(project)
    told = project.error("exp", "run", "-S", "lr=7.5", "-n", "bad")
    assert "exited with 3" in told and "then penstock exp run -S lr=7.5 -n bad\n" in told
    assert state(project) == before
    assert "exited with 3" in project.error("exp", "run", "-S", "lr=7.5", "--temp", "-n", "bad")
    assert "exited with 3" in project.error("exp", "run", "-S", "lr=0.2,7.5", "-n", "half")
    assert state(project) == before
    assert list(refs(project)) == ["half-1"]
    assert project.git("worktree", "list").count("\n") == 1
    project.run("repro")


def test_an_ended_experiment_leaves_everything_as_it_was(project: Desk) -> None:
    before = state(project)
    for words in (
        ["-S", "lr=9"],
        ["--temp", "-S", "lr=9", "-n", "t"],
        ["-S", "lr=9,10", "-j", "2", "-n", "s"],
    ):
        process = begin(project, *words)
        assert end(process, signal.SIGTERM) == 130, words
        assert state(project) == before
        assert refs(project) == {}
        assert project.git("worktree", "list").count("\n") == 1
    waiting = project.git("for-each-ref", "--format=%(refname)", "refs/penstock").split()
    assert waiting == ["refs/penstock/queue/s-1", "refs/penstock/queue/s-2", "refs/penstock/queue/t"]
    assert "RUNNING" not in {one["status"] for one in project.json("run", "list")}


def test_a_killed_experiment_is_undone_by_the_next_one_unless_the_workspace_went_on(project: Desk) -> None:
    before = state(project)
    next_ones = [("exp", "run"), ("exp", "run"), ("repro",)]
    note = project.root / ".dvc/tmp/penstock-experiment.json"
    for goes_on in ("", "edited", "committed"):
        process = begin(project, "-S", "lr=9")
        end(process, signal.SIGKILL)
        assert state(project) != before
        if goes_on == "edited":
            project.put({"params.yaml": "lr: 9\nother: 5\n"})
        if goes_on == "edited":  # and where nobody can say whether the process has ended
            written = note.read_text()
            note.write_text(json.dumps({**json.loads(written), "process": "1.5.elsewhere"}))
            told = project.run("repro", "--dry").stderr
            assert "before a restart" in told and "lr=9 (was 0.1)" in told
            note.write_text(written)
        if goes_on == "committed":
            project.commit_all()
        told = project.run(*next_ones.pop(), "--dry").stderr
        assert ("put back" in told) is not bool(goes_on)
        assert ("params.yaml still has what that experiment set: lr=9 (was 0.1)" in told) is bool(goes_on)
        assert (state(project) == before) is not bool(goes_on)
        assert "was killed" not in project.run("exp", "run", "--dry").stderr
        if goes_on:
            project.put({"params.yaml": "lr: 0.1\nother: 5\n"})
    project.put({"params.yaml": "lr: 0.4\nother: 1\n"})
    assert project.json("exp", "run")["metrics"] == {"acc": 0.8}


def test_what_a_killed_sweep_had_taken_waits_again_and_none_is_lost(project: Desk) -> None:
    def states() -> dict[str, str]:
        below = project.json("exp", "show")[1]["experiments"]
        return {one["name"]: one["executor"]["state"] for one in below if one["executor"]}

    project.run("exp", "run", "--queue", "-S", "lr=9,10,11", "-n", "q")
    process = begin(project, "--run-all", "-j", "2")
    running = states()
    assert running.keys() == {"q-1", "q-2", "q-3"}
    assert "running" in running.values() and running["q-3"] == "queued"
    assert "already" in project.error("exp", "run", "--queue", "-S", "lr=9,10", "-n", "q", code=4)
    end(process, signal.SIGKILL)
    assert states() == dict.fromkeys(["q-1", "q-2", "q-3"], "queued")
    refused = project.error("exp", "run", "-S", "lr=9,10,11", "-n", "q", code=4)
    assert "q-1, q-2, q-3 wait in the queue: penstock exp run --run-all goes on with them" in refused
    assert "--force" not in refused
    assert project.json("exp", "remove", "q-2") == ["q-2"]
    done = project.json("exp", "run", "--run-all")
    assert {one["name"]: one["metrics"]["acc"] for one in done} == {"q-1": 18.0, "q-3": 22.0}
    assert states() == {}
    assert project.git("for-each-ref", "refs/penstock") == ""
    assert project.git("worktree", "list").count("\n") == 1


def begin(project: Desk, *words: str) -> subprocess.Popen[str]:
    """Start an experiment and wait until its command runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock.cli", "exp", "run", *words],
        cwd=project.root,
        env={**os.environ, **IDENTITY, "HOME": str(project.home), "HELD_S": "60"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    told = ""
    for line in process.stderr:
        told += line
        if "began" in line:
            return process
    raise AssertionError(f"it ended with {process.wait()} before its command ran: {told}")


def end(process: subprocess.Popen[str], number: int) -> int:
    """Send a signal, wait for the end and return the exit code."""
    process.send_signal(number)
    process.communicate(timeout=PATIENCE_S)
    return process.returncode


def test_mistakes_are_told_before_anything_is_done(project: Desk) -> None:
    before = state(project)
    for words, code in {
        ("-S", "lrr=1"): 1,
        ("-S", "gone.yaml:lr=1"): 1,
        ("-S", "../params.yaml:lr=1"): 1,
        ("-n", "a/b"): 1,
        ("--run-all", "-S", "lr=1"): 2,
        ("--temp", "--dry"): 2,
        ("--temp", "-C", "gone"): 1,
        ("nothing",): 1,
    }.items():
        project.run("exp", "run", *words, code=code)
        assert state(project) == before, words
    assert project.json("exp", "run", "--dry", "-S", "lr=0.7")["stages"][1] == {
        "name": "train", "action": "would run"
    }  # fmt: skip
    assert state(project) == before
    for value, count in (("1,2", 2), ("interval(1,9)", 2), ("1", 2), ("1,2", 1)):
        told = project.error("exp", "run", "--search", f"random:{count}", "-S", f"lrr={value}")
        assert "params.yaml has no 'lrr'" in told
    assert "nothing can be drawn" in project.error("exp", "run", "--search", "random:2", "-S", "lr=1")
    assert "--search random:N" in project.error("exp", "run", "-S", "lr=interval(1,9)")
    queued = project.run("exp", "run", "--queue", "--search", "random:3", "-S", "lr=1,2")
    assert "only 2 different" in queued.stderr and queued.stdout.count("Queued") == 2
    for name in ["", "a b", "a/b", ".a", "-a", "a..b", "a.lock", "a@{b", "a:b", "@"]:
        with pytest.raises(Invalid):
            check_name(name)


def test_without_a_commit_there_is_nothing_to_begin_at(tmp_path: Path, desk: Desk) -> None:
    other = Desk(tmp_path / "bare", desk.home)
    other.root.mkdir()
    other.git("init", "-q")
    other.run("init")
    assert "git commit" in other.error("exp", "run")
    assert "no such commit yet" in other.run("exp", "show").stderr
