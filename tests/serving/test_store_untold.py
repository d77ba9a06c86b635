"""Who calls a server whose store is away learns that, and not where the store lies; the log says it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from patience import PATIENCE_S
from penstock.base.errors import Corrupt, Invalid, Unavailable
from penstock.base.store.database import Database, connect
from penstock.http.errors import error_response
from penstock.http.inference.scoring import scoring_error
from penstock.http.mlflow.errors import mlflow_error_response
from penstock.processes.serve import ServeProcess
from penstock.rpc.errors import as_error, metadata_of
from penstock.serving.workers import list_workers
from servers.forking import run_penstock
from serving.models import deploy, request_body
from stories.live import wait_until

PLACE = "postgresql://penstock@db.internal:5432/prod"
AWAY = Unavailable(
    f"the store {PLACE} did not answer: no route", code="store.unavailable", hint="see db.internal"
)


def test_labels_that_find_no_store_are_told_to_come_again(
    server: ServeProcess, database: Database, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    file = Path(str(database.engine.url.database))
    with httpx.Client(base_url=f"{server.url}/v2/models/delay", timeout=PATIENCE_S) as client:
        made = client.post("/infer", json=request_body()).raise_for_status().json()["id"]
        file.rename(file.with_suffix(".away"))
        try:
            answer = client.post("/feedback", json=[{"prediction_id": made, "label": 1}])
            told = run_penstock(
                tmp_path, "feedback", "delay", "--prediction", made, "--label", "1", "--url", server.url
            )
        finally:
            file.with_suffix(".away").rename(file)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["error"] == "the store is away"
    assert file.name not in answer.text
    assert "error: the store is away\n hint: check `store:` in penstock.yaml and that" in told.stderr
    assert str(file) in caplog.text


def test_no_door_tells_the_address_of_a_store(caplog: pytest.LogCaptureFixture) -> None:
    for response in (error_response(AWAY), mlflow_error_response(AWAY), scoring_error(AWAY)):
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
        assert b"the store is away" in response.body
        assert b"db.internal" not in response.body
    told = as_error(AWAY, "ModelInfer")
    assert (told.message, told.code) == ("the store is away", "store.unavailable")
    assert "db.internal" not in str(metadata_of(told))
    damaged = Corrupt(f"the store {PLACE} is damaged: a page", code="store.corrupt")
    assert b"db.internal" not in error_response(damaged).body
    assert "retry-after" not in error_response(damaged).headers
    assert caplog.text.count("db.internal") >= 6
    other = Invalid("the input 'a' stands twice", code="serving.repeated_input")
    assert as_error(other, "ModelInfer") is other


def test_what_a_process_says_of_a_revision_names_no_store(
    server: ServeProcess,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_arguments: object) -> None:
        raise Corrupt(f"the store {PLACE} is damaged: a page", code="store.corrupt")

    monkeypatch.setattr(server._repository, "apply", fail)
    number = deploy(database, "delay", 1).number

    def said() -> str:
        with database.read() as connection:
            states = [one.state_of("delay", number) for one in list_workers(connection, 0)]
        return next((one.message for one in states if one is not None and one.message), "")

    wait_until(lambda: said() != "")
    assert said() == "the store is damaged"
    assert f"is not served, and tried again: the store {PLACE} is damaged" in caplog.text


def test_a_server_of_postgresql_that_is_away_is_not_named() -> None:
    store = connect("postgresql://penstock:secret@127.0.0.1:1/prod")
    with pytest.raises(Unavailable) as caught, store.read():
        pass
    body = bytes(error_response(caught.value).body)
    assert not any(word in body for word in (b"127.0.0.1", b"penstock:", b"prod", b"secret"))
