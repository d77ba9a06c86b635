"""OpenLineage is told of runs and stages; nothing it does, or does not do, fails a run."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from penstock.base.errors import Refused
from penstock.flows.pipelines.execution import reproduce_and_record
from penstock.flows.pipelines.lineage_events import Telling, Told
from penstock.flows.pipelines.looking import SILENT
from penstock.flows.tracked.working_tree import checkout
from penstock.pipeline.openlineage import Pipeline
from penstock.pipeline.running.reproducing import ReproduceOptions, StageResult
from penstock.pipeline.stage import Stage
from penstock.project.lineage_target import LineageTarget
from penstock.project.worktree import clean_worktree
from penstock.tracking.entities import Run
from penstock.workspace import open_workspace
from projects import Sample

CHECKERS = os.environ.get("PENSTOCK_PROVENANCE_PYTHON")
CHECK = Path(__file__).with_name("check_lineage.py")


class Server:
    """A server that takes events, and answers `status`."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str | None]] = []
        self.status = 201
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.asked.append((self.path, self.headers["Authorization"]))
                outer.events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


def said(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["eventType"], event["job"]["name"]) for event in events]


def test_a_run_and_its_stages_are_told_with_the_digests_of_their_data(sample: Sample, server: Server) -> None:
    settings = sample.root / "penstock.yaml"
    settings.write_text(
        f"lineage: {{file: .penstock/lineage.jsonl, namespace: late}}\n{settings.read_text()}"
    )
    project = open_workspace(sample.root, {"USER": "ada"})
    done = reproduce_and_record(project)
    assert done.untold is None
    assert done.run is not None
    file = sample.root / ".penstock/lineage.jsonl"
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert said(events) == [
        ("START", "sample"),
        ("START", "sample.split"), ("COMPLETE", "sample.split"),
        ("START", "sample.train"), ("COMPLETE", "sample.train"),
        ("COMPLETE", "sample"),
    ]  # fmt: skip
    assert {event["run"]["runId"].replace("-", "") for event in (events[0], events[-1])} == {done.run.id}
    assert events[0]["inputs"][0]["facets"]["version"]["datasetVersion"] == done.run.inputs["data/raw.csv"]
    made = {one["name"]: one["facets"]["version"]["datasetVersion"] for one in events[2]["outputs"]}
    read = {one["name"]: one["facets"]["version"]["datasetVersion"] for one in events[4]["inputs"]}
    assert made["data/train.csv"] == read["data/train.csv"]
    assert events[4]["run"]["facets"]["parent"]["run"]["runId"] == events[0]["run"]["runId"]

    variables = {
        "USER": "ada",
        "OPENLINEAGE_URL": server.url,
        "OPENLINEAGE_API_KEY": "k",
        "OPENLINEAGE_NAMESPACE": "ours",
    }
    project = open_workspace(sample.root, variables)
    (sample.root / "train.py").write_text("raise SystemExit(3)")
    with pytest.raises(Refused):
        reproduce_and_record(project, ReproduceOptions())
    assert said(server.events) == [
        ("START", "sample"), ("START", "sample.train"), ("FAIL", "sample.train"), ("FAIL", "sample"),
    ]  # fmt: skip
    assert "3" in server.events[-1]["run"]["facets"]["errorMessage"]["message"]
    assert set(server.asked) == {("/api/v1/lineage", "Bearer k")}
    assert server.events[0]["job"]["namespace"] == "ours"
    assert len(file.read_text().splitlines()) == 6, "the variables win over penstock.yaml"
    if CHECKERS is not None:
        every = sample.root / "every.jsonl"
        every.write_text("".join(json.dumps(event) + "\n" for event in [*events, *server.events]))
        checked = subprocess.run(
            [CHECKERS, str(CHECK), str(every)], capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stdout) == (0, "10\n"), checked.stdout + checked.stderr


def test_what_is_not_delivered_fails_no_run_and_is_told(
    sample: Sample, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.status = 500
    (sample.root / "train.py").write_text(
        "import os, json\nos.mkdir('models/late')\nopen('models/late/a', 'w')\njson.dump({}, open('metrics.json', 'w'))"
    )
    project = open_workspace(sample.root, {"USER": "ada", "OPENLINEAGE_URL": server.url})
    assert reproduce_and_record(project).untold == "the server answered 500"
    assert len(server.events) == 1, "it is asked once"
    for target in ("http://127.0.0.1:1", "ftp://nowhere"):
        project = open_workspace(sample.root, {"USER": "ada", "OPENLINEAGE_URL": target})
        done = reproduce_and_record(project, ReproduceOptions(force=True))
        assert done.untold
        assert done.run is not None
        assert done.run.status == "FINISHED"
    (sample.root / "split.py").write_text("raise SystemExit(3)")
    with caplog.at_level(logging.WARNING), pytest.raises(Refused):
        reproduce_and_record(project)
    assert "were not delivered" in caplog.text


def test_a_relative_file_is_the_projects_own_from_a_tree_beside_it_too(sample: Sample) -> None:
    settings = sample.root / "penstock.yaml"
    settings.write_text(f"lineage: {{file: lineage.jsonl}}\n{settings.read_text()}")
    sample.commit("tell")
    project = open_workspace(sample.root, {"USER": "ada"})
    for _ in range(2):
        with clean_worktree(project, "HEAD", "ci") as tree:
            checkout(tree.data, allow_missing=True)
            assert reproduce_and_record(tree, ReproduceOptions(force=True)).untold is None
            assert not (tree.root / "lineage.jsonl").exists()
    events = [json.loads(line) for line in (sample.root / "lineage.jsonl").read_text().splitlines()]
    assert said(events).count(("COMPLETE", "sample")) == 2


def test_stages_that_run_at_once_are_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    telling = Telling(LineageTarget(file=str(file)), tmp_path)
    told = Told(telling, Pipeline("0" * 32, "n", "p"), SILENT)
    first, second = Stage("a", ("x",)), Stage("b", ("x",))
    told.started(first, ())
    told.started(second, ())
    told.finished(StageResult("a", "ran", 1.0, None, ()))
    told.end(Run(id="0" * 32, experiment="p", name="r", status="RUNNING", start_ms=0), "interrupted")
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert said(events) == [
        ("START", "p.a"), ("START", "p.b"), ("COMPLETE", "p.a"), ("FAIL", "p.b"), ("FAIL", "p"),
    ]  # fmt: skip


def test_the_standard_variables_say_where_events_go() -> None:
    prefix = "OPENLINEAGE__TRANSPORT__"
    for variables, expected in (
        ({}, LineageTarget()),
        ({"OPENLINEAGE_URL": "http://a", "OPENLINEAGE_DISABLED": "True"}, LineageTarget(url="http://a", is_off=True)),
        ({f"{prefix}TYPE": "noop"}, LineageTarget(is_off=True)),
        ({f"{prefix}TYPE": "file", f"{prefix}LOG_FILE_PATH": "/x"}, LineageTarget(file="/x")),
        (
            {f"{prefix}TYPE": "http", f"{prefix}URL": "https://b", f"{prefix}AUTH": '{"type": "api_key", "apiKey": "s"}',
             f"{prefix}ENDPOINT": "e", f"{prefix}TIMEOUT": "2", "OPENLINEAGE_URL": "http://a"},
            LineageTarget(url="https://b", endpoint="e", api_key="s", timeout_s=2.0),
        ),
        ({f"{prefix}AUTH": "no JSON", f"{prefix}TIMEOUT": "soon"}, LineageTarget()),
    ):  # fmt: skip
        assert LineageTarget.of(variables) == expected
    assert "s3cret" not in repr(LineageTarget.of({"OPENLINEAGE_API_KEY": "s3cret"}))
