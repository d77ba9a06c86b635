"""Versions are numbered and immutable, aliases keep their history, on both engines."""

from __future__ import annotations

import math

import msgspec
import pytest

from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.base.store.database import Database
from penstock.base.store.events import list_events
from penstock.registry.aliases import find_alias, list_alias_moves, move_alias
from penstock.registry.entities import AliasMove, FileDigest, Manifest, ModelVersion, Provenance
from penstock.registry.names import check_name
from penstock.registry.references import resolve_version
from penstock.registry.versions import VersionCount, add_version, count_versions, get_version, list_versions


def draft(digest: str = "d1", run: str = "r1", commit: str = "c" * 40) -> ModelVersion:
    return ModelVersion(
        model="m",
        number=0,
        digest=digest,
        created_ms=0,
        actor="me",
        path="models/m",
        manifest=Manifest((FileDigest("MLmodel", 3, "ab"),)),
        provenance=Provenance(commit=commit, run_id=run, data={"data/ü.csv": "md5:1"}),
        metrics={"roc_auc": 0.7},
    )


def move(version: int | None, previous: int | None) -> AliasMove:
    return AliasMove(
        model="m", name="champion", version=version, previous=previous, time_ms=1, actor="me", verdict_id=None
    )


def test_versions_count_up_and_come_back_whole(either_store: Database) -> None:
    with either_store.write() as connection:
        first, second = add_version(connection, draft()), add_version(connection, draft("d2"))
    assert (first.number, second.number) == (1, 2)
    with either_store.read() as connection:
        assert get_version(connection, "m", 1) == first
        assert [version.number for version in list_versions(connection)] == [2, 1]
        assert [version.number for version in list_versions(connection, limit=1)] == [2]
        assert count_versions(connection) == count_versions(connection, "m") == [VersionCount("m", 2, 2)]
        assert count_versions(connection, "nobody") == []


def test_metrics_that_are_no_numbers_are_kept(either_store: Database) -> None:
    told = {"auc": math.nan, "loss": math.inf, "gain": -math.inf, "rows": 3.0}
    with either_store.write() as connection:
        add_version(connection, msgspec.structs.replace(draft(), metrics=told))
    with either_store.read() as connection:
        [found] = list_versions(connection, "m")
        [event] = [one for one in list_events(connection) if one.kind == "model.registered"]
    assert repr(found.metrics) == repr(told)
    assert repr(event.after["metrics"]) == repr(told)


def test_the_same_result_registered_twice_is_one_version(either_store: Database) -> None:
    with either_store.write() as connection:
        assert add_version(connection, draft()).number == add_version(connection, draft()).number
        assert add_version(connection, draft(run="r2")).number == 1
        assert add_version(connection, draft(commit="e" * 40)).number == 2


def test_an_alias_moves_only_from_where_it_was_seen(either_store: Database) -> None:
    with either_store.write() as connection:
        add_version(connection, draft())
        move_alias(connection, move(1, None), expected=None)
    with pytest.raises(Conflict, match="version 1 now"), either_store.write() as connection:
        move_alias(connection, move(2, None), expected=None)
    with either_store.write() as connection:
        move_alias(connection, move(None, 1), expected=1)
    with either_store.read() as connection:
        assert find_alias(connection, "m", "champion") is None
        assert [one.version for one in list_alias_moves(connection, "m", "champion")] == [1, None]


def test_references_are_resolved_or_explained(either_store: Database) -> None:
    with either_store.write() as connection:
        add_version(connection, draft())
        move_alias(connection, move(1, None), expected=None)
    with either_store.read() as connection:
        assert resolve_version(connection, "m/1").number == 1
        assert resolve_version(connection, "m@champion").number == 1
        assert resolve_version(connection, "m").number == 1
        for reference, error in {
            "m/9": NotFound,
            "m@x": NotFound,
            "z": NotFound,
            "m/x": Invalid,
            "m/1/2": Invalid,
        }.items():
            with pytest.raises(error):
                resolve_version(connection, reference)


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "a@b", "x" * 257, "a\nb"])
def test_a_name_that_cannot_be_addressed_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        check_name(name)
