"""A version in memory that has ended too many processes is dropped at once, whatever else is being loaded."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

import penstock
from penstock.data.verbs.creation import init_repository
from penstock.flows.models.folders import RegistrySource
from penstock.flows.models.registering import register_model
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.http.inference.app import build_inference_app
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.serving.ending.suspects import Suspects
from penstock.serving.ending.underway import CALLERS, Cut, End
from penstock.workspace import open_workspace
from serving.fatal import Fatal, Slow
from stories.live import wait_until

pytestmark = pytest.mark.slow


def test_a_load_that_hangs_keeps_no_other_endpoint_from_dropping_what_ends_processes(tmp_path: Path) -> None:
    root, shared, hangs = tmp_path / "project", tmp_path / "shared", tmp_path / "hangs"
    for folder in (root, shared):
        folder.mkdir()
    init_repository(root, no_scm=True, subdir=False, force=False)
    project = open_workspace(root, {"USER": "ada"})
    for number, model in (("1", Fatal()), ("2", Fatal("none")), ("3", Slow(str(hangs)))):
        penstock.save_model(model, root / number, inputs=[[1.0, 2.0], [3.0, 4.0]])
        register_model(project, "fatal", number)
    apply_deployment(project, plan_deployment(project, "main", "fatal/1"))
    apply_deployment(project, plan_deployment(project, "main", "fatal/2", canary=50, is_fixed=True))
    slow = plan_deployment(project, "slow", "fatal/3")
    options = ServeOptions(port=0, poll_s=0.05, shared_folder=str(shared))
    process = ServeProcess(project.database, RegistrySource(project), build_inference_app, options)
    process.start()
    try:
        hangs.touch()
        apply_deployment(project, slow)
        served = process.dataplane.repository
        wait_until(lambda: "slow" in served.pending)
        assert served.get("main").models.keys() == {1, 2}
        for _ in range(2):
            end = End(int(signal.SIGKILL), [Cut(kind=CALLERS, endpoint="main", number=2, count=1)])
            Suspects(str(shared)).note(end, {"main": served.get("main").revision})
        wait_until(lambda: served.get("main").models.keys() == {1})
        assert "slow" in served.pending, "it is still being loaded"
    finally:
        hangs.unlink()
        process.stop()
        project.close()
