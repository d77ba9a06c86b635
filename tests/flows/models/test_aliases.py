"""One policy for aliases, whichever door is tried; and versions of clients judged like the pipeline's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from penstock.artifacts.files import ArtifactFiles
from penstock.base.errors import Conflict, Refused
from penstock.flows.models.aliases import (
    AliasPolicy,
    apply_promotion,
    delete_alias,
    drop_alias,
    plan_promotion,
)
from penstock.flows.models.folders import fetch_model
from penstock.flows.models.judging import run_gate_on
from penstock.flows.models.removing import delete_model, delete_version, rename_model
from penstock.flows.models.uploaded import Registration, register_uploaded
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.registry.aliases import list_alias_moves
from penstock.registry.versions import get_version
from penstock.workspace import open_workspace
from projects import PENSTOCK_YAML, Sample
from servers.registry_api import Api, run_api

GATED = "project: p\nprotected_aliases: [champion, live]\ngates:\n  - metric: {name: auc, min: 0.5}\n"


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[Api]:
    with run_api(tmp_path / "gated", GATED) as api:
        api.post("registered-models/create", name="m")
        api.post("model-versions/create", name="m", source="s3://bucket/model")
        yield api


@pytest.mark.parametrize("alias", ["champion", "live"])
def test_a_version_of_unknown_content_is_never_protected_aliases_version(gated: Api, alias: str) -> None:
    status, answer = gated("POST", "registered-models/alias", name="m", alias=alias, version="1")
    assert (status, answer["error_code"]) == (403, "PERMISSION_DENIED")
    assert "nobody can say what they are" in answer["message"]
    assert gated("POST", "registered-models/alias", name="m", alias="other", version="1")[0] == 200
    gated.post("model-versions/transition-stage", name="m", version="1", stage="Production")


def test_without_gates_moves_are_free_and_kept_with_who_and_when(tmp_path: Path) -> None:
    with run_api(tmp_path / "free") as api:
        api.post("registered-models/create", name="m")
        api.post("model-versions/create", name="m", source="s3://bucket/model")
        (warning,) = plan_promotion(api.project, "m/1").warnings
        assert "m/1 was judged by no gate" in warning
        assert plan_promotion(api.project, "m/1", "other").warnings == (), (
            "only what says what runs is warned of"
        )
        api.post("registered-models/alias", name="m", alias="champion", version="1")
        api.post("registered-models/alias", name="m", alias="champion", version="1")
        assert api("DELETE", "registered-models/alias", name="m", alias="champion")[0] == 200
        with api.project.database.read() as connection:
            moves = list_alias_moves(connection, "m", "champion")
    assert [(move.version, move.previous, move.actor) for move in moves] == [
        (1, None, "client"),
        (None, 1, "client"),
    ]


def test_a_protected_alias_is_not_lost_through_a_side_door(released: Sample) -> None:
    policy = AliasPolicy.of(released.project)
    for door in (
        lambda connection: drop_alias(connection, policy, ("late", "champion"), "me"),
        lambda connection: delete_version(connection, policy, "late", 1, "me"),
        lambda connection: delete_model(connection, policy, "late", "me"),
        lambda connection: rename_model(connection, policy, "late", "later", "me"),
    ):
        with pytest.raises(Refused, match="is protected"), released.project.database.write() as connection:
            door(connection)
    with pytest.raises(Refused, match="is protected"):
        delete_alias(released.project, "late", "champion")


def test_a_protected_alias_stays_whatever_a_later_verdict_says(released: Sample) -> None:
    """A gate that fails later on the same content does not free the alias for who would like it gone."""
    strict = PENSTOCK_YAML.replace("min: 0.6", "min: 0.999").partition("endpoints:")[0]
    released.write("penstock.yaml", strict)
    with closing(open_workspace(released.root, {"USER": "ada"})) as project:
        assert not run_gate_on(project, "late/1").passed
        with pytest.raises(Refused, match="is protected: endpoints may serve it"):
            delete_alias(project, "late", "champion")


def test_a_protected_alias_that_a_declared_endpoint_follows_stays_through_every_door(tmp_path: Path) -> None:
    declared = "project: p\nendpoints: {delay: {model: m@champion}}\n"
    with run_api(tmp_path / "declared", declared) as api:
        api.post("registered-models/create", name="m")
        api.post("model-versions/create", name="m", source="s3://bucket/model")
        for alias in ("champion", "other"):
            api.post("registered-models/alias", name="m", alias=alias, version="1")
        for method, path, body in (
            ("DELETE", "registered-models/alias", {"alias": "champion"}),
            ("DELETE", "model-versions/delete", {"version": "1"}),
            ("DELETE", "registered-models/delete", {}),
            ("POST", "registered-models/rename", {"new_name": "n"}),
        ):
            status, answer = api(method, path, name="m", **body)
            assert (status, answer["error_code"]) == (403, "PERMISSION_DENIED"), path
            assert "m@champion is protected: endpoint delay follows it" in answer["message"]
            assert "point it at another version instead" in answer["message"]
        with pytest.raises(Refused, match="endpoint delay follows it"):
            delete_alias(api.project, "m", "champion")
        assert api("DELETE", "registered-models/alias", name="m", alias="other")[0] == 200


def test_what_an_endpoint_serves_is_neither_renamed_nor_deleted(released: Sample) -> None:
    apply_deployment(released.project, plan_deployment(released.project, "delay", "late@champion"))
    policy = AliasPolicy.of(released.project)
    for change in (
        lambda connection: rename_model(connection, policy, "late", "later", "me"),
        lambda connection: delete_model(connection, policy, "late", "me"),
        lambda connection: delete_version(connection, policy, "late", 1, "me"),
    ):
        refused = pytest.raises(Conflict, match="endpoint delay serves late")
        with refused, released.project.database.write() as connection:
            change(connection)


def test_an_uploaded_version_is_judged_promoted_and_deployed_like_the_pipelines(released: Sample) -> None:
    project = released.project
    files = ArtifactFiles(project.artifacts.backend)
    with project.database.read() as connection:
        first = get_version(connection, "late", 1)
    folder = fetch_model(project, first)
    for file in first.manifest.files:
        writer = files.writer(f"0/run/artifacts/model/{file.path}")
        writer.write([(folder / file.path).read_bytes()])
        writer.commit()
    wanted = Registration(
        model="late", source="runs:/run/model", actor="client", folder="0/run/artifacts/model", run_id="run"
    )
    second = register_uploaded(project, wanted)
    assert (second.number, second.digest) == (2, first.digest)
    verdict = run_gate_on(project, "late/1")
    assert verdict.passed
    assert verdict.model_digest == first.digest
    apply_promotion(project, plan_promotion(project, "late/2"))
    apply_deployment(project, plan_deployment(project, "delay", "late@champion"))


def test_a_verdict_on_a_registered_version_uses_its_own_numbers(released: Sample) -> None:
    assert {check.kind: check.status for check in run_gate_on(released.project, "late/1").checks} == {
        "metric": "pass",
        "schema": "pass",
        "champion": "pass",
    }


def test_a_version_without_files_here_is_neither_fetched_nor_judged(released: Sample) -> None:
    elsewhere = Registration(model="late", source="s3://bucket/x", actor="client")
    version = register_uploaded(released.project, elsewhere)
    with pytest.raises(Refused, match="not kept here but at s3://bucket/x"):
        fetch_model(released.project, version)
    with pytest.raises(Refused, match="not kept here"):
        run_gate_on(released.project, version.ref)
