"""What the chain asks of the store does not grow with what it holds of other things."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from penstock.base.store.database import Database
from penstock.flows.chain.lineage import explain
from penstock.project.places import Places
from penstock.project.project import Project
from penstock.project.settings import ProjectSettings
from penstock.registry.entities import Manifest, ModelVersion, Provenance
from penstock.registry.models import rename_model
from penstock.registry.tables import versions
from penstock.registry.versions import (
    add_version,
    find_commits,
    list_input_digests,
    list_versions_of_content,
    list_versions_of_input,
    list_versions_of_output,
)
from penstock.serving.deployments import Canary, RevisionDraft, append_revision

COUNT = 400


@pytest.fixture
def project(either_store: Database, tmp_path: Any) -> Iterator[Project]:
    url = either_store.engine.url.render_as_string(hide_password=False)
    (tmp_path / ".penstock").mkdir()
    places = Places(tmp_path, tmp_path / ".penstock", url, str(tmp_path / "artifacts"))
    opened = Project(places, ProjectSettings(project="world"), "ada")
    with opened.database.write() as connection:
        for number in range(1, COUNT + 1):
            data = {"data/rare.csv" if number % 200 == 0 else "data/raw.csv": f"md5:{number}"}
            add_version(
                connection,
                ModelVersion(
                    model="m", number=0, digest=f"{number:064x}", created_ms=0, actor="ci", path="m",
                    manifest=Manifest(()), metrics={}, profile_digest=None,
                    provenance=Provenance(data=data, output=f"md5:{number % 7}.dir", commit=f"{number % 2:040x}"),
                ),
            )  # fmt: skip
        before = None
        for stable, canary in ((200, None), (200, 400), (7, None)):
            draft = RevisionDraft(
                model="m",
                stable=stable,
                actor="ada",
                reason="x",
                canary=Canary(canary, 5) if canary else None,
            )
            before = append_revision(connection, "delay", draft, expected=before).number
    yield opened
    opened.close()


@contextmanager
def counted(database: Database) -> Iterator[dict[str, int]]:
    """Count the statements."""
    found = {"statements": 0}

    def count(*_arguments: Any) -> None:
        found["statements"] += 1

    sa.event.listen(database.engine, "after_cursor_execute", count)
    try:
        yield found
    finally:
        sa.event.remove(database.engine, "after_cursor_execute", count)


def test_data_lead_to_their_versions_without_loading_the_others(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Any] = []
    convert = msgspec.convert

    def note(value: Any, type: Any, **more: Any) -> Any:
        loaded.extend([value] if type is ModelVersion else [])
        return convert(value, type, **more)

    monkeypatch.setattr(msgspec, "convert", note)
    with counted(project.database) as asked:
        found = explain(project, "data/rare.csv/inside/of.it")
    assert [link.key for link in found.links if link.kind == "model version"] == ["m/400", "m/200"]
    assert [link.key for link in found.links if link.kind == "deployment"] == [
        "delay#2", "delay#2", "delay#1"
    ]  # fmt: skip
    assert len(loaded) == 2, "only what is told of is loaded"
    assert asked["statements"] < 30


def test_both_stores_find_the_versions_of_a_path_by_an_index(project: Project) -> None:
    with project.database.read() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        explaining = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
        for table in ("model_version_inputs", "run_inputs"):
            plan = connection.exec_driver_sql(f"{explaining}SELECT * FROM {table} WHERE path = 'x'").all()
            assert f"ix_{table}_path" in str(plan)


def test_both_stores_find_versions_by_content_output_and_commit(project: Project) -> None:
    with project.database.read() as connection:
        assert [one.ref for one in list_versions_of_content(connection, ["md5:400", "md5:12"])] == [
            "m/400",
            "m/12",
        ]
        made = [one.number for one in list_versions_of_output(connection, "m", "md5:3.dir")]
        assert made == [number for number in range(COUNT, 0, -1) if number % 7 == 3]
        assert list_versions_of_output(connection, "elsewhere", "md5:3.dir") == []
        digests = [("data/rare.csv", "md5:400"), ("data/raw.csv", "md5:40")]
        assert list_input_digests(connection, "md5:40") == digests
        assert sorted(find_commits(connection, "0" * 7)) == [f"{number:040x}" for number in (0, 1)]
    found = explain(project, "0" * 39 + "1", 12)
    assert (found.kind, found.links[0].kind) == ("commit", "commit")
    assert "no git repository is here" in found.links[0].text
    assert len([link for link in found.links if link.kind == "model version"]) == 12


def test_a_renamed_model_keeps_what_its_versions_were_made_of(project: Project) -> None:
    with project.database.write() as connection:
        rename_model(connection, "m", "other", "ada")
        found = list_versions_of_input(connection, "data/rare.csv")
        assert [one.ref for one in found] == ["other/400", "other/200"]
        assert connection.scalar(sa.select(sa.func.count()).select_from(versions)) == COUNT
