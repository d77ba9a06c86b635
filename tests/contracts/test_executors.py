"""Every executor keeps the promises of the role, on this machine and on a real Ray cluster."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import pytest

from patience import PATIENCE_S
from penstock.base.errors import NotFound, Refused
from penstock.pipeline.executors.catalogue import list_executors, open_executor
from penstock.pipeline.executors.role import Ended, Executor, Message, Printed, Task
from penstock.pipeline.running.conditions import Resources
from servers.ray import ray_cluster
from stories.live import is_running, wait_until


@pytest.fixture(scope="module", params=["local", "ray"])
def kind(request: pytest.FixtureRequest) -> Iterator[tuple[str, str | None]]:
    if request.param == "local":
        yield "local", None
        return
    with ray_cluster() as address:
        yield "ray", address


@pytest.fixture
def executor(kind: tuple[str, str | None]) -> Iterator[Executor]:
    found = open_executor(*kind)
    yield found
    found.close()
    found.close()


def run(executor: Executor, *tasks: Task) -> tuple[dict[str, Ended], dict[str, list[str]]]:
    """Run tasks at once and return how each ended and what it printed."""
    told: SimpleQueue[Message] = SimpleQueue()
    for task in tasks:
        executor.check(task)
        executor.submit(task, told.put)
    ended: dict[str, Ended] = {}
    lines: dict[str, list[str]] = {task.name: [] for task in tasks}
    while len(ended) < len(tasks):
        message = told.get(timeout=PATIENCE_S)
        assert message.name not in ended, "nothing is told of a task after its end"
        if isinstance(message, Printed):
            lines[message.name].append(message.line)
        else:
            ended[message.name] = message
    return ended, lines


def are_gone(file: Path) -> bool:
    """Say whether the processes that a file names have ended; time may be up before any is written there."""
    return not file.exists() or not any(is_running(int(pid)) for pid in file.read_text().split())


def test_inputs_are_there_outputs_come_back_and_lines_in_order(executor: Executor, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/in").write_text("x\n")
    (tmp_path / "tool").write_text("#!/bin/sh\necho tool\n")
    (tmp_path / "tool").chmod(0o755)
    (tmp_path / "grows").write_text("1\n")
    commands = (
        "seq 300; printf 'no end of line' >&2; echo $GREETING $DVC_STAGE > ../said",
        "mkdir -p ../made/deep && cat in > ../made/deep/x && ../tool > ../made/y && echo 2 >> ../grows",
    )
    task = Task(
        "s",
        commands,
        tmp_path,
        "d",
        ("d/in", "tool"),
        ("said", "made", "grows"),
        ("grows",),
        {"GREETING": "a b", "DVC_STAGE": "s"},
    )
    ended, lines = run(executor, task)
    assert ended["s"] == Ended("s", "done")
    assert lines["s"] == [*map(str, range(1, 301)), "no end of line"]
    assert (tmp_path / "said").read_text() == "a b s\n"
    assert (tmp_path / "made/deep/x").read_text() == "x\n" and (tmp_path / "made/y").read_text() == "tool\n"
    assert (tmp_path / "grows").read_text() == "1\n2\n"


def test_failures_and_time_that_is_up_are_told_apart(executor: Executor, tmp_path: Path) -> None:
    plain = Task("fails", ("true", "echo told; exit 3", "touch never"), tmp_path)
    slow = Task(
        "slow",
        (f"(while :; do sleep 0.05; done) & echo $! > {tmp_path}/child; wait",),
        tmp_path,
        timeout_s=1.0,
    )
    ended, lines = run(executor, plain, slow)
    assert ended["fails"] == Ended("fails", "failed", "echo told; exit 3", 3)
    assert lines["fails"] == ["told"] and not (tmp_path / "never").exists()
    assert ended["slow"].ending == "timed out"
    wait_until(lambda: are_gone(tmp_path / "child"))


def test_commands_run_in_the_shell_that_is_named_here(
    executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = "set -o pipefail; [[ 1 == 1 ]] && diff <(echo a) <(echo a) && echo same"
    tasks = [Task(name, (command,), tmp_path) for name in ("bash", "own")]
    tasks[1] = replace(tasks[1], variables={"SHELL": shutil.which("bash") or "bash"})
    monkeypatch.setenv("SHELL", shutil.which("bash") or "bash")
    _, lines = run(executor, tasks[0])
    monkeypatch.setenv("SHELL", "/bin/sh")
    _, more = run(executor, tasks[1])
    assert lines["bash"] == more["own"] == ["same"]
    ended, _ = run(executor, Task("none", ("true",), tmp_path, variables={"SHELL": str(tmp_path / "nosh")}))
    assert ended["none"].ending == "failed" and "nosh" in ended["none"].detail, ended


def test_what_no_machine_has_is_refused_before_it_waits(executor: Executor, tmp_path: Path) -> None:
    for wanted in (Resources(memory_bytes=1 << 60), Resources(gpus=1000)):
        with pytest.raises(Refused, match="stage `s` asks for") as caught:
            executor.check(Task("s", ("true",), tmp_path, resources=wanted))
        assert caught.value.code == "pipeline.infeasible"
    executor.check(Task("s", ("true",), tmp_path, resources=Resources(cpus=0.5, memory_bytes=1 << 20)))


def test_a_cancelled_task_and_all_it_started_are_ended(executor: Executor, tmp_path: Path) -> None:
    file = tmp_path / "pids"
    command = f"sleep 1000 & echo $! > {file}.part; echo $$ >> {file}.part; mv {file}.part {file}; wait"
    executor.submit(Task("s", (command,), tmp_path), lambda _: None)
    wait_until(file.exists)
    executor.cancel()
    wait_until(lambda: not any(is_running(int(pid)) for pid in file.read_text().split()))
    told: SimpleQueue[Message] = SimpleQueue()
    executor.submit(Task("late", ("touch late",), tmp_path), told.put)
    message = told.get(timeout=PATIENCE_S)
    assert isinstance(message, Ended) and message.ending == "failed"
    assert not (tmp_path / "late").exists()


def test_a_secret_of_ours_does_not_reach_the_command(
    executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_SIGNING_KEY", "secret")
    task = Task("s", ("echo ${PENSTOCK_SIGNING_KEY-none} > o",), tmp_path, makes=("o",))
    assert run(executor, task)[0]["s"].ending == "done"
    assert (tmp_path / "o").read_text() == "none\n"
    assert os.environ["PENSTOCK_SIGNING_KEY"] == "secret"


def test_a_worker_that_is_killed_is_told_as_lost(
    kind: tuple[str, str | None], executor: Executor, tmp_path: Path
) -> None:
    if kind[0] != "ray":
        return  # what runs a local task is this process
    told: SimpleQueue[Message] = SimpleQueue()
    command = f"sleep 1000 & echo $! > {tmp_path}/child; echo $PPID > {tmp_path}/worker.part; mv {tmp_path}/worker.part {tmp_path}/worker; wait"
    executor.submit(replace(Task("s", (command,), tmp_path)), told.put)
    wait_until((tmp_path / "worker").exists)
    os.kill(int((tmp_path / "worker").read_text()), 9)
    message = told.get(timeout=PATIENCE_S)
    assert isinstance(message, Ended) and message.ending == "lost"
    wait_until(lambda: not is_running(int((tmp_path / "child").read_text())))


def test_executors_are_found_by_name() -> None:
    assert {"local", "ray"} <= set(list_executors())
    with pytest.raises(NotFound, match="there is no executor called 'spark'"):
        open_executor("spark")
