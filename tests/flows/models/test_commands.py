"""The commands on models and aliases, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from penstock.base.errors import Invalid, NotFound
from penstock.cli.main import cli
from servers.registry_api import run_api


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with run_api(tmp_path / "root") as api:
        model = api.logged_model(api.run()["run_id"], {"MLmodel": b"flavors: {}\n"})
        api.post("registered-models/create", name="m")
        for _ in range(2):
            source = f"models:/{model['model_id']}"
            api.post("model-versions/create", name="m", source=source, model_id=model["model_id"])
        api.post("model-versions/create", name="m", source="s3://bucket/model")
    return tmp_path / "root"


def penstock(root: Path, *arguments: str, code: int = 0) -> str:
    done = CliRunner(env={"PENSTOCK_ACTOR": "person:ada"}).invoke(cli, ["-C", str(root), *arguments])
    assert done.exit_code == code, done.output
    return done.output


def test_an_aliass_history_says_when_who_and_what(root: Path) -> None:
    assert "never set" in penstock(root, "alias", "history", "m@champion")
    penstock(root, "alias", "set", "m@champion", "1")
    penstock(root, "promote", "m/2")
    penstock(root, "alias", "delete", "m@champion")
    moves = json.loads(penstock(root, "alias", "history", "m@champion", "--json"))
    assert [(move["version"], move["previous"], move["actor"]) for move in moves] == [
        (1, None, "person:ada"),
        (2, 1, "person:ada"),
        (None, 2, "person:ada"),
    ]
    assert "taken away" in penstock(root, "alias", "history", "m@champion")
    shown = json.loads(penstock(root, "model", "show", f"m@champion@{moves[1]['time_ms']}", "--json"))
    assert shown["number"] == 2


def test_every_alias_is_listed_with_where_it_points_and_since_when(root: Path) -> None:
    assert "No aliases yet" in penstock(root, "alias", "list")
    penstock(root, "alias", "set", "m@champion", "1")
    penstock(root, "alias", "set", "m@challenger", "1")
    penstock(root, "alias", "set", "m@challenger", "2")
    penstock(root, "alias", "set", "m@gone", "2")
    penstock(root, "alias", "delete", "m@gone")
    listed = json.loads(penstock(root, "alias", "list", "m", "--json"))
    assert [(one["name"], one["version"], one["actor"]) for one in listed] == [
        ("challenger", 2, "person:ada"),
        ("champion", 1, "person:ada"),
    ]
    assert all(one["time_ms"] > 0 for one in listed)
    text = penstock(root, "alias", "list")
    assert text.index("m@challenger") < text.index("m@champion")
    missing = CliRunner().invoke(cli, ["-C", str(root), "alias", "list", "nobody"])
    assert isinstance(missing.exception, NotFound)


def test_versions_are_listed_verified_downloaded_and_deleted(root: Path, tmp_path: Path) -> None:
    assert "m/3" in penstock(root, "model", "list")
    assert "not kept here" in penstock(root, "model", "show", "m/3")
    assert "2 versions are intact" in penstock(root, "model", "verify")
    penstock(root, "model", "download", "m/1", "-o", str(tmp_path / "out"))
    assert (tmp_path / "out" / "MLmodel").read_bytes() == b"flavors: {}\n"
    penstock(root, "model", "rename", "m", "n")
    penstock(root, "model", "delete", "n/2", "--force")
    listed = json.loads(penstock(root, "model", "list", "--json"))
    assert [(one["model"], one["number"]) for one in listed] == [("n", 3), ("n", 1)]
    penstock(root, "model", "delete", "n", "--force")
    assert json.loads(penstock(root, "model", "list", "--json")) == []


def test_a_deleted_version_is_explained_and_comes_back(root: Path) -> None:
    penstock(root, "alias", "set", "m@challenger", "2")
    assert "penstock model restore m/2 undoes it" in penstock(root, "model", "delete", "m/2", "--force")
    told = penstock(root, "why", "m/2")
    assert "m/2  deleted " in told and " by person:ada, sha256 " in told, told
    with pytest.raises(NotFound, match=r"no model version m/2: it was deleted .* by person:ada") as caught:
        CliRunner().invoke(cli, ["-C", str(root), "model", "show", "m/2"], catch_exceptions=False)
    assert caught.value.hint == "penstock model restore m/2"
    assert penstock(root, "model", "restore", "m/2") == "m/2 is back.\n"
    assert [one["number"] for one in json.loads(penstock(root, "model", "list", "--json"))] == [3, 2, 1]
    assert "deleted" not in penstock(root, "why", "m/2")
    assert json.loads(penstock(root, "alias", "list", "--json")) == []
    for reference in ("m/2", "m"):
        with pytest.raises(Invalid, match=f"{reference} is not deleted"):
            CliRunner().invoke(cli, ["-C", str(root), "model", "restore", reference], catch_exceptions=False)


def test_a_deleted_model_comes_back_with_the_versions_that_went_with_it(root: Path) -> None:
    penstock(root, "model", "delete", "m/2", "--force")
    penstock(root, "model", "delete", "m", "--force")
    assert "m/1  deleted " in penstock(root, "why", "m/1")
    assert penstock(root, "model", "restore", "m") == "m is back with 2 versions.\n"
    assert [one["number"] for one in json.loads(penstock(root, "model", "list", "--json"))] == [3, 1]
    penstock(root, "model", "delete", "m", "--force")
    penstock(root, "model", "restore", "m/2")
    assert [one["number"] for one in json.loads(penstock(root, "model", "list", "--json"))] == [2]
    events = json.loads(penstock(root, "log", "--json"))
    assert [one["kind"] for one in events[-4:]] == [
        "model.deleted", "model.restored", "model.deleted", "model.version_restored"
    ]  # fmt: skip
