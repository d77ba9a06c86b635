"""Gates that ask the model itself: parity, latency, size, robustness, origin; on the sample project's real model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression

import penstock
from penstock.base.errors import Refused
from penstock.cli.main import cli
from penstock.flows.models.aliases import plan_promotion
from penstock.flows.models.evidence.subjects import ModelSubject
from penstock.flows.models.folders import files_of_folder
from penstock.flows.models.judging import run_gate, run_gate_on
from penstock.flows.production.deploying import plan_deployment
from penstock.registry.entities import CheckResult, Verdict
from penstock.registry.gates.check import Evidence, Named
from penstock.registry.gates.judge import run_checks
from penstock.workspace import open_workspace
from projects import PENSTOCK_YAML, Sample
from registry.gates.asking import NOTHING, gates

ASKED = """\
gates:
  - parity: {rows: 50}
  - latency: {p95_ms: 5000, max_ratio: 100, requests: 40, warmup: 5}
  - size: {max_mb: 10, max_ratio: 2}
  - robustness: {rows: 100, max_changed: 0.2}
  - provenance: {}
  - staleness: {max_days: 100000}
  - slices: {columns: [carrier], metric: roc_auc, max_drop: 0.2, max_champion_drop: 0.2}
  - drift: {psi_max: 0.25}
  - leakage: {}
  - calibration: {max_error: 0.2, resamples: 100}
  - baseline: {metric: roc_auc, resamples: 100}
"""


def judged(sample: Sample, asked: str, reference: str | None = None) -> Verdict:
    text = (
        PENSTOCK_YAML[: PENSTOCK_YAML.index("gates:")]
        + asked
        + PENSTOCK_YAML[PENSTOCK_YAML.index("endpoints:") :]
    )
    (sample.root / "penstock.yaml").write_text(text)
    sample.git.run("add", "--all")
    sample.git.run("commit", "--quiet", "--allow-empty", "--message", "Ask")
    project = open_workspace(sample.root, {"USER": "ada"})
    try:
        return run_gate_on(project, reference) if reference else run_gate(project)
    finally:
        project.close()


def test_every_gate_passes_a_sound_model_and_says_on_what(released: Sample) -> None:
    verdict = judged(released, ASKED)
    assert {check.kind: check.sentence for check in verdict.checks if check.status != "pass"} == {}
    assert all(check.expected and check.asked and check.observed is not None for check in verdict.checks)
    again = judged(released, ASKED, "late/1")
    assert [check.status for check in again.checks] == ["pass"] * len(verdict.checks)
    held = "- latency: {p95_ms: 0.0001, requests: 20, warmup: 0}\n  - size: {max_mb: 0.0001}"
    refused = judged(released, f"gates:\n  {held}\n")
    assert [check.status for check in refused.checks] == ["fail", "fail"]
    (released.root / "train.py").write_text((released.root / "train.py").read_text() + "# more\n")
    project = open_workspace(released.root, {"USER": "ada"})
    project.go_by(
        type(project.settings)(project="p", model=project.settings.model, gates=gates("  - provenance: {}"))
    )
    (check,) = run_gate(project).checks
    assert check.sentence == (
        "clean tree: files differ from the commit; "
        "commit, lock, stage, data: dvc.lock is not in step with train.py; next: penstock repro"
    )
    project.close()


def check(subject: ModelSubject, frame: pl.DataFrame, root: Path, text: str) -> CheckResult:
    frame.write_parquet(root / "test.parquet")
    evidence = Evidence(root, {}, NOTHING, named=Named(test="test.parquet", label="y"), candidate=subject)
    (found,) = run_checks(gates(f"  - {text}"), evidence)
    return found


def test_an_answer_that_is_another_when_served_and_a_model_that_breaks_are_told(tmp_path: Path) -> None:
    generator = np.random.default_rng(11)
    frame = pl.DataFrame({"a": generator.normal(0, 1, 300), "b": generator.normal(0, 1, 300)})
    frame = frame.with_columns(y=(pl.col("a") + pl.col("b") > 0).cast(pl.Int64))
    inputs = frame.select("a", "b")
    model = LogisticRegression(C=1e6).fit(inputs, frame["y"].to_numpy())
    penstock.save_model(model, str(tmp_path / "model"), inputs)
    subject = ModelSubject(files_of_folder(tmp_path / "model", "m", 0, "d"), "the candidate", "y")
    try:
        assert check(subject, frame, tmp_path, "parity: {rows: 300}").status == "pass"
        steep = check(subject, frame, tmp_path, "robustness: {noise: 2, max_changed: 0.05}")
        assert steep.status == "fail"
        assert isinstance(steep.observed, float)
        assert steep.observed > 0.1
        calm = check(subject, frame, tmp_path, "robustness: {noise: 0.001, max_changed: 0.05}")
        assert calm.status == "pass", calm.sentence
        odd = subject.predict(frame)["probability"]
        moved = type(
            "Moved",
            (),
            {
                "name": "m",
                "predict": lambda _self, rows: {"probability": odd[: rows.height] + 0.01},
                "serve": lambda _self, rows: subject.serve(rows),
            },
        )()
        found = check(moved, frame, tmp_path, "parity: {rows: 40}")
        assert (found.status, found.observed, found.n) == ("fail", 1.0, 40)
        assert check(subject, frame.drop("a"), tmp_path, "parity: {rows: 40}").status == "error"
        assert check(subject, frame.head(0), tmp_path, "parity: {rows: 40}").status == "error"
    finally:
        subject.close()


def test_one_byte_in_a_gates_code_makes_an_earlier_verdict_count_no_more(released: Sample) -> None:
    (released.root / "gates").mkdir()
    code = released.root / "gates/mine.py"
    code.write_text("def check(evidence):\n    return evidence.metrics['roc_auc'] > 0.6\n")
    verdict = judged(released, "gates:\n  - python: gates/mine.py:check\n")
    assert verdict.passed
    project = open_workspace(released.root, {"USER": "ada"})
    plan_promotion(project, "late/1")
    code.write_text(code.read_text().replace("0.6", "0.7"))
    for door in (
        lambda: plan_promotion(project, "late/1"),
        lambda: plan_deployment(project, "delay", "late/1"),
    ):
        with pytest.raises(Refused, match="the gates changed since it was judged"):
            door()
    assert run_gate(project).passed
    plan_promotion(project, "late/1")
    project.close()


def test_a_verdict_is_explained_with_what_was_seen_and_asked(released: Sample) -> None:
    judged(
        released,
        "gates:\n  - metric: {name: roc_auc, min: 0.6}\n  - size: {max_mb: 0.0001}\n    severity: warn\n",
    )
    shown = CliRunner().invoke(cli, ["-C", str(released.root), "gate", "show", "late/1"])
    assert shown.exit_code == 0
    for words in (
        "pass   metric: roc_auc is 0.8350, must be at least 0.6",
        "observed 0.835",
        "asked: metric {name: roc_auc, min: 0.6}",
        "(only a warning)",
        "1 of 2 checks passed, 1 only warns.",
        "by person:ada (verdict ",
        "Proven: signed by the key ",
    ):
        assert words in shown.output, shown.output
    text = (released.root / "penstock.yaml").read_text().replace("min: 0.6", "min: 0.7")
    (released.root / "penstock.yaml").write_text(text)
    changed = CliRunner().invoke(cli, ["-C", str(released.root), "gate", "show", "late/1"])
    assert "it opens no door until the gate is run again" in changed.output


def test_behavioural_tests_run_on_the_candidate_and_their_report_is_kept(
    released: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PENSTOCK_SIGNING_KEY", raising=False)
    folder = released.root / "tests"
    folder.mkdir()
    lines = {
        "test_good.py": "import os\ndef test_a(): assert os.path.isfile(os.environ['PENSTOCK_MODEL'] + '/MLmodel')\n",
        "test_bad.py": "import pytest\ndef test_b(): assert 1 == 2\n@pytest.mark.skip\ndef test_c(): pass\n",
        "test_none.py": "x = 1\n",
        "test_odd.py": "import nosuchmodule\n",
        "test_slow.py": "import time\ndef test_d(): time.sleep(60)\n",
    }
    for name, text in lines.items():
        (folder / name).write_text(text)
    asked = "".join(f"  - pytest: {{tests: [tests/{name}], timeout_s: 300}}\n" for name in list(lines)[:4])
    verdict = judged(released, f"gates:\n{asked}  - pytest: {{tests: [tests/test_slow.py], timeout_s: 3}}\n")
    good, bad, none, odd, slow = verdict.checks
    assert (good.status, good.n, good.observed) == ("pass", 1, 0), good.sentence
    assert (bad.status, bad.n, bad.evidence["failed"]) == ("fail", 1, ["tests.test_bad::test_b"])
    assert [one.status for one in (none, odd, slow)] == ["error"] * 3
    run = ["-C", str(released.root), "gate"]
    listed = CliRunner().invoke(cli, [*run, "evidence", "late/1"]).output.split("\n")
    assert listed[:2] == ["pytest-junit.xml  pytest", "2-pytest-junit.xml  pytest"]
    assert "<testsuite" in CliRunner().invoke(cli, [*run, "evidence", "late/1", "2-pytest-junit.xml"]).output


def test_how_many_models_the_held_out_rows_have_judged_is_told(released: Sample) -> None:
    run = ["-C", str(released.root), "gate"]
    judged(released, "gates:\n  - metric: {name: roc_auc, min: 0.1}\n")
    shown = CliRunner().invoke(cli, [*run, "show", "late/1"]).output
    assert "Held out: data/test.csv as it is has judged 1 model, this one included." in shown
    from penstock.registry.tables import verdicts

    project = open_workspace(released.root, {"USER": "ada"})
    with project.database.write() as connection:
        row = dict(
            connection.execute(verdicts.select().order_by(verdicts.c.created_ms.desc())).mappings().first()
            or {}
        )
        for number in range(25):
            other = {
                "id": f"{number:032x}",
                "model_digest": f"{number:064x}",
                "created_ms": row["created_ms"] - 1,
            }
            connection.execute(verdicts.insert().values(**{**row, **other}))
    project.close()
    shown = CliRunner().invoke(cli, [*run, "show", "late/1"]).output
    assert (
        "has judged 26 models, this one included: with each more it tells less; past 20 make a new one."
        in shown
    )


def test_a_real_server_answers_with_the_candidate_and_the_pipeline_gives_the_same_again(
    released: Sample,
) -> None:
    verdict = judged(
        released,
        "gates:\n"
        "  - infrastructure: {requests: 20, p95_ms: 5000, max_memory_mb: 4000}\n"
        "  - infrastructure: {requests: 5, max_memory_mb: 1}\n"
        "  - infrastructure: {ready_s: 0.01}\n"
        "  - reproducibility: {metric: roc_auc, max_spread: 0, runs: 1}\n"
        "  - reproducibility: {metric: nosuch, max_spread: 0}\n"
        "  - reproducibility: {metric: roc_auc, max_spread: 0, seed: nosuch}\n",
    )
    served, large, late, again, absent, seedless = verdict.checks
    assert (served.status, served.n, served.evidence["errors"]) == ("pass", 20, []), served.sentence
    assert (large.status, late.status) == ("fail", "error")
    assert large.sentence.endswith("; broken: max_memory_mb")
    assert late.evidence["code"] == "gate.server_not_ready"
    assert (again.status, again.observed, again.n) == ("pass", 0.0, 2), again.sentence
    assert [one.evidence["code"] for one in (absent, seedless)] == ["gate.no_metric", "gate.bad_seed"]
