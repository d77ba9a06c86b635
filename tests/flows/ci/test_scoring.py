from __future__ import annotations

import pytest

from penstock.base.errors import NotFound
from penstock.ci.rubric import GROUPS, Rated, State, group_score, meaning, total_score
from penstock.flows.ci.continuous import run_ci
from penstock.flows.ci.scoring import rate
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.workspace import open_workspace
from projects import Sample


def states(sample: Sample) -> dict[tuple[str, int], State]:
    project = open_workspace(sample.root)
    try:
        return {(one.group, one.number): one.state for one in rate(project)}
    finally:
        project.close()


def test_the_score_is_that_of_the_weakest_group() -> None:
    rated = [Rated(group, 1, "x", "done", "") for group in GROUPS]
    rated.append(Rated("data", 2, "x", "partly", ""))
    assert (group_score(rated, "data"), total_score(rated)) == (1.5, 1.0)
    assert meaning(0).startswith("more of a research project")
    assert meaning(12).startswith("exceptional")


def test_points_follow_what_is_recorded_and_nothing_else(released: Sample) -> None:
    before = states(released)
    assert len(before) == 28
    assert before["data", 1] == "done"  # the schema gate passed
    assert before["data", 3] == before["data", 5] == "not known"
    assert before["model", 1] == "done"
    assert before["model", 5] == "no"
    assert before["infrastructure", 2] == "no"  # no CI run yet
    assert before["infrastructure", 6] == "partly"
    assert before["infrastructure", 7] == "no"
    assert before["monitoring", 5] == "no"

    run_ci(released.project)
    apply_deployment(released.project, plan_deployment(released.project, "delay", "late/1"))
    after = states(released)
    changed = {key: after[key] for key in after if after[key] != before[key]}
    assert changed == {
        ("data", 7): "partly",
        ("infrastructure", 1): "done",
        ("infrastructure", 2): "done",
        ("infrastructure", 3): "done",
        ("infrastructure", 7): "partly",
        ("monitoring", 2): "done",
        ("monitoring", 5): "done",
        ("monitoring", 7): "done",
    }


def test_a_gate_that_did_not_judge_or_pass_is_half_a_point(released: Sample) -> None:
    settings = released.root / "penstock.yaml"
    settings.write_text(settings.read_text().replace("gates:\n", "gates:\n  - baseline: {metric: roc_auc}\n"))
    assert states(released)["model", 5] == "partly"
    project = open_workspace(released.root)
    with pytest.raises(NotFound, match="names no model 'nosuch'"):
        rate(project, "nosuch")
    project.close()
