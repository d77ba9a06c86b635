"""What a version is said to be made from: what the lock says of it, where that is in step and somebody saw it run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest

from penstock.base.errors import Refused
from penstock.flows.chain.graph import build_graph
from penstock.flows.chain.lineage import explain
from penstock.flows.ci.continuous import run_ci
from penstock.flows.models.documents import load_statement
from penstock.flows.models.evidence.made import is_seen
from penstock.flows.models.judging import run_gate, run_gate_on
from penstock.flows.models.registering import describe_version, origin_note, register_model
from penstock.flows.models.verifying import verify_versions
from penstock.flows.pipelines.committing import commit_stages
from penstock.flows.pipelines.execution import reproduce_and_record
from penstock.http.pages.telling.chains import sentence_of
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion
from penstock.registry.gates.settings import GateEntry
from penstock.tracking.runs import get_run, list_runs
from penstock.workspace import open_workspace
from projects import Sample, rows
from tables import table

KNOWN = "known: commit, clean tree, lock, stage, data"


def asked(sample: Sample) -> Project:
    """Return the project with a gate for the origin, and no other."""
    project = open_workspace(sample.root, {"USER": "ada"})
    gates = (GateEntry.of_keys({"provenance": msgspec.convert({}, _settings())}),)
    project.go_by(msgspec.structs.replace(project.settings, gates=gates))
    return project


def _settings() -> type:
    from penstock.registry.gates.kinds.provenance import ProvenanceGate

    return ProvenanceGate


def said(sample: Sample) -> str:
    (check,) = run_gate(asked(sample)).checks
    return check.sentence


def said_of(sample: Sample, version: ModelVersion) -> str:
    (check,) = run_gate_on(asked(sample), version.ref).checks
    return check.sentence


def links(sample: Sample, version: ModelVersion) -> list[tuple[str, str]]:
    return [(one.kind, one.text) for one in explain(sample.project, version.ref).links]


def change_data(sample: Sample) -> None:
    sample.write("data/raw.csv", rows(300, seed=7))
    sample.add("data/raw.csv")


def change_code(sample: Sample) -> None:
    sample.write("split.py", (sample.root / "split.py").read_text() + "# another\n")


def change_parameter(sample: Sample) -> None:
    sample.write("params.yaml", "features: [hour, wind, carrier]\nstrength: 3.0\n")


def change_command(sample: Sample) -> None:
    path = sample.root / "dvc.yaml"
    path.write_text(path.read_text().replace("train.py\n    deps", "train.py x\n    deps"))


CHANGES: list[tuple[Callable[[Sample], None], str]] = [
    (change_data, "data/raw.csv"),
    (change_code, "split.py"),
    (change_parameter, "params.yaml:strength"),
    (change_command, "the command of train"),
]


@pytest.mark.parametrize(("change", "name"), CHANGES, ids=[name for _, name in CHANGES])
def test_a_model_that_was_made_before_its_commit_is_never_said_to_be_of_it(
    trained: Sample, change: Callable[[Sample], None], name: str
) -> None:
    made, _ = register_model(trained.project)
    change(trained)
    commit = trained.commit("Change what the model is made from")
    assert (
        said(trained)
        == f"commit, lock, stage, data: dvc.lock is not in step with {name}; next: penstock repro"
    )
    version, is_new = register_model(trained.project)
    assert is_new
    assert version.provenance.stale == (name,)
    assert version.provenance.data == made.provenance.data
    assert version.provenance.run_id == made.provenance.run_id
    assert describe_version(version).endswith(f" made before {commit[:7]}")
    assert f"dvc.lock is not in step with {name}" in (origin_note(version) or "")
    told = f"dvc.lock was not in step with {name}"
    assert ("commit", f"made before {commit[:10]}, clean: {told}") in links(trained, version)
    assert said_of(trained, version) == f"commit, lock, stage, data: {told} when {version.ref} was registered"
    [report] = verify_versions(trained.project, version.ref)
    assert report.is_intact and told in (report.origin or "")
    assert name in (load_statement(trained.project, version) or "") or name in _signed(trained, version)
    chain = explain(trained.project, version.ref)
    assert commit[:10] not in sentence_of(chain, build_graph(trained.project, chain))


def _signed(sample: Sample, version: ModelVersion) -> str:
    import base64

    envelope = json.loads(load_statement(sample.project, version) or "{}")
    return base64.b64decode(envelope["payload"]).decode()


def test_a_model_is_of_its_commit_once_it_is_made_again(trained: Sample) -> None:
    change_data(trained)
    trained.commit("More data")
    stale, _ = register_model(trained.project)
    reproduce_and_record(trained.project)
    commit = trained.commit("Train")
    assert said(trained) == KNOWN
    version, is_new = register_model(trained.project)
    assert (is_new, version.provenance.stale) == (True, ())
    assert version.provenance.data != stale.provenance.data
    assert ("commit", f"{commit[:10]}, clean") in links(trained, version)


def test_what_no_stage_that_leads_to_the_model_reads_does_not_count(trained: Sample) -> None:
    trained.write("data/other.csv", "a\n1\n")
    trained.add("data/other.csv")
    text = (trained.root / "dvc.yaml").read_text()
    trained.write(
        "dvc.yaml",
        text + "  look:\n    cmd: cp data/other.csv o\n    deps: [data/other.csv]\n    outs: [o]\n",
    )
    trained.commit("Another stage")
    assert said(trained) == KNOWN
    assert set(register_model(trained.project)[0].provenance.data) == {"data/raw.csv"}


def test_ci_reproduces_first_and_names_the_run_that_trained(sample: Sample) -> None:
    change_data(sample)
    sample.commit("More data")
    version = run_ci(sample.project).version
    assert version is not None
    again = run_ci(sample.project)
    with sample.project.database.read() as connection:
        run = get_run(connection, explained_run(sample, version))
    assert {stage.name: stage.action for stage in run.stages}["train"] == "ran"
    assert again.version == version


def explained_run(sample: Sample, reference: str) -> str:
    return next(one.key for one in explain(sample.project, reference).links if one.kind == "run")


def test_a_version_registered_from_the_run_cache_names_the_run_that_trained(trained: Sample) -> None:
    with trained.project.database.read() as connection:
        [first] = list_runs(connection)
    shutil.rmtree(trained.root / "models")
    (trained.root / "dvc.lock").unlink()
    assert {one.action for one in reproduce_and_record(trained.project).results} == {"restored"}
    assert said(trained) == KNOWN
    assert register_model(trained.project)[0].provenance.run_id == first.id


def test_a_run_names_the_data_that_it_read_not_what_was_added_before(trained: Sample) -> None:
    trained.write("data/raw.csv", rows(900, seed=7))
    run = reproduce_and_record(trained.project).run
    trained.commit("More data")
    assert run is not None
    assert run.inputs == register_model(trained.project)[0].provenance.data


def by_hand(sample: Sample) -> None:
    sample.write("metrics.json", '{"roc_auc": 0.99}')
    assert commit_stages(sample.project.data, ["train"], sample.root, partial(is_seen, sample.project))[
        0
    ] == ["train"]
    sample.commit("Better numbers")


def test_a_result_that_was_committed_by_hand_is_told(trained: Sample) -> None:
    by_hand(trained)
    told = "stage: no recorded run made what dvc.lock says of train: it was committed by hand"
    assert said(trained).startswith(told)
    version, _ = register_model(trained.project)
    assert version.provenance.unseen == ("train",)
    assert "next: penstock repro --force train" in (origin_note(version) or "")
    was = f"stage: no recorded run had made what dvc.lock says of train when {version.ref} was registered"
    assert ("unknown", was) in links(trained, version)
    assert said_of(trained, version) == was


def test_the_run_cache_does_not_learn_what_was_committed_by_hand(trained: Sample) -> None:
    true = (trained.root / "metrics.json").read_text()
    lock = (trained.root / "dvc.lock").read_bytes()
    by_hand(trained)
    (trained.root / "dvc.lock").write_bytes(lock)
    (trained.root / "metrics.json").unlink()
    reproduce_and_record(trained.project)
    assert (trained.root / "metrics.json").read_text() == true
    (trained.root / "dvc.lock").unlink()
    (trained.root / "metrics.json").unlink()
    reproduce_and_record(trained.project)
    assert (trained.root / "metrics.json").read_text() == true


def test_what_ran_before_a_later_stage_failed_was_seen_to_run(sample: Sample) -> None:
    code = (sample.root / "train.py").read_text()
    sample.write("train.py", "raise SystemExit(1)\n")
    with pytest.raises(Refused):
        reproduce_and_record(sample.project)
    sample.write("train.py", code)
    reproduce_and_record(sample.project)
    sample.commit("Train")
    assert said(sample) == KNOWN


def test_ci_runs_again_what_nobody_saw_run_where_it_lets_something_out(trained: Sample) -> None:
    settings = (trained.root / "penstock.yaml").read_text()
    true = json.loads((trained.root / "metrics.json").read_text())
    trained.write("penstock.yaml", settings.replace('tests: "true"', 'tests: "true"\n  deploy: promote'))
    by_hand(trained)
    trained.close()
    shutil.rmtree(trained.root / ".penstock")  # another host: its store has seen nothing
    shutil.rmtree(trained.root / ".dvc/cache/runs")
    there = Sample(trained.root)
    told = run_ci(there.project).steps[2].sentence
    assert told.startswith(
        "nothing had to run; 2 unchanged; no recorded run made what dvc.lock says of split, train: "
    )
    report = run_ci(there.project, deploy=True)
    assert report.passed, report.steps
    assert report.steps[2].sentence.startswith(
        "ran split, train; no recorded run had made what dvc.lock says of split, train; dvc.lock of the commit is not in step"
    )
    assert report.metrics["roc_auc"] == pytest.approx(true["roc_auc"])
    again = run_ci(there.project, deploy=True)
    assert again.steps[2].sentence.startswith("nothing had to run; 1 restored from earlier runs; 1 unchanged")
    assert again.metrics == report.metrics
    there.close()


def test_ci_runs_again_what_nobody_saw_run_where_a_gate_asks_who_made_it(trained: Sample) -> None:
    settings = (trained.root / "penstock.yaml").read_text()
    trained.write("penstock.yaml", settings.replace("gates:\n", "gates:\n  - provenance: {}\n", 1))
    by_hand(trained)
    report = run_ci(trained.project)
    assert report.passed, report.steps
    assert report.metrics["roc_auc"] < 0.99


@table("name", ["late", "other"])
def test_a_model_from_elsewhere_has_no_part_of_the_pipeline_in_it(
    trained: Sample, tmp_path: Path, name: str
) -> None:
    elsewhere = tmp_path / "bm"
    shutil.copytree(trained.root / "models/late", elsewhere, dirs_exist_ok=True)
    (elsewhere / "note.txt").write_text("mine")
    version, _ = register_model(trained.project, name, "../bm")
    origin = version.provenance
    assert (origin.run_id, origin.lock_digest, origin.output, origin.data) == (None, None, None, {})
    head = (trained.git.head() or "")[:10]
    told = links(trained, version)
    assert ("commit", f"registered at {head}, clean; no stage made it") in told
    assert ("unknown", "stage: no stage of the pipeline made ../bm") in told
    assert {kind for kind, _ in told} == {"model version", "commit", "unknown"}
    assert describe_version(version).endswith(f"registered at {head[:7]}")
    assert "stage: no stage of the pipeline made ../bm" in said_of(trained, version)


def test_a_copy_of_what_a_stage_made_is_what_it_made(trained: Sample, tmp_path: Path) -> None:
    shutil.copytree(trained.root / "models/late", tmp_path / "bm")
    version, _ = register_model(trained.project, "late", "../bm")
    assert (set(version.provenance.data), version.provenance.stale) == ({"data/raw.csv"}, ())
    assert version.provenance.run_id is not None


def test_a_version_tells_what_is_not_known_of_it(trained: Sample) -> None:
    version, _ = register_model(trained.project)
    assert ("unknown", "verdict: no gate judged it") in links(trained, version)
    run_gate(trained.project)
    assert "unknown" not in {kind for kind, _ in links(trained, version)}
