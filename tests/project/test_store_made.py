"""A store is made by who writes, not by who looks, and is not made a second time."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from penstock.base.errors import NotFound, Unavailable
from penstock.base.store.events import list_events, record_event
from penstock.cli.main import cli
from penstock.data.verbs.creation import init_repository
from penstock.serving.deployments import list_endpoints
from penstock.workspace import open_workspace


def test_who_looks_makes_no_store_who_writes_does_and_what_went_away_is_not_made_again(
    tmp_path: Path,
) -> None:
    init_repository(tmp_path, no_scm=True)
    file = tmp_path / ".penstock" / "penstock.db"
    looking, writing = open_workspace(tmp_path), open_workspace(tmp_path)
    with looking.database.read() as connection:
        assert list_endpoints(connection) == []
        assert list_events(connection) == []
    assert not file.exists()
    assert not looking.database.is_made
    with writing.database.write() as connection:
        record_event(connection, "test.happened", "test:1", "person:ada", "it happened")
    assert file.is_file()
    with looking.database.read() as connection:
        assert [one.kind for one in list_events(connection)] == ["test.happened"]
    for one in file.parent.glob("penstock.db*"):
        one.unlink()
    with pytest.raises(Unavailable), writing.database.write():
        pass
    with pytest.raises(Unavailable), looking.database.read():
        pass
    other = writing.at(tmp_path, writing.readable_settings, "controller")
    with pytest.raises(NotFound):
        _ = other.database
    assert not file.exists()
    for one in (looking, writing, other):
        one.close()


def test_commands_that_only_read_leave_no_store_behind(tmp_path: Path) -> None:
    init_repository(tmp_path, no_scm=True)
    for command in (
        "endpoint list",
        "model list",
        "run list",
        "alias list",
        "monitor status",
        "log",
        "user list",
    ):
        done = CliRunner().invoke(cli, ["-C", str(tmp_path), *command.split()])
        assert (done.exit_code, command) == (0, command), done.output
        assert not list(tmp_path.rglob("penstock.db*")), command
