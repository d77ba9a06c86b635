"""What `start` and `doctor` print, write and leave alone."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

import pytest

from penstock.base.errors import Conflict
from penstock.http.listen import bind
from penstock.processes.together import run_together

from .conftest import Desk

PIPELINE = {
    "dvc.yaml": "stages:\n  fit: {cmd: fit, deps: [data.csv], outs: [models/late], metrics: [m.json: {cache: false}]}\n",
    "m.json": '{"roc_auc": 0.8}',
}


def test_start_shows_writes_when_told_and_keeps_what_is_there(desk: Desk) -> None:
    desk.put(PIPELINE)
    shown = desk.run("start")
    assert "name: late" in shown.stdout
    assert "penstock start --yes" in shown.stderr
    assert not (desk.root / "penstock.yaml").exists()
    document = desk.json("start", "--yes")
    assert document["written"] is True
    assert (desk.root / "penstock.yaml").read_text() == document["text"]
    assert "exists already" in desk.error("start", "--yes", code=4)
    assert "models/late is not made yet" in desk.run("start", "--dry-run").stderr


def test_what_start_wrote_before_there_was_a_model_is_replaced_unless_it_was_edited(desk: Desk) -> None:
    written = desk.run("start", "--yes").stdout
    assert "a step that makes a model, then penstock start again" in written
    desk.put(PIPELINE)
    assert desk.json("start", "--yes")["written"] is True
    assert "name: late" in (desk.root / "penstock.yaml").read_text()
    assert "exists already" in desk.error("start", "--yes", code=4)


def test_init_writes_the_same_file_where_it_is_asked_to(tmp_path: Path) -> None:
    home, root = tmp_path / "home", tmp_path / "repo"
    home.mkdir()
    root.mkdir()
    desk = Desk(root, home)
    desk.put(PIPELINE)
    assert desk.json("init", "--no-scm", "--project")["settings"] == "penstock.yaml"
    assert "name: late" in (root / "penstock.yaml").read_text()


def test_doctor_names_what_is_missing_and_what_is_broken(desk: Desk) -> None:
    states = {check["part"]: check for check in desk.json("doctor")["checks"]}
    assert states["git"]["state"] == "ok"
    assert states["settings"]["hint"] == "penstock start"
    assert states["pipeline"]["hint"] == "penstock stage add"
    assert states["remote"]["hint"] == "penstock remote add -d NAME URL"
    desk.put({**PIPELINE, "models/late": "x", "data.csv": "x"})
    desk.run("start", "--yes")
    desk.run("remote", "add", "-d", "far", "s3://bucket/x")
    desk.run("remote", "modify", "far", "endpointurl", "http://127.0.0.1:1")
    desk.variables |= {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        checks = desk.json("doctor", "--port", port, code=1)["checks"]
    found = {check["part"]: check for check in checks if check["state"] != "ok"}
    assert found["remote"]["state"] == "broken"
    assert "is a file, not a model folder" in found["model"]["sentence"]
    assert f"{port} is in use" in found["ports"]["sentence"]
    desk.put({"penstock.yaml": "project: x\nmodle: {}\n"})
    assert "did you mean `model`" in desk.run("doctor", code=1).stdout


def test_doctor_outside_of_a_repository_says_how_one_begins(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    desk = Desk(tmp_path, tmp_path / "home")
    assert "penstock init" in desk.run("doctor").stdout


def test_a_file_where_a_model_folder_is_wanted_is_named_as_one(desk: Desk) -> None:
    desk.put(
        {"models/model.pkl": "x", "penstock.yaml": "project: p\nmodel: {name: m, path: models/model.pkl}\n"}
    )
    said = desk.error("gate", "run")
    assert "model.pkl cannot be used as a model of sklearn" in said
    assert "penstock.save_model(model, folder" in said
    desk.put({"penstock.yaml": "project: p\nmodel: {name: m, path: models/none}\n"})
    assert "no stage of dvc.yaml makes models/none" in desk.error("gate", "run")


def test_deploy_needs_a_model_only_where_the_settings_name_none(desk: Desk) -> None:
    assert "--model is needed" in desk.error("deploy", "delay", code=2)
    desk.put({"penstock.yaml": "project: p\nendpoints: {delay: {model: late@champion}}\n"})
    assert "no version of 'late' is called 'champion'" in desk.error("deploy", "delay")


def test_a_taken_port_names_the_option_that_chooses_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Conflict) as error:
        bind("127.0.0.1", taken.getsockname()[1], "--serve-port")
    assert "--serve-port" in (error.value.hint or "")


def test_who_ended_and_how_is_told_and_the_other_is_ended() -> None:
    before = signal.getsignal(signal.SIGTERM)
    wait = [sys.executable, "-c", "import signal; signal.pause()"]
    ended = run_together({"server": wait, "serve": [sys.executable, "-c", "raise SystemExit(3)"]})
    assert ended is not None
    assert (ended.name, ended.code, ended.sentence) == ("serve", 3, "serve ended with exit code 3")
    suicide = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
    killed = run_together({"server": suicide, "serve": wait})
    assert killed is not None
    assert killed.sentence == "server was ended by SIGKILL"
    assert signal.getsignal(signal.SIGTERM) is before
