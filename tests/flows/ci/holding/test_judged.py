"""What a commit is judged with otherwise than what is live."""

from __future__ import annotations

import json

import msgspec

from penstock.flows.ci.releasing import gate_changes, why_held
from penstock.flows.models.aliases import apply_promotion, plan_promotion
from penstock.flows.models.judging import run_gate
from penstock.flows.models.registering import register_model
from penstock.registry.versions import get_version
from penstock.workspace import open_workspace
from projects import PENSTOCK_YAML, SCHEMA_JSON, Sample


def _held(sample: Sample, model: str = "late", **files: str) -> tuple[str | None, tuple[str, ...]]:
    """Return why a commit with other files is held, and what its gate's step tells; the branch is as before afterwards."""
    start = sample.git.resolve("HEAD")
    for name, text in files.items():
        sample.write(name, text)
    commit = sample.commit("Edit")
    project = open_workspace(sample.root, {"USER": "ada"})
    try:
        with project.database.read() as connection:
            version = get_version(connection, "late", 1)
        version = msgspec.structs.replace(version, model=model)
        return why_held(project, [version], commit), gate_changes(project, model, commit)
    finally:
        project.close()
        sample.git.run("reset", "--hard", "--quiet", start)


def test_another_file_column_or_model_to_judge_by_is_held_and_told(released: Sample) -> None:
    fake = {"fake.json": json.dumps({"roc_auc": 0.999})}
    for old, new, told in (
        ("metrics: metrics.json", "metrics: fake.json", "judges by fake.json, before metrics.json"),
        ("  metrics: metrics.json\n", "", "judges by nothing, before metrics.json"),
        ("test: data/test", "test: data/train", "held-out rows of data/train.csv, before data/test.csv"),
        ("label: late\n", "label: wind\n", "takes wind for the truth, before late"),
        ("reference: data/train", "reference: data/test", "compares with data/test.csv, before data/train.csv"),
        ("label: late\n", "label: late\n  time: hour\n", "orders rows by hour, before nothing"),
        ("path: models/late", "path: models/other", "judges the model at models/other, before models/late"),
        ("label: late\n", "label: late\n  reference_rows: 0\n", "fewer reference rows: 2000 → 0"),
    ):  # fmt: skip
        why, changes = _held(released, **fake, **{"penstock.yaml": PENSTOCK_YAML.replace(old, new)})
        assert why is not None and told in why and "penstock ci accept" in why, new
        assert any(told in one for one in changes), new
    why, changes = _held(released, **{"penstock.yaml": PENSTOCK_YAML + "alerts: {}\n"})
    assert (why, changes) == (None, ())


def test_a_file_that_no_stage_writes_any_more_is_held_and_told(released: Sample) -> None:
    definition = (released.root / "dvc.yaml").read_text()
    without = definition[: definition.index("    metrics:")]
    frozen = definition.replace("  train:\n", "  train:\n    frozen: true\n")
    told = "no stage writes metrics.json, which train wrote before"
    for text in (without, frozen):
        why, changes = _held(released, **{"dvc.yaml": text, "metrics.json": json.dumps({"roc_auc": 0.999})})
        assert why is not None and told in why and told in changes, text
    renamed = definition.replace("  train:\n", "  fit:\n")
    assert _held(released, **{"dvc.yaml": renamed}) == (None, ())


def test_a_looser_schema_file_is_held_and_a_stricter_one_is_told(released: Sample) -> None:
    why, changes = _held(released, **{"schema.json": SCHEMA_JSON.replace('"max": 100', '"max": 9000')})
    told = "lets more pass: schema schema.json: wind max 100.0 → 9000.0"
    assert why is not None and told in why and changes == (told,)
    why, changes = _held(released, **{"schema.json": SCHEMA_JSON.replace('"max": 100', '"max": 90')})
    assert why is None
    assert changes == ("gate settings changed: schema schema.json: wind max 100.0 → 90.0",)
    assert _held(released, **{"schema.json": SCHEMA_JSON.replace(" ", "")}) == (None, ())


def test_other_data_that_a_gate_decides_by_are_held_and_other_code_is_told(trained: Sample) -> None:
    gates = "gates:\n  - python: {check: gates/mine.py:check, files: [gates/limits.csv, gates/more.py]}\n"
    text = (
        PENSTOCK_YAML[: PENSTOCK_YAML.index("gates:")]
        + gates
        + PENSTOCK_YAML[PENSTOCK_YAML.index("endpoints:") :]
    )
    (trained.root / "gates").mkdir()
    for name, content in (
        ("penstock.yaml", text),
        ("gates/mine.py", "def check(evidence, settings):\n    return True\n"),
        ("gates/limits.csv", "auc,0.6\n"),
        ("gates/more.py", ""),
    ):
        trained.write(name, content)
    trained.commit("Decide by a table")
    project = trained.project
    assert run_gate(project).passed
    register_model(project)
    apply_promotion(project, plan_promotion(project, "late/1"))
    told = "data that a gate decides by is other than before: gates/limits.csv"
    why, changes = _held(trained, **{"gates/limits.csv": "auc,0.1\n", "gates/more.py": "X = 1\n"})
    assert why is not None and told in why and "penstock ci accept" in why
    assert changes == ("the code of gates changed: gates/more.py", told)
    why, changes = _held(trained, **{"penstock.yaml": text.replace("gates/limits.csv, ", "")})
    assert why is not None and "lets more pass: python gates/mine.py:check (files" in why
    assert _held(trained, **{"gates/more.py": "X = 1\n"})[0] is None
    why, changes = _held(trained, **{"penstock.yaml": text + "retention: {windows_days: 9}\n"})
    assert (why, changes) == (None, ("settings changed: retention.windows_days",))


def test_a_model_that_takes_the_place_of_a_released_one_is_held(released: Sample) -> None:
    renamed = PENSTOCK_YAML.replace("name: late", "name: later").replace("min: 0.6", "min: 0.1")
    why, changes = _held(released, "later", **{"penstock.yaml": renamed})
    assert (
        why is not None and "later takes the place of late, and endpoint delay follows late@champion" in why
    )
    assert "lets more pass: metric roc_auc (min 0.6 → 0.1)" in why
    assert changes == ("lets more pass: metric roc_auc (min 0.6 → 0.1)",)
    followed = PENSTOCK_YAML.replace("name: late", "name: later").replace("late@champion", "later@champion")
    why, _ = _held(released, "later", **{"penstock.yaml": followed})
    assert why is not None and "delay answers with later@champion, before late@champion" in why
    beside = PENSTOCK_YAML + "models: [{name: later, path: models/late}]\n"
    assert _held(released, "later", **{"penstock.yaml": beside}) == (None, ())
