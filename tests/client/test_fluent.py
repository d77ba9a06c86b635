"""`import penstock` in a user's script: what it logs arrives, whatever becomes of script or server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from client.scripts import found, script
from patience import PATIENCE_S
from penstock.client.embedded import StoreSink
from penstock.client.offline import send_journals
from penstock.project.project import Project
from penstock.tracking.metrics import list_history
from penstock.workspace import open_workspace
from projects import Sample
from servers.forking import run_penstock
from servers.tracking import run_tracking


def test_a_script_needs_no_server(project: Project) -> None:
    script(
        project.root,
        """
        import penstock
        penstock.log_param("lr", 0.1)
        for value in (3.0, 2.0, 1.0):
            penstock.log_metric("loss", value)
        penstock.set_tag("stage", "früh")
        penstock.log_text("hello", "notes/a.txt")
        """,
    )
    (run,) = found(project)
    assert (run.status, run.params, run.metrics["loss"], run.tags["stage"]) == (
        "FINISHED",
        {"lr": "0.1"},
        1.0,
        "früh",
    )
    assert project.artifacts.backend.get(f"files/1/{run.id}/artifacts/notes/a.txt") == b"hello"


def test_code_data_and_machine_are_recorded_by_themselves(sample: Sample) -> None:
    (sample.root / "params.yaml").write_text("uncommitted: true\n")
    script(sample.root, "import penstock\nwith penstock.start_run('one'): pass")
    (run,) = found(sample.project)
    assert run.commit == sample.project.git.head()
    assert run.dirty_digest
    assert run.inputs
    assert all(digest.startswith("md5:") for digest in run.inputs.values())
    assert "system/system_memory_usage_percentage" in run.metrics


def test_an_exception_fails_the_run_and_a_nested_one_knows_its_parent(project: Project) -> None:
    script(
        project.root,
        """
        import penstock
        with penstock.start_run("outer", system_metrics=False):
            with penstock.start_run("inner", nested=True, system_metrics=False):
                penstock.log_metric("m", 1)
            raise ValueError("no")
        """,
        ok=False,
    )
    inner, outer = sorted(found(project), key=lambda run: run.name)
    assert (inner.status, outer.status) == ("FINISHED", "FAILED")
    assert inner.tags["mlflow.parentRunId"] == outer.id


@pytest.mark.parametrize(
    ("text", "status"), [("raise ValueError", "FAILED"), ("raise SystemExit(0)", "FINISHED")]
)
def test_a_run_that_nobody_ended_is_ended(project: Project, text: str, status: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import penstock\npenstock.log_metric('m', 1)\n{text}"],
        cwd=project.root,
        env={**os.environ, "MLFLOW_TRACKING_URI": ""},
        capture_output=True,
        check=False,
    )
    assert b"ValueError" in done.stderr or done.returncode == 0
    (run,) = found(project)
    assert (run.status, run.metrics["m"]) == (status, 1.0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminated_script_loses_nothing(project: Project, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import penstock, signal, time\n"
            f"signal.signal({int(number)}, signal.SIG_DFL)\n"  # a test run under nohup ignores SIGHUP
            "for i in range(10): penstock.log_metric('m', i)\nprint('logged', flush=True)\ntime.sleep(60)",
        ],
        cwd=project.root,
        env={**os.environ, "MLFLOW_TRACKING_URI": ""},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    assert process.wait(PATIENCE_S) == -number
    process.stdout.close()
    (run,) = found(project)
    assert (run.status, run.metrics["m"]) == ("KILLED", 9.0)


def test_mistakes_are_told_at_once(project: Project) -> None:
    done = script(
        project.root,
        """
        import penstock
        from penstock.base.errors import PenstockError
        def told(work, *arguments):
            try:
                work(*arguments)
            except PenstockError as error:
                print(error.code)
        with penstock.start_run(system_metrics=False) as run:
            told(penstock.log_metric, "m", "1.0")
            told(penstock.log_metric, "m", True)
            told(penstock.log_metric, "m", 10**400)
            told(penstock.log_metric, "../m", 1.0)
            penstock.log_param("a", 1)
            told(penstock.log_param, "a", 2)
            told(penstock.log_artifact, "nowhere")
            told(penstock.log_text, "x", "../../x")
            told(penstock.start_run)
        """,
    )
    assert done.stdout.split() == [
        "request.invalid_value",
        "request.invalid_value",
        "request.invalid_value",
        "request.invalid_value",
        "tracking.parameter_changed",
        "client.no_file",
        "artifacts.bad_path",
        "client.run_active",
    ]


def test_a_run_goes_to_the_server_that_the_environment_names(tmp_path: Path) -> None:
    with run_tracking(tmp_path) as server:
        script(tmp_path, "import penstock\npenstock.log_metric('m', 2.5)", MLFLOW_TRACKING_URI=server.url)
        project = open_workspace(server.root, {})
        (run,) = found(project)
        project.close()
    assert run.metrics["m"] == 2.5


def test_runs_within_a_run_name_it_on_a_server_too(tmp_path: Path) -> None:
    with run_tracking(tmp_path) as server:
        script(
            tmp_path,
            """
            import penstock
            with penstock.start_run("sweep", system_metrics=False) as outer:
                for rate in ("0.1", "0.2"):
                    with penstock.start_run(rate, nested=True, system_metrics=False):
                        with penstock.start_run(f"fold of {rate}", nested=True, system_metrics=False):
                            penstock.log_metric("auc", float(rate))
                        penstock.log_metric("rate", float(rate))
                penstock.log_metric("best", 0.2)
                assert penstock.active_run() is outer
            """,
            MLFLOW_TRACKING_URI=server.url,
        )
        project = open_workspace(server.root, {})
        runs = {run.name: run for run in found(project)}
        project.close()
    names = {run.id: name for name, run in runs.items()}
    assert {name: names.get(run.tags.get("mlflow.parentRunId", "")) for name, run in runs.items()} == {
        "sweep": None, "0.1": "sweep", "0.2": "sweep", "fold of 0.1": "0.1", "fold of 0.2": "0.2",
    }  # fmt: skip
    assert {name: dict(run.metrics) for name, run in runs.items()} == {
        "sweep": {"best": 0.2}, "0.1": {"rate": 0.1}, "0.2": {"rate": 0.2},
        "fold of 0.1": {"auc": 0.1}, "fold of 0.2": {"auc": 0.2},
    }  # fmt: skip
    assert {run.status for run in runs.values()} == {"FINISHED"}


def test_a_run_goes_on_where_it_was_with_what_it_is_given(project: Project) -> None:
    script(
        project.root,
        """
        import penstock
        from penstock.base.errors import PenstockError
        with penstock.start_run("first") as run:
            for loss in (1.0, 2.0, 3.0):
                penstock.log_metric("loss", loss)
        with penstock.start_run("around", system_metrics=False) as outer:
            with penstock.start_run(
                "second", run_id=run.id, nested=True, tags={"team": "x"}, description="note"
            ) as again:
                try:
                    penstock.start_run(run_id=again.id, nested=True)
                except PenstockError as error:
                    penstock.set_tag("told", error.code)
                for loss in (4.0, 5.0):
                    penstock.log_metric("loss", loss)
        """,
    )
    runs = {run.name: run for run in found(project)}
    again = runs["second"]
    assert set(runs) == {"second", "around"}
    assert (again.metrics["loss"], again.status) == (5.0, "FINISHED")
    assert {
        "team": "x", "mlflow.note.content": "note", "mlflow.parentRunId": runs["around"].id, "told": "client.run_active",
    }.items() <= again.tags.items()  # fmt: skip
    with project.database.read() as connection:
        assert [row[3] for row in list_history(connection, again.id, "loss")] == [0, 1, 2, 3, 4]
        looks = [
            row[3] for row in list_history(connection, again.id, "system/system_memory_usage_percentage")
        ]
    assert looks == sorted(set(looks))


def test_a_run_without_its_server_is_sent_later(project: Project, tmp_path: Path) -> None:
    text = """
        import penstock
        with penstock.start_run("outer", system_metrics=False):
            penstock.log_param("a", 1)
            penstock.log_metric("m", float("nan"))
            penstock.log_text("hi", "a.txt")
            with penstock.start_run("inner", nested=True, system_metrics=False):
                penstock.log_metric("m", 1)
        """
    done = script(project.root, text, PENSTOCK_URI="http://127.0.0.1:9")
    assert "penstock run sync" in done.stderr
    assert found(project) == []
    with run_tracking(tmp_path / "s") as server:
        for expected in ("sent", "Nothing waits"):
            sent = run_penstock(project.root, "run", "sync", PENSTOCK_URI=server.url)
            assert (sent.returncode, expected in sent.stdout) == (0, True), sent
        there = open_workspace(server.root, {})
        inner, outer = sorted(found(there), key=lambda run: run.name)
        there.close()
    assert (outer.params, outer.status, inner.metrics) == ({"a": "1"}, "FINISHED", {"m": 1.0})
    assert inner.tags["mlflow.parentRunId"] == outer.id


def test_a_server_that_goes_away_in_the_middle_loses_nothing(project: Project, tmp_path: Path) -> None:
    with run_tracking(tmp_path / "s") as server:
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import penstock, sys\n"
                "with penstock.start_run(system_metrics=False) as run:\n"
                "    penstock.log_metric('before', 1); run.flush()\n"
                "    print('ready', flush=True); sys.stdin.readline()\n"
                "    penstock.log_metric('after', 2)\n",
            ],
            cwd=project.root,
            env={**os.environ, "PENSTOCK_URI": server.url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.readline()
        root, store = server.root, server.store
    process.communicate(b"\n", timeout=PATIENCE_S)
    assert process.returncode == 0
    there = open_workspace(root, {"PENSTOCK_STORE": store})
    assert found(there)[0].metrics == {"before": 1.0}
    run_penstock(Path.cwd(), "-C", project.root, "run", "sync", PENSTOCK_URI="http://127.0.0.1:9")

    list(send_journals(project.home, StoreSink(there)))
    (run,) = found(there)
    assert (run.metrics, run.status) == ({"before": 1.0, "after": 2.0}, "FINISHED")
    there.close()


def test_logging_never_waits_for_the_server(project: Project) -> None:
    done = script(
        project.root,
        """
        import penstock, threading
        from penstock.client import embedded
        from penstock.client.embedded import StoreSink
        gate = threading.Event()
        original = StoreSink.log
        def slow(self, run_id, batch):
            gate.wait(30)
            original(self, run_id, batch)
        StoreSink.log = slow
        with penstock.start_run(system_metrics=False):
            for step in range(5000):
                penstock.log_metric("m", step)
            print("logged", flush=True)
            gate.set()
        """,
    )
    assert done.stdout.strip() == "logged"
    assert found(project)[0].metrics == {"m": 4999.0}


FORKS = """
import multiprocessing, os, penstock
def work(key):
    for step in range(5):
        penstock.log_metric(key, step, step=step)
with penstock.start_run(system_metrics=False) as run:
    penstock.log_metric("parent", 1)
    workers = [multiprocessing.get_context("fork").Process(target=work, args=(f"child{n}",)) for n in range(3)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    pid = os.fork()
    if pid == 0:
        penstock.log_metric("raw", 7)
        raise SystemExit(0)
    os.waitpid(pid, 0)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert run.status == "RUNNING"
    penstock.log_metric("after", 2)
print(run.id)
"""
EXPECTED = {"parent": 1.0, "child0": 4.0, "child1": 4.0, "child2": 4.0, "raw": 7.0, "after": 2.0}


def test_forked_children_log_to_their_parent_s_run(project: Project) -> None:
    script(project.root, FORKS)
    (run,) = found(project)
    assert (run.status, run.metrics) == ("FINISHED", EXPECTED)


def test_forked_children_log_to_the_server_too(tmp_path: Path) -> None:
    with run_tracking(tmp_path / "s") as server:
        done = script(tmp_path, FORKS, PENSTOCK_URI=server.url)
        status, answer = server.get(f"/api/2.0/mlflow/runs/get?run_id={done.stdout.strip()}")
    assert status == 200
    shown = answer["run"]
    assert shown["info"]["status"] == "FINISHED"
    assert {one["key"]: one["value"] for one in shown["data"]["metrics"]} == EXPECTED


def test_public_names_can_be_listed() -> None:
    import penstock

    assert {"start_run", "log_metric", "load_model", "open"} <= set(dir(penstock))
