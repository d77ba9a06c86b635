"""Waiting until what was deployed is served: whoever waits is told for whom."""

from __future__ import annotations

import pytest

from patience import PATIENCE_S
from penstock.base.clock import now_ms
from penstock.base.errors import NotFound
from penstock.flows.production import awaiting
from penstock.flows.production.awaiting import wait_until_served
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.serving.workers import WorkerRevision, register_worker, report_revision
from projects import Sample


def test_who_lags_behind_is_named_while_waiting_and_when_it_ends(
    released: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(awaiting, "TOLD_AFTER_S", 0.0)
    monkeypatch.setattr(awaiting, "WORKER_ALIVE_MS", 3_600_000)  # nobody beats here
    project = released.project
    revision = apply_deployment(project, plan_deployment(project, "delay", "late@champion"))
    with project.database.write() as connection:
        ready, slow = (
            register_worker(connection, host=f"web-{pid}", pid=pid, url="http://web", time_ms=now_ms())
            for pid in (1, 2)
        )
        loaded = WorkerRevision(endpoint="delay", revision=1, state="ready", message="", time_ms=now_ms())
        report_revision(connection, ready, loaded)
    told: list[str] = []
    with pytest.raises(NotFound) as refused:
        wait_until_served(project, revision, 0.2, told.append)
    named = "1 of 2 serve processes (process 2 on web-2)"
    assert told == [f"revision 1 is recorded; waiting for {named} to load it"]
    assert refused.value.message == f"{named} did not take revision 1 of delay over in 0.2 s"
    with project.database.write() as connection:
        report_revision(connection, slow, loaded)
    assert wait_until_served(project, revision, PATIENCE_S) == 2
