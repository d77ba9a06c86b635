"""Waiting until what was deployed is served: whoever waits is told for whom."""

from __future__ import annotations

import pytest

from patience import PATIENCE_S
from penstock.base.clock import now_ms
from penstock.base.errors import NotFound
from penstock.flows.production import awaiting
from penstock.flows.production.awaiting import wait_until_served
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.overview import overview
from penstock.flows.production.revising import apply_deployment
from penstock.serving.workers import WorkerRevision, beat, list_alive, register_worker, report_revision
from projects import Sample


def test_who_lags_behind_is_named_while_waiting_and_when_it_ends(
    released: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(awaiting, "TOLD_AFTER_S", 0.0)
    monkeypatch.setattr("penstock.serving.workers.ALIVE_MS", 3_600_000)  # nobody beats here
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


def test_a_sign_of_life_from_before_a_clock_was_set_back_counts_for_no_longer_than_one_from_now(
    released: Sample,
) -> None:
    project, hours_ms = released.project, 2 * 3_600_000
    revision = apply_deployment(project, plan_deployment(project, "delay", "late@champion"))
    with project.database.write() as connection:
        worker = register_worker(connection, host="web", pid=1, url="http://web", time_ms=now_ms() + hours_ms)
        said = WorkerRevision(
            endpoint="delay", revision=1, state="ready", message="", time_ms=now_ms() + hours_ms
        )
        report_revision(connection, worker, said)
    following = apply_deployment(project, plan_deployment(project, "delay", "late@champion", reason="again"))
    assert wait_until_served(project, following, 0.2) == 0
    (view,) = overview(project)
    assert (view.servers, list(view.lost_servers)) == ({}, ["http://web on web"])
    with project.database.write() as connection:
        beat(connection, worker, now_ms() + 1_000)
        assert [one.id for one in list_alive(connection, now_ms())] == [worker], "hosts are a second apart"
    assert revision.number < following.number
