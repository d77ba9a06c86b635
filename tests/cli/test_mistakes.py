"""A user's mistake gets a sentence, the next command and the right exit code; never a traceback."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.flows.pipelines.execution import reproduce_and_record
from projects import Sample
from servers.forking import run_penstock


def run(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = run_penstock(cwd, *arguments)
    assert "Traceback" not in done.stdout + done.stderr
    assert "a defect in Penstock" not in done.stdout + done.stderr
    return done


def edit(name: str, old: str, new: str) -> Callable[[Sample], None]:
    def change(sample: Sample) -> None:
        text = (sample.root / name).read_text()
        assert old in text
        sample.write(name, text.replace(old, new, 1))

    return change


def remove(name: str) -> Callable[[Sample], None]:
    return lambda sample: (sample.root / name).unlink()


MISTAKES: list[tuple[str, Callable[[Sample], None] | None, list[str], int, str, str]] = [
    (
        "no penstock.yaml",
        remove("penstock.yaml"),
        ["model", "register"],
        1,
        "penstock.yaml does not exist",
        "model:",
    ),
    (
        "an unknown key",
        edit("penstock.yaml", "guardrails:", "guardrail:"),
        ["gate", "run"],
        1,
        "unknown key `guardrail`",
        "did you mean `guardrails`?",
    ),
    (
        "a value out of range",
        edit("penstock.yaml", "window_s: 1", "window_s: 0"),
        ["gate", "run"],
        1,
        "penstock.yaml:",
        "line",
    ),
    ("no pipeline", remove("dvc.yaml"), ["repro"], 1, "there is no dvc.yaml", "dvc.yaml"),
    (
        "missing data",
        remove("data/raw.csv"),
        ["repro"],
        1,
        "data/raw.csv, which data/raw.csv.dvc tracks, is missing",
        "penstock pull",
    ),
    (
        "missing parameters",
        remove("params.yaml"),
        ["repro"],
        1,
        "params.yaml does not exist",
        "penstock repro, where a stage makes it",
    ),
    ("nothing trained", None, ["gate", "run"], 1, "there is no model at", "penstock repro"),
    (
        "no such model",
        None,
        ["promote", "late/7"],
        1,
        "there is no model version late/7",
        "penstock model list",
    ),
    ("no such endpoint", None, ["rollback", "delay"], 1, "no endpoint 'delay'", "penstock endpoint list"),
    ("no such run", None, ["run", "show", "ffff"], 1, "no run 'ffff'", "penstock run list"),
    ("nothing so called", None, ["why", "xyz"], 1, "nothing is called 'xyz'", "prediction id"),
    ("a bad canary", None, ["deploy", "d", "--model", "m", "--canary", "100"], 2, "not in the range", ""),
    (
        "no such revision",
        None,
        ["ci", "run", "--rev", "nothing"],
        1,
        "knows no revision 'nothing'",
        "git log",
    ),
    ("no report yet", None, ["ci", "report"], 1, "no CI run has reported", "penstock ci run"),
    ("no remote", None, ["push"], 1, "no remote", "penstock remote add"),
    ("an unknown command", None, ["reproo"], 2, "No such command 'reproo'", ""),
    ("a missing directory", None, ["-C", "nowhere", "log"], 2, "nowhere is not a directory", ""),
    (
        "a store that is no database",
        edit("penstock.yaml", "project: sample", "project: sample\nstore: mysql://x"),
        ["log"],
        1,
        "'mysql' is not supported",
        "sqlite:///",
    ),
    (
        "a store that is down",
        edit("penstock.yaml", "project: sample", "project: sample\nstore: postgresql://x@127.0.0.1:1/x"),
        ["log"],
        5,
        "did not answer",
        "store:",
    ),
]


@pytest.mark.parametrize(
    ("change", "command", "code", "said", "hint"),
    [row[1:] for row in MISTAKES],
    ids=[row[0] for row in MISTAKES],
)
def test_a_mistake_is_explained(
    sample: Sample,
    change: Callable[[Sample], None] | None,
    command: list[str],
    code: int,
    said: str,
    hint: str,
) -> None:
    if change is not None:
        change(sample)
    done = run(sample.root, *command)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert hint in done.stderr


def test_outside_a_repository_everything_says_so_with_exit_3(tmp_path: Path) -> None:
    for command in (["status"], ["repro"], ["log"], ["serve", "--port", "0"], ["model", "list"], ["up"]):
        done = run(tmp_path, *command)
        assert done.returncode == 3
        assert "penstock init" in done.stderr


def test_with_json_the_error_is_one_document(sample: Sample) -> None:
    done = run(sample.root, "--json", "promote", "late/7")
    error = json.loads(done.stdout)["error"]
    assert done.returncode == 1
    assert error["code"] == "registry.no_version"
    assert error["hint"]


def test_with_json_a_usage_error_is_one_document_too(sample: Sample) -> None:
    for command in (["--json", "reproo"], ["--json", "deploy"], ["--json", "log", "-n", "abc"]):
        done = run(sample.root, *command)
        assert done.returncode == 2
        assert json.loads(done.stdout)["error"]["code"] == "usage"


def test_a_port_in_use_is_told_at_once(sample: Sample) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for command in (["serve", "--port", port], ["server", "--port", port]):
            done = run(sample.root, *command)
            assert done.returncode == 4
            assert f"port {port}" in done.stderr


def test_a_model_that_does_not_load_is_never_deployed(sample: Sample) -> None:
    text = (sample.root / "train.py").read_text()
    sample.write("train.py", text + "open('models/late/model.skops', 'wb').write(b'not a model')\n")
    reproduce_and_record(sample.project)
    settings = (sample.root / "penstock.yaml").read_text()
    sample.write(
        "penstock.yaml", settings.split("gates:")[0] + "endpoints:" + settings.split("endpoints:")[1]
    )
    assert run(sample.root, "model", "register").returncode == 0
    done = run(sample.root, "deploy", "delay", "--model", "late/1")
    assert done.returncode == 1
    assert "does not load" in done.stderr
    assert run(sample.root, "endpoint", "list").stdout.startswith("No endpoints yet")


def test_a_full_pipe_is_not_an_error_message(sample: Sample) -> None:
    command = f"{sys.executable} -m penstock.cli --help | head -1"
    done = subprocess.run(
        ["bash", "-c", command], cwd=sample.root, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
