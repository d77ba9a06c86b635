"""What is proposed for a repository: from nothing to one that says everything."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, LogisticRegression

import penstock
from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.base.settings import parse_settings
from penstock.data.repository import DataRepository
from penstock.data.verbs.creation import init_repository
from penstock.flows.models.judging import run_gate
from penstock.flows.models.registering import register_model
from penstock.flows.setup.checking import check_project
from penstock.flows.setup.proposing import Findings, look
from penstock.flows.setup.writing import SettingsPlan, apply_settings, plan_settings
from penstock.project.settings import ProjectSettings
from penstock.stats.metric_names import METRICS
from penstock.workspace import open_workspace

DVC_YAML = """\
stages:
  split: {cmd: split, deps: [data/all.csv], outs: [data/train.csv, data/test.csv]}
  fit: {cmd: fit, deps: [data/train.csv, data/test.csv, fit.py], outs: [MODEL], metrics: [{metrics.json: {cache: false}}]}
"""


def repository(root: Path, files: dict[str, str]) -> DataRepository:
    root.mkdir()
    init_repository(root, no_scm=True)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return DataRepository.open(root)


def proposed(root: Path, files: dict[str, str]) -> tuple[SettingsPlan, ProjectSettings]:
    repo = repository(root, files)
    plan = plan_settings(root, look(repo))
    repo.close()
    return plan, parse_settings(plan.text, ProjectSettings, "penstock.yaml")


def test_an_empty_repository_gets_a_file_of_comments_and_a_word_on_the_pipeline(tmp_path: Path) -> None:
    plan, settings = proposed(tmp_path / "my project", {})
    assert settings.project == "my-project"
    assert settings.model is None
    assert settings.endpoints == {}
    assert "penstock stage add" in plan.notes[0]
    lines = [line for line in plan.text.splitlines() if not re.match("# [A-Z]", line)]
    whole = parse_settings(
        "\n".join(line.removeprefix("# ") for line in lines), ProjectSettings, "uncommented"
    )
    assert whole.gates
    assert whole.endpoints["my-project"].guardrails
    assert whole.alerts.webhooks


def test_everything_that_a_repository_says_is_filled_in(tmp_path: Path) -> None:
    rows = "age,late\n31,0\n60,1\n44,1\n"
    files = {
        "dvc.yaml": DVC_YAML.replace("MODEL", "models/late"),
        "data/train.csv": rows,
        "data/test.csv": rows,
        "metrics.json": json.dumps({"seconds": 3.2, "roc_auc": 0.8123}),
        "tests/test_it.py": "",
    }
    repo = repository(tmp_path / "repo", files)
    frame = {"age": [31, 60, 44]}
    penstock.save_model(
        LogisticRegression().fit([[31], [60], [44]], [0, 1, 1]), repo.root / "models/late", inputs=frame
    )
    plan = plan_settings(repo.root, look(repo))
    settings = parse_settings(plan.text, ProjectSettings, "penstock.yaml")
    assert settings.model is not None
    model = settings.model
    assert (model.name, model.path, model.reference) == ("late", "models/late", "data/train.csv")
    assert (model.test, model.label, model.metrics) == ("data/test.csv", "late", "metrics.json")
    assert settings.gates[0].kind == "metric"
    assert (settings.gates[0].settings.name, settings.gates[0].settings.min) == ("roc_auc", 0.771)
    assert settings.gates[1].kind == "champion"
    assert {
        next(kind for kind in ("errors", "latency", "drift", "quality") if getattr(entry, kind))
        for entry in settings.endpoints["late"].guardrails
    } == {"errors", "latency", "drift", "quality"}
    assert settings.ci.tests is not None
    assert plan.notes == ()


def test_a_pickle_is_proposed_as_it_is_and_a_loss_has_an_upper_limit(tmp_path: Path) -> None:
    plan, settings = proposed(
        tmp_path / "repo",
        {
            "dvc.yaml": DVC_YAML.replace("MODEL", "out/model.pkl"),
            "out/model.pkl": "x",
            "metrics.json": '{"rmse": 12.34}',
        },
    )
    assert settings.model is not None
    assert (settings.model.name, settings.model.path) == ("repo", "out/model.pkl")
    assert settings.gates[0].kind == "metric"
    assert settings.gates[0].settings.max == 13.0
    assert any(
        "out/model.pkl is one file, which is taken as it is" in note
        and 'penstock.save_model(model, "out/repo"' in note
        for note in plan.notes
    )
    assert any("column of data/test.csv" in note for note in plan.notes)


def test_what_is_proposed_can_be_read_whatever_the_metric_is_called() -> None:
    for metric in ("rmse", "mae", "r2", "f1", "roc_auc", "MAE", "test.mae", "a: b", "0x1f"):
        found = Findings(
            "p", "m", path="m", metrics_file="f", metric=metric, value=4.2, test="t.csv", label="y"
        )
        settings = parse_settings(
            plan_settings(Path("/nowhere"), found).text, ProjectSettings, "penstock.yaml"
        )
        gates = [gate.settings for gate in settings.gates]
        assert bool(gates) is (metric in METRICS), metric
        assert [gate.settings.max_drop for gate in settings.gates if gate.kind == "champion"] == (
            [0.04] if metric == "mae" else [0.005] if metric == "roc_auc" else []
        )


def test_a_file_that_is_there_is_replaced_only_when_told(tmp_path: Path) -> None:
    plan, _ = proposed(tmp_path / "repo", {"penstock.yaml": "project: mine\n"})
    assert plan.replaces
    with pytest.raises(Conflict, match="exists already"):
        apply_settings(plan)
    assert plan.path.read_text() == "project: mine\n"
    apply_settings(plan, force=True)
    assert plan.path.read_text() == plan.text


@given(
    name=st.text(min_size=1).filter(lambda text: text.isprintable()),
    value=st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
    metric=st.one_of(st.none(), st.sampled_from(["roc_auc", "rmse", "my metric", "yes", "0x1f", "a: b"])),
)
def test_whatever_names_and_numbers_there_are_the_file_can_be_read(
    name: str, value: float | None, metric: str | None
) -> None:
    found = Findings(
        project=name, model=name, path=name, reference=name, metrics_file=name, metric=metric, value=value
    )
    plan = plan_settings(Path("/nowhere"), found)
    settings = parse_settings(plan.text, ProjectSettings, "penstock.yaml")
    assert settings.model is not None
    assert settings.project == settings.model.path == name
    for gate in settings.gates:
        assert gate.kind == "metric"
        assert value is not None
        assert (
            value >= gate.settings.min
            if gate.settings.min is not None
            else value <= (gate.settings.max or value)
        )


TWO = """\
stages:
  churn: {cmd: churn, deps: [data/churn.csv], outs: [models/churn, data/churn_test.csv], metrics: [metrics.json]}
  prices: {cmd: prices, deps: [data/prices.csv], outs: [models/prices]}
  appraise: {cmd: appraise, deps: [models/prices, data/prices.csv], metrics: [prices.json]}
"""


def two_models(root: Path, pipeline: str = TWO) -> Path:
    repository(
        root,
        {
            "dvc.yaml": pipeline,
            "data/churn.csv": "age,left\n1,0\n2,1\n",
            "data/churn_test.csv": "age,left\n1,0\n2,1\n",
            "data/prices.csv": "rooms,price\n1,10\n2,20\n",
            "metrics.json": '{"roc_auc": 0.764}',
            "prices.json": '{"mae": 2.5}',
        },
    ).close()
    penstock.save_model(
        LogisticRegression().fit([[1], [2]], [0, 1]), root / "models/churn", inputs={"age": [1, 2]}
    )
    penstock.save_model(
        LinearRegression().fit([[1], [2]], [10, 20]), root / "models/prices", inputs={"rooms": [1, 2]}
    )
    return root


def proposal(root: Path, model: str | None = None) -> SettingsPlan:
    repo = DataRepository.open(root)
    try:
        return plan_settings(root, look(repo, model))
    finally:
        repo.close()


def test_each_of_two_models_is_proposed_with_the_metrics_of_its_own_stages_and_the_other_is_named(
    tmp_path: Path,
) -> None:
    root = two_models(tmp_path / "repo")
    for name, metrics, metric, other in (
        (None, "prices.json", "mae", "models/churn"),
        ("churn", "metrics.json", "roc_auc", "models/prices"),
        ("models/prices", "prices.json", "mae", "models/churn"),
    ):
        plan = proposal(root, name)
        settings = parse_settings(plan.text, ProjectSettings, "penstock.yaml")
        assert settings.model is not None
        assert (settings.model.metrics, settings.gates[0].settings.name) == (metrics, metric)
        assert [note for note in plan.notes if f"--model {other} --dry-run" in note], plan.notes
        assert "churn" not in (settings.model.test or "") or name == "churn"
    with pytest.raises(NotFound, match="called nobody"):
        proposal(root, "nobody")


def test_metrics_of_another_model_are_not_taken_where_a_model_has_none(tmp_path: Path) -> None:
    plan = proposal(two_models(tmp_path / "repo", TWO[: TWO.index("  appraise")]))
    settings = parse_settings(plan.text, ProjectSettings, "penstock.yaml")
    assert settings.model is not None
    assert (settings.model.name, settings.model.metrics, settings.gates) == ("prices", None, ())
    assert any("metrics.json is made by stage `churn`, which does not depend" in note for note in plan.notes)


def test_doctor_and_the_gate_tell_of_metrics_that_are_of_another_model(tmp_path: Path) -> None:
    root = two_models(tmp_path / "repo")
    (root / "penstock.yaml").write_text(
        "project: p\nmodel: {name: prices, path: models/prices, metrics: metrics.json}\n"
        "gates: [{metric: {name: roc_auc, min: 0.7}}]\n"
    )
    project = open_workspace(root)
    try:
        checks = [one for one in check_project(project, {}) if one.part == "model" and one.state == "broken"]
        assert "`churn`, which does not depend on stage `prices`" in checks[0].sentence
        for judge in (run_gate, register_model):
            with pytest.raises(Invalid, match="makes or measures another model"):
                judge(project)
    finally:
        project.close()


@pytest.mark.parametrize(
    "stages",
    [
        "  fit: {cmd: fit, deps: [data/churn.csv], outs: [raw.pkl]}\n"
        "  measure: {cmd: measure, deps: [raw.pkl], outs: [predicted.pkl], metrics: [metrics.json]}\n"
        "  wrap: {cmd: wrap, deps: [raw.pkl], outs: [models/churn]}\n",
        "  cross: {cmd: cross, deps: [data/churn.csv], outs: [folds.joblib], metrics: [metrics.json]}\n"
        "  fit: {cmd: fit, deps: [data/churn.csv], outs: [models/churn]}\n",
        "  try: {cmd: try, deps: [data/churn.csv], outs: [models/prices], metrics: [metrics.json]}\n"
        "  refit: {cmd: refit, deps: [data/churn.csv], outs: [models/churn]}\n",
    ],
)
def test_metrics_of_a_stage_beside_the_models_are_told_and_judged(tmp_path: Path, stages: str) -> None:
    """A model is measured as a file and put into a folder later, by folds, or on a part before it learns from all."""
    root = two_models(tmp_path / "repo", f"stages:\n{stages}")
    (root / "penstock.yaml").write_text(
        "project: p\nmodel: {name: churn, path: models/churn, metrics: metrics.json}\n"
        "gates: [{metric: {name: roc_auc, min: 0.7}}]\n"
    )
    project = open_workspace(root)
    try:
        verdict = run_gate(project)
    finally:
        project.close()
    assert verdict.passed
    assert re.search(
        r"made by stage `(measure|cross|try)`, which does not depend", verdict.checks[0].sentence
    )
