"""Nothing that a store may hold breaks a page, a list of the API or a list of the command line."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from starlette.testclient import TestClient

from penstock.base.store.database import metadata
from penstock.base.store.events import record_event
from penstock.cli.main import cli
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.http.app import build_server_app
from penstock.monitoring.findings import Finding, add_findings
from penstock.monitoring.policies import PolicyBody, put_policy
from penstock.monitoring.windows import Partial, Window, WindowKey, pack, put_partial
from penstock.processes.controller import ControllerLoop
from penstock.tracking.entities import MetricPoint
from penstock.tracking.metrics import RunReference, log_points
from penstock.tracking.runs import list_runs
from penstock.tracking.values import set_tags
from projects import Sample

WHOLE = (2**63 - 1, -(2**63), 253_402_300_800_000, -62_135_596_800_001, 0, -1)
REAL = (sys.float_info.max, -sys.float_info.max, math.inf, -math.inf, 5e-324, 1e300, 0.0)
TEXTS = (
    "",
    "\x1b[2J\x07\na\tb\r",
    "\u202edrowkcab 🫠\u0301" * 20,
    "<script>{{7*7}}%s%n",
    "x" * 100_000,
)
CLOSED = {
    "deleted_ms",
    "moved_to",
    "status",
    "route",
    "direction",
    "digest",
    "lock_digest",
    "profile_digest",
    "model",
    "endpoint",
    "stage",
    "kind",
}
"""Columns whose words are the program's own, or that lead to another row."""


@pytest.fixture
def filled(released_root: Path, tmp_path: Path) -> Iterator[Sample]:
    """A project with something in every list."""
    sample = Sample.copy(released_root, tmp_path / "project")
    project = sample.project
    with project.database.write() as connection:
        run = list_runs(connection)[0]
        set_tags(connection, run.id, {"team": "a", "mlflow.note.content": "b"})
        points = [MetricPoint("loss", 1.0 / step, 5, step) for step in range(1, 4)]
        points += [
            MetricPoint(f"wild/{place % 3}", value, max(0, time_ms), step)
            for place, (value, time_ms, step) in enumerate(
                product((*REAL, math.nan, 1e299, -1e299), WHOLE, WHOLE)
            )
        ]
        log_points(connection, RunReference(run.id, 0), points)
        record_event(connection, "endpoint.noted", "endpoint:delay", "person:ada", "noted", cause={"a": 1.5})
    yield sample
    project.close()


def addresses(run_id: str) -> list[str]:
    return [
        "/",
        "/runs",
        f"/runs/{run_id}",
        "/experiments/0",
        "/experiments/1",
        "/models",
        "/models/late/1",
        "/endpoints/delay",
        "/lineage/late/1",
        f"/lineage/{run_id}",
        "/lineage/delay",
        "/lineage/data/raw.csv",
        "/api/penstock/v1/runs",
        f"/api/penstock/v1/runs/{run_id}",
        "/api/penstock/v1/models",
        "/api/penstock/v1/models/late/versions",
        "/api/penstock/v1/events",
        "/api/penstock/v1/endpoints",
        "/api/penstock/v1/lineage/late/1",
        f"/api/2.0/mlflow/runs/get?run_id={run_id}",
        "/api/2.0/mlflow/registered-models/search",
        "/api/2.0/mlflow/model-versions/search",
        "/api/2.0/mlflow/experiments/search?max_results=10",
    ]


def commands(run_id: str) -> list[list[str]]:
    return [
        ["run", "list"],
        ["run", "show", run_id],
        ["model", "list"],
        ["model", "show", "late/1"],
        ["endpoint", "list"],
        ["endpoint", "history", "delay"],
        ["why", "late/1"],
        ["why", run_id],
        ["log"],
    ]


def open_columns() -> list[tuple[sa.Table, sa.Column[object]]]:
    """Return every column that a client can fill with what it likes."""
    return [
        (table, column)
        for table in metadata.sorted_tables
        for column in table.columns
        if not (column.primary_key or column.foreign_keys or column.unique or column.name in CLOSED)
    ]


def odd_values(column: sa.Column[object]) -> tuple[object, ...]:
    if isinstance(column.type, sa.BigInteger):
        return WHOLE
    if isinstance(column.type, sa.Float):
        return REAL
    if isinstance(column.type, sa.String) and not isinstance(column.type, sa.Enum):
        return TEXTS
    return ()


def test_nothing_stored_breaks_a_page_a_list_or_why(filled: Sample) -> None:
    """Each open column of each table in turn takes each odd value; everything is asked for once a value."""
    project = filled.project
    with project.database.read() as connection:
        run_id = list_runs(connection)[0].id
    client = TestClient(build_server_app(project, ControllerLoop(project)), raise_server_exceptions=False)
    rounds = max(len(WHOLE), len(REAL), len(TEXTS))
    runner = CliRunner()
    for turn in range(rounds):
        with project.database.engine.connect() as connection, connection.begin():
            for table, column in open_columns():
                values = odd_values(column)
                if values:
                    connection.execute(table.update().values({column: values[turn % len(values)]}))
        for address in addresses(run_id):
            answer = client.get(address)
            assert answer.status_code == 200, (turn, address, answer.text[-400:])
        for words in commands(run_id):
            done = runner.invoke(cli, ["-C", str(filled.root), *words])
            assert done.exception is None, (turn, words, done.exception)
            assert "\x1b" not in done.output


DAMAGED = {
    "windows": {"features": b"no profile", "outputs": b"no profile", "quality": b"no quality"},
    "findings": {"body": {"kind": "of another program"}},
    "policies": {"body": {"endpoint": {"guardrails": "all of them"}}},
}


def test_a_page_shows_what_can_be_read_of_an_endpoint_beside_a_damaged_row(released: Sample) -> None:
    project = released.project
    apply_deployment(project, plan_deployment(project, "delay", "late/1"))
    key = WindowKey("delay", int(time.time()) - 5, 1, 1, "stable")
    window = Window(key=key, window_s=1, request_count=3)
    client = TestClient(build_server_app(project, ControllerLoop(project)), raise_server_exceptions=False)
    for name, values in DAMAGED.items():
        with project.database.write() as connection:
            put_partial(connection, pack(Partial(window=window, worker=1, sequence=1)))
            add_findings(connection, [a_breach(key)])
            connection.execute(metadata.tables[name].update().values(values))
        page = client.get("/endpoints/delay")
        assert page.status_code == 200, (name, page.text[-400:])
        assert "A part of this page cannot be read" in page.text, name
        assert "late/1" in page.text and "Revisions" in page.text
        assert client.get("/").status_code == 200
        assert client.get("/health").status_code == 200


def a_breach(key: WindowKey) -> Finding:
    return Finding(
        kind="errors", endpoint=key.endpoint, revision=1, version=1, route=key.route, start_s=key.start_s,
        end_s=key.start_s + 1, name="error_ratio", observed=1.0, limit=0.1, count=3, statistic="z",
        statistic_value=9.0, breached=True, sentence="it failed",
    )  # fmt: skip


def test_the_policies_of_an_endpoint_are_on_its_page_and_in_endpoint_show(released: Sample) -> None:
    project = released.project
    apply_deployment(project, plan_deployment(project, "delay", "late/1"))
    settings = project.settings.endpoints["delay"]
    changed = msgspec.structs.replace(settings, on_breach=("alert",))
    with project.database.write() as connection:
        put_policy(connection, "delay", PolicyBody(endpoint=changed), "person:ada")
    page = TestClient(build_server_app(project, ControllerLoop(project))).get("/endpoints/delay").text
    shown = CliRunner().invoke(cli, ["-C", str(released.root), "--json", "endpoint", "show", "delay"])
    policy = json.loads(shown.output)["policy"]
    assert [one["number"] for one in policy["history"]] == [2, 1] and policy["number"] == 2
    (change,) = [one for one in policy["history"][0]["changes"] if "on_breach" in one]
    assert "2 (now)" in page and change.split(" ")[0] in page
    words = CliRunner().invoke(cli, ["-C", str(released.root), "endpoint", "show", "delay"]).output
    assert "policy    2, 3 guardrails" in words and "1 since " in words and "on_breach" in words
