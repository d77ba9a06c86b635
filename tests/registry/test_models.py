"""Models and versions through renames and deletions: a name with a number means one thing for ever."""

from __future__ import annotations

import pytest

from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.base.store.database import Database
from penstock.base.store.events import list_events
from penstock.registry import aliases, models, notes, verdicts, versions
from penstock.registry.cards import get_card, latest_cards
from penstock.registry.entities import AliasMove, FileDigest, Manifest, ModelVersion, Provenance, Verdict
from penstock.registry.names import check_alias, parse_number
from penstock.registry.references import parse_time, resolve_version
from penstock.registry.search import RegistrySearch, search_models, search_versions


def draft(model: str = "a", digest: str = "d") -> ModelVersion:
    return ModelVersion(
        model=model,
        number=0,
        digest=digest,
        created_ms=0,
        actor="me",
        path="",
        manifest=Manifest((FileDigest("MLmodel", 3, "ab"),)),
        provenance=Provenance(),
        tags={"k": "v"},
        source="s3://b/x",
    )


def move(version: int | None, previous: int | None, time_ms: int, model: str = "a") -> AliasMove:
    return AliasMove(
        model=model,
        name="champion",
        version=version,
        previous=previous,
        time_ms=time_ms,
        actor="me",
        verdict_id=None,
    )


def verdict(model: str = "a") -> Verdict:
    return Verdict(
        id="v1",
        model=model,
        model_digest="d",
        settings_digest="s",
        data={},
        passed=True,
        checks=(),
        created_ms=1,
        actor="me",
    )


def add(database: Database, model: str = "a", digest: str = "d") -> int:
    with database.write() as connection:
        return versions.add_version(connection, draft(model, digest), reuse=False).number


@pytest.fixture
def store(either_store: Database) -> Database:
    with either_store.write() as connection:
        models.create_model(connection, "a", "me", tags={"t": "1"}, description="words")
    add(either_store)
    add(either_store)
    return either_store


def test_what_a_model_has_follows_its_new_name(store: Database) -> None:
    with store.write() as connection:
        aliases.move_alias(connection, move(2, None, 5), expected=None)
        verdicts.add_verdict(connection, verdict())
        models.rename_model(connection, "a", "b", "me")
    with store.read() as connection:
        renamed = models.get_model(connection, "b")
        assert (renamed.tags, renamed.description) == ({"t": "1"}, "words")
        assert get_card(connection, "b", 2).aliases == ("champion",)
        assert get_card(connection, "b", 1).tags == {"k": "v"}
        assert verdicts.find_verdict(connection, "b", "d") is not None
        assert [one.version for one in aliases.list_alias_moves(connection, "b", "champion")] == [2]
        with pytest.raises(NotFound, match="there is no model a"):
            models.get_model(connection, "a")
        assert resolve_version(connection, "a/2").ref == "b/2"
        with pytest.raises(NotFound):
            get_card(connection, "a", 2)


def test_a_new_model_of_an_old_name_goes_on_counting(store: Database) -> None:
    with store.write() as connection:
        models.rename_model(connection, "a", "b", "me")
        models.create_model(connection, "a", "me")
    assert add(store, "a", "other") == 3
    with store.read() as connection:
        assert versions.get_version(connection, "a", 1).ref == "b/1"
        assert versions.get_version(connection, "a", 3).ref == "a/3"
    with store.write() as connection:
        models.delete_model(connection, "a", "me")
        models.create_model(connection, "a", "me")
    assert add(store, "a") == 4


def test_a_name_that_means_other_versions_is_not_given_to_a_model(store: Database) -> None:
    with store.write() as connection:
        models.create_model(connection, "c", "me")
    add(store, "c")
    with store.write() as connection:
        models.delete_model(connection, "c", "me")
    with pytest.raises(Conflict, match="was the name of another model"), store.write() as connection:
        models.rename_model(connection, "a", "c", "me")
    with store.write() as connection:
        models.rename_model(connection, "a", "b", "me")
        assert models.rename_model(connection, "b", "a", "me").name == "a"
        assert versions.get_version(connection, "b", 1).ref == "a/1"
    assert add(store, "a") == 3


def test_a_name_in_use_is_taken(store: Database) -> None:
    with store.write() as connection:
        models.create_model(connection, "b", "me")
    for work in (
        lambda connection: models.create_model(connection, "b", "me"),
        lambda connection: models.rename_model(connection, "a", "b", "me"),
    ):
        with pytest.raises(Conflict) as caught, store.write() as connection:
            work(connection)
        assert caught.value.code == "registry.model.exists"


def test_a_deleted_version_is_gone_but_explained(store: Database) -> None:
    with store.write() as connection:
        versions.delete_version(connection, get_card(connection, "a", 2), "me")
    with store.read() as connection:
        with pytest.raises(NotFound, match=r"there is no model version a/2"):
            versions.get_version(connection, "a", 2)
        assert versions.get_version(connection, "a", 2, deleted=True).number == 2
        assert [one.number for one in versions.list_versions(connection)] == [1]
    assert add(store) == 3


def test_only_some_changes_count_as_updates(store: Database) -> None:
    def updated() -> tuple[int, int]:
        with store.read() as connection:
            return models.get_model(connection, "a").updated_ms, get_card(connection, "a", 1).updated_ms

    def age() -> None:
        with store.write() as connection:
            connection.exec_driver_sql("UPDATE registered_models SET updated_ms = 1")
            connection.exec_driver_sql("UPDATE model_versions SET updated_ms = 1")

    age()
    with store.write() as connection:
        models.set_model_tag(connection, "a", "k", "v", "me")
        notes.set_version_tag(connection, get_card(connection, "a", 1), "k", "w", "me")
        notes.delete_version_tag(connection, get_card(connection, "a", 1), "never", "me")
    assert updated() == (1, 1)
    with store.write() as connection:
        notes.describe_version(connection, "a", 1, "text", "me")
    assert updated()[0] == 1 < updated()[1]
    age()
    with store.write() as connection:
        notes.move_stage(connection, get_card(connection, "a", 1), "Staging", "me")
    assert min(updated()) > 1
    age()
    add(store)
    assert updated()[0] > 1 == updated()[1]


def test_a_stage_archives_what_was_in_it(store: Database) -> None:
    with store.write() as connection:
        for number in (1, 2):
            card = get_card(connection, "a", number)
            notes.move_stage(connection, card, "production", "me", archive=True)
        stages = {one.number: one.stage for one in latest_cards(connection, ["a"])["a"]}
        with pytest.raises(Invalid, match="not an Active stage"):
            notes.move_stage(connection, card, "None", "me", archive=True)
    assert stages == {1: "Archived", 2: "Production"}


def test_what_an_alias_was_at_a_time_can_be_asked(store: Database) -> None:
    noon = parse_time("2026-11-20T12:00")
    with store.write() as connection:
        aliases.move_alias(connection, move(1, None, noon), expected=None)
        aliases.move_alias(connection, move(2, 1, noon + 60_000), expected=1)
        aliases.move_alias(connection, move(None, 2, noon + 120_000), expected=2)
        versions.delete_version(connection, get_card(connection, "a", 1), "me")
    with store.read() as connection:
        assert resolve_version(connection, "a@champion@2026-11-20T12:00").number == 1
        assert resolve_version(connection, "a@champion@2026-11-20T12:01:30").number == 2
        assert resolve_version(connection, f"a@champion@{noon + 60_000}").number == 2
        for time in ("2026-11-20", "2026-11-21"):
            with pytest.raises(NotFound, match="was called 'champion' at"):
                resolve_version(connection, f"a@champion@{time}")
        with pytest.raises(Invalid, match="not a time"):
            resolve_version(connection, "a@champion@tuesday")


def test_searches_read_the_grammar(store: Database) -> None:
    with store.write() as connection:
        models.create_model(connection, "prompt", "me", tags={"mlflow.prompt.is_prompt": "true"})
        assert search_models(connection, RegistrySearch("tag.`mlflow.prompt.is_prompt` != 'true'")) == ["a"]
        assert search_models(connection, RegistrySearch("tags.t != '2'")) == ["a"]
        assert search_models(connection, RegistrySearch("", ["name DESC"], 1)) == ["prompt"]
        found = search_versions(connection, RegistrySearch("version_number > 1 AND source_path LIKE 's3:%'"))
        assert [(one.model, one.number) for one in found] == [("a", 2)]
        assert len(search_versions(connection, RegistrySearch("tags.k = 'v'"))) == 2


def test_every_change_leaves_its_event(store: Database) -> None:
    with store.write() as connection:
        models.delete_model_tag(connection, "a", "t", "me")
        models.describe_registered(connection, "a", "more", "me")
        models.rename_model(connection, "a", "b", "me")
        models.delete_model(connection, "b", "me")
    with store.read() as connection:
        kinds = [event.kind for event in list_events(connection)]
    assert kinds == [
        "model.created",
        "model.registered",
        "model.registered",
        "model.tag_deleted",
        "model.described",
        "model.renamed",
        "model.deleted",
    ]


@pytest.mark.parametrize("alias", ["", "latest", "Latest", "v1", "V22", "a b", "a/b", "x" * 256])
def test_an_alias_that_means_something_else_is_refused(alias: str) -> None:
    with pytest.raises(Invalid):
        check_alias(alias)


@pytest.mark.parametrize("text", ["x", "1.5", "", "9" * 5000])
def test_a_number_is_an_integer(text: str) -> None:
    if text.isdigit():
        assert parse_number(text) == 0
    else:
        with pytest.raises(Invalid, match="must be an integer"):
            parse_number(text)
