from __future__ import annotations

import threading

import pytest

from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.base.store.database import Database
from penstock.serving.deployments import (
    Canary,
    RevisionDraft,
    append_revision,
    find_endpoint_name,
    find_revision,
    get_revision,
    list_endpoints,
    list_revisions,
)
from penstock.serving.workers import WorkerRevision, beat, list_workers, register_worker, report_revision

DRAFT = RevisionDraft(model="m", stable=1, actor="person:test", reason="first", cause={"verdict": 7})


def test_revisions_are_numbered_and_the_last_is_current(database: Database) -> None:
    with database.write() as connection:
        first = append_revision(connection, "delay", DRAFT, expected=None)
        canary = RevisionDraft(
            model="m",
            stable=1,
            canary=Canary(2, 5.0),
            shadows=(3,),
            steps=(5.0, 100.0),
            actor="a",
            reason="r",
        )
        second = append_revision(connection, "delay", canary, expected=1)
    with database.read() as connection:
        assert get_revision(connection, "delay") == second
        assert get_revision(connection, "delay", 1) == first
        assert list_revisions(connection, "delay") == [second, first]
        assert list_endpoints(connection) == [second]
        assert find_endpoint_name(connection, second.endpoint_id) == "delay"
    assert (second.number, second.previous, second.versions) == (2, 1, (1, 2, 3))
    assert first.cause == {"verdict": 7}


def test_a_plan_made_on_another_revision_is_a_conflict_and_changes_nothing(database: Database) -> None:
    with database.write() as connection:
        append_revision(connection, "delay", DRAFT, expected=None)
    for expected in (None, 2):
        with pytest.raises(Conflict, match="revision 1") as caught, database.write() as connection:
            append_revision(connection, "delay", DRAFT, expected=expected)
        assert caught.value.code == "serving.revision_moved"
    with database.read() as connection:
        assert get_revision(connection, "delay").number == 1


def test_of_many_that_plan_at_once_one_wins(database: Database) -> None:
    with database.write() as connection:
        append_revision(connection, "delay", DRAFT, expected=None)
    won: list[int] = []

    def advance() -> None:
        try:
            with database.write() as connection:
                won.append(append_revision(connection, "delay", DRAFT, expected=1).number)
        except Conflict:
            pass

    threads = [threading.Thread(target=advance) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [2]


def test_what_does_not_exist_is_not_found(database: Database) -> None:
    with database.read() as connection:
        assert find_revision(connection, "nope") is None
        with pytest.raises(NotFound, match="no endpoint"):
            get_revision(connection, "nope")
    with database.write() as connection:
        append_revision(connection, "delay", DRAFT, expected=None)
        with pytest.raises(NotFound, match="no revision 9"):
            get_revision(connection, "delay", 9)
        with pytest.raises(NotFound, match="no endpoint"):
            append_revision(connection, "other", DRAFT, expected=1)


@pytest.mark.parametrize("percent", [0.0, 100.0, -1.0])
def test_a_canary_of_nothing_or_everything_is_refused(database: Database, percent: float) -> None:
    draft = RevisionDraft(model="m", stable=1, canary=Canary(2, percent), actor="a", reason="r")
    with pytest.raises(Invalid), database.write() as connection:
        append_revision(connection, "delay", draft, expected=None)


def test_workers_tell_what_they_serve_until_they_are_gone(database: Database) -> None:
    report = WorkerRevision(endpoint="delay", revision=1, state="failed", message="no", time_ms=5)
    with database.write() as connection:
        worker = register_worker(connection, host="h", pid=1, url="http://x", time_ms=1000)
        report_revision(connection, worker, report)
        report_revision(connection, worker, WorkerRevision(endpoint="delay", revision=1, state="ready", message="", time_ms=6))  # fmt: skip
    with database.read() as connection:
        (found,) = list_workers(connection, 999)
        assert list_workers(connection, 1000) == []
    state = found.state_of("delay", 1)
    assert state is not None
    assert state.state == "ready"
    assert found.state_of("delay", 2) is None
    with database.write() as connection:
        beat(connection, worker, 0)
        assert list_workers(connection, 0) == []
