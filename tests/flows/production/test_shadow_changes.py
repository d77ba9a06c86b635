"""Shadows stay until somebody names others or takes them out; what goes, and what a shadow cannot see, is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression

import penstock
from penstock.base.errors import Invalid
from penstock.base.git import Git
from penstock.cli.main import cli
from penstock.data.verbs.creation import init_repository
from penstock.flows.models.aliases import apply_promotion, plan_promotion
from penstock.flows.models.registering import register_model
from penstock.flows.production.controlling.responding import Controller
from penstock.flows.production.revising import PROMOTED, ROLLED_BACK, apply_deployment
from penstock.flows.production.traffic.promoting import plan_promotion_of_canary
from penstock.flows.production.traffic.rolling_back import plan_rollback
from penstock.monitoring.alerts import alerts
from penstock.project.project import Project
from penstock.registry.aliases import find_alias
from penstock.registry.tables import versions
from penstock.serving.deployments import list_revisions
from penstock.workspace import open_workspace

LATE = [0, 0, 1, 1]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """`m/1` to `m/4` take arrays of two columns, `m/5` of three, `other/1` of two."""
    Git(tmp_path).run("init", "--quiet")
    init_repository(tmp_path)
    made = open_workspace(tmp_path, {})
    two = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.0]])
    three = np.hstack([two, two[:, :1]])
    for number, (name, inputs) in enumerate(
        [("m", two), ("m", two), ("m", two), ("m", two), ("m", three), ("other", two)], 1
    ):
        penstock.save_model(
            LogisticRegression(C=number).fit(inputs, LATE), str(tmp_path / f"m{number}"), inputs
        )
        register_model(made, name, f"m{number}")
    yield made
    made.close()


def deploy(project: Project, *arguments: str) -> dict[str, Any]:
    asked = ["-C", str(project.root), "--json", "deploy", "s", "--no-wait", *arguments]
    done = CliRunner().invoke(cli, asked)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_shadows_that_are_not_named_stay_and_this_is_told(project: Project) -> None:
    deploy(project, "--model", "m/1")
    deploy(project, "--shadow", "m/3", "--shadow", "m/4")
    canary = deploy(project, "--model", "m/2", "--canary", "20")
    assert (canary["shadows"], canary["canary"]["version"]) == ([3, 4], 2)
    assert canary["summary"].endswith("with m/3, m/4 still in its shadows")
    whole = deploy(project, "--model", "m/2")
    assert (whole["stable"], whole["shadows"]) == (2, [3, 4])
    answers = deploy(project, "--model", "m/3", "--canary", "20")
    assert answers["shadows"] == [4]
    assert answers["summary"].endswith("with m/4 still in its shadow; no longer in its shadow: m/3")
    other = deploy(project, "--model", "other/1")
    assert other["shadows"] == []
    assert other["summary"] == "s serves other/1; no longer in its shadow: m/4"


def test_those_that_are_named_are_the_shadows_and_what_goes_is_told(project: Project) -> None:
    deploy(project, "--model", "m/1")
    deploy(project, "--shadow", "m/3")
    changed = deploy(project, "--shadow", "m/2")
    assert changed["shadows"] == [2]
    assert changed["summary"] == "s serves what it did, with m/2 in its shadow; no longer in its shadow: m/3"
    canary = deploy(project, "--model", "m/3", "--canary", "20", "--no-shadow")
    assert (canary["shadows"], canary["canary"]["version"]) == ([], 3)
    assert canary["summary"].endswith("; no longer in its shadow: m/2")


def test_no_shadow_alone_takes_all_out_and_changes_nothing_else(project: Project) -> None:
    deploy(project, "--model", "m/1")
    deploy(project, "--model", "m/2", "--canary", "20", "--shadow", "m/3")
    out = deploy(project, "--no-shadow")
    assert (out["stable"], out["canary"]["version"], out["shadows"]) == (1, 2, [])
    assert out["summary"] == "s serves what it did; no longer in its shadow: m/3"
    both = CliRunner().invoke(cli, ["-C", str(project.root), "deploy", "s", "--shadow", "m/3", "--no-shadow"])
    assert both.exit_code == 2


def test_the_file_names_the_shadows_where_it_names_any(project: Project) -> None:
    deploy(project, "--model", "m/1")
    deploy(project, "--shadow", "m/3")
    text = "project: p\nendpoints:\n  s:\n    model: m/1\n    traffic: {shadows: [m/4, m/2]}\n"
    (project.root / "penstock.yaml").write_text(text, encoding="utf-8")
    taken = deploy(project, "--model", "m/2", "--canary", "20")
    assert taken["shadows"] == [4]
    assert taken["summary"].endswith("with m/4 in its shadow; no longer in its shadow: m/3")
    assert "m/2 stands among traffic.shadows and answers itself: it is no shadow" in taken["warnings"]


@pytest.mark.parametrize(
    "arguments", [("--shadow", "m/1"), ("--shadow", "m/2"), ("--model", "m/3", "--shadow", "m/3")]
)
def test_a_version_that_answers_is_refused_as_a_shadow(project: Project, arguments: tuple[str, ...]) -> None:
    deploy(project, "--model", "m/1")
    deploy(project, "--model", "m/2", "--canary", "20")
    with pytest.raises(Invalid, match="it answers there itself") as caught:
        deploy(project, *arguments)
    assert caught.value.code == "serving.answering_shadow"


def test_a_version_that_takes_another_shape_is_warned_of(project: Project) -> None:
    deploy(project, "--model", "m/1")
    misfit = "m/5 takes input-0 as FP64 [-1, 3], requests for the stable version carry FP64 [-1, 2]"
    shadow = deploy(project, "--shadow", "m/5")
    assert shadow["warnings"] == [f"{misfit}: what does not fit is not shown to it"]
    for share in ([], ["--canary", "20"]):
        plan = deploy(project, "--model", "m/5", *share, "--dry-run")
        assert f"{misfit}: what does not fit will be refused" in plan["warnings"]
    assert deploy(project, "--shadow", "m/2")["warnings"] == []


def test_a_shadow_whose_files_are_gone_does_not_hold_up_a_deployment(project: Project) -> None:
    deploy(project, "--model", "m/1")
    deploy(project, "--shadow", "m/3")
    with project.database.write() as connection:
        connection.execute(versions.update().where(versions.c.number == 3).values(deleted_ms=1))
    left = deploy(project, "--model", "m/2", "--canary", "20")
    assert left["shadows"] == []
    assert any(one.startswith("m/3 cannot stay a shadow: ") for one in left["warnings"])


def test_changing_shadows_after_a_rollback_or_a_promotion_is_neither_again(project: Project) -> None:
    text = "project: p\nendpoints:\n  s: {model: m@champion, guardrails: [{errors: {max_ratio: 0.1}}]}\n"
    (project.root / "penstock.yaml").write_text(text, encoding="utf-8")

    controller = Controller(project, remembers=False)

    def told() -> tuple[int, dict[str, int]]:
        controller.tick()
        with project.database.read() as connection:
            posted = list(connection.execute(sa.select(alerts.c.name)).scalars())
        return posted.count(ROLLED_BACK) + posted.count(PROMOTED), dict(controller.looks["s"].rollbacks)

    deploy(project, "--model", "m/1")
    deploy(project, "--model", "m/2")
    apply_deployment(project, plan_rollback(project, "s"))
    assert told() == (1, {"controller": 0, "person": 1})
    for shadows in (("--shadow", "m/3"), ("--no-shadow",)):
        deploy(project, *shadows)
        assert told() == (1, {"controller": 0, "person": 1})
    deploy(project, "--model", "m/4", "--canary", "20")
    apply_deployment(project, plan_promotion_of_canary(project, "s"))
    assert told()[0] == 2
    apply_promotion(project, plan_promotion(project, "m/1"))
    deploy(project, "--shadow", "m/3")
    assert told() == (2, {"controller": 0, "person": 1})
    with project.database.read() as connection:
        found = find_alias(connection, "m", "champion")
        kinds = [one.kind for one in list_revisions(connection, "s")][::-1]
    assert found is not None
    assert found.version == 1, "shadows move no alias"
    assert kinds[2:] == ["rolled_back", "shadowed", "shadowed", "canary", "promoted", "shadowed"]
