"""The real pipeline of a real repository with planted effects: data +0.03, parameters +0.01, code +0.002."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from penstock.base.errors import Invalid, NotFound, Refused
from penstock.base.git import Git
from penstock.base.store.events import list_events
from penstock.data.verbs.creation import init_repository
from penstock.flows.comparing.attributing import AttributionOptions, explain_difference
from penstock.flows.comparing.attribution import sentences
from penstock.flows.comparing.differences import compare_sides
from penstock.flows.comparing.parts import find_parts
from penstock.flows.comparing.sides import find_side
from penstock.flows.models.registering import register_model
from penstock.flows.pipelines.execution import reproduce_and_record
from penstock.flows.tracked import versioning
from penstock.project.project import Project
from penstock.workspace import open_workspace
from projects import Sample

DVC_YAML = f"""\
stages:
  prepare:
    cmd: {sys.executable} prepare.py
    deps: [prepare.py, data.csv]
    outs: [clean.csv]
  measure:
    cmd: {sys.executable} measure.py
    deps: [clean.csv, measure.py, "odd [name].txt"]
    params: [rate, seed, {{more.toml: [x]}}]
    metrics: [metrics.json: {{cache: false}}]
"""
PREPARE = 'open("clean.csv", "w").write(open("data.csv").read())\n'
MEASURE = """\
import json, random
values = dict(line.split(": ") for line in open("params.yaml").read().splitlines())
rows = len(open("clean.csv").read().split())
random.seed(int(values["seed"]) * 1000 + rows)
noise = random.gauss(0, NOISE)
json.dump({"auc": BASE + 0.01 * rows + 0.1 * float(values["rate"]) + noise}, open("metrics.json", "w"))
"""


def write(root: Path, *, rows: int, rate: float, base: float, noise: float = 0.0) -> None:
    (root / "data.csv").write_text("".join(f"{number}\n" for number in range(rows)))
    (root / "params.yaml").write_text(f"rate: {rate}\nseed: 3\n")
    code = MEASURE.replace("BASE", str(base)).replace("NOISE", str(noise))
    (root / "measure.py").write_text(code)


def commit(project: Project, message: str) -> str:
    versioning.add(project.data, [project.root / "data.csv"])
    reproduce_and_record(project)
    project.git.run("add", "--all")
    project.git.run("commit", "--quiet", "-m", message)
    return project.git.resolve("HEAD")


def make(root: Path, **noise: float) -> Project:
    root.mkdir()
    git = Git(root)
    git.run("init", "--quiet")
    for key, value in (("user.name", "a"), ("user.email", "a@localhost")):
        git.run("config", key, value)
    init_repository(root)
    (root / "dvc.yaml").write_text(DVC_YAML)
    (root / "prepare.py").write_text(PREPARE)
    (root / "odd [name].txt").write_text("1")
    (root / "more.toml").write_text("x = 1\n")
    write(root, rows=5, rate=0.1, base=0.5, **noise)
    project = open_workspace(root)
    commit(project, "One")
    write(root, rows=8, rate=0.2, base=0.502, **noise)
    (root / "odd [name].txt").write_text("2")
    (root / "more.toml").write_text("x = 2\n")
    commit(project, "Two")
    return project


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make(tmp_path_factory.mktemp("planted") / "repo")


def explain(project: Project, **options: object) -> dict[str, float]:
    sides = find_side(project, "HEAD~1"), find_side(project, "HEAD")
    found = explain_difference(project, *sides, AttributionOptions(**options))  # type: ignore[arg-type]
    return {part: share.value for part, share in found.shares["auc"].items()}


def test_what_differs_is_told_by_kind(planted: Project) -> None:
    one, two = find_side(planted, "HEAD~1"), find_side(planted, "HEAD")
    found = compare_sides(planted, one, two)
    assert found.metrics["auc"] == pytest.approx((0.56, 0.602))
    assert found.parameters == {"rate": (0.1, 0.2), "more.toml:x": (1, 2)}
    assert list(found.data) == ["data.csv"]
    assert "measure.py" in (found.code or ())
    assert compare_sides(planted, two, two).is_empty


def test_an_experiment_is_a_side_by_its_name(planted: Project) -> None:
    base, commit = planted.git.resolve("HEAD~1"), planted.git.resolve("HEAD")
    planted.git.run("update-ref", f"refs/exps/{base[:2]}/{base[2:]}/tuned", commit)
    assert find_side(planted, "tuned").commit == commit
    planted.git.run("update-ref", "-d", f"refs/exps/{base[:2]}/{base[2:]}/tuned")


def test_every_file_belongs_to_one_part(planted: Project) -> None:
    commits = planted.git.resolve("HEAD~1"), planted.git.resolve("HEAD")
    assert {part.name: part.files for part in find_parts(planted, *commits)} == {
        "data": ("data.csv.dvc", "odd [name].txt"),
        "parameters": ("more.toml", "params.yaml"),
        "code": ("measure.py",),
    }
    assert [part.name for part in find_parts(planted, *commits, by_file=True)] == [
        "data.csv", "odd [name].txt", "more.toml", "params.yaml", "code",
    ]  # fmt: skip


def test_planted_effects_are_found_and_the_tree_stays_as_it_is(planted: Project) -> None:
    assert explain(planted) == pytest.approx({"data": 0.03, "parameters": 0.01, "code": 0.002})
    assert planted.git.run("status", "--porcelain") == ""
    assert len(planted.git.run("worktree", "list").splitlines()) == 1
    assert list((planted.home / "worktrees").iterdir()) == []


def test_files_are_told_apart(planted: Project) -> None:
    assert explain(planted, by_file=True, budget=10) == pytest.approx(
        {"data.csv": 0.03, "odd [name].txt": 0.0, "more.toml": 0.0, "params.yaml": 0.01, "code": 0.002},
        abs=1e-12,
    )


def test_a_plan_runs_nothing_and_names_what_would_run(tmp_path: Path) -> None:
    project = make(tmp_path / "repo")
    sides = find_side(project, "HEAD~1"), find_side(project, "HEAD")
    found = explain_difference(project, *sides, AttributionOptions(), dry=True)
    due = {cell.swapped: cell.measured[0].ran for cell in found.cells}
    assert due[()] == due["data", "parameters", "code"] == ()
    assert due["parameters",] == ("measure",)
    assert len(due) == 8
    assert found.shares == {}


def test_seeds_tell_how_sure_the_shares_are(tmp_path: Path) -> None:
    project = make(tmp_path / "repo", noise=0.002)
    sides = find_side(project, "HEAD~1"), find_side(project, "HEAD")
    found = explain_difference(project, *sides, AttributionOptions(repetitions=3, seed="seed"))
    for part, effect in {"data": 0.03, "parameters": 0.01, "code": 0.002}.items():
        share = found.shares["auc"][part]
        assert share.half_width is not None
        assert abs(share.value - effect) <= 3 * share.half_width + 0.003, part
    assert all(len(cell.measured) == 3 for cell in found.cells)
    assert "±" in sentences(found)[0]


def test_versions_keep_what_was_found_as_evidence_also_of_what_was_never_committed(released: Sample) -> None:
    project = released.project
    params = project.root / "params.yaml"
    params.write_text(params.read_text().replace("strength: 1.0", "strength: 0.001"))
    reproduce_and_record(project)
    version, _ = register_model(project)
    assert version.provenance.dirty_digest is not None
    sides = find_side(project, "late/1"), find_side(project, version.ref)
    found = explain_difference(project, *sides, AttributionOptions(metrics=("roc_auc",)))
    share = found.shares["roc_auc"]["parameters"]
    assert share.value == pytest.approx(version.metrics["roc_auc"] - sides[0].metrics["roc_auc"])
    assert [cell.measured[0].ran for cell in found.cells] == [(), ()]
    assert found.evidence is not None
    assert json.loads(project.artifacts.get(found.evidence))["metrics"]["roc_auc"]["shares"]["parameters"]
    for ref in ("late/1", version.ref):
        with project.database.read() as connection:
            (event,) = list_events(connection, subject=f"model:{ref}", kind="model.compared")
        assert event.cause["attribution"] == found.evidence
        assert "roc_auc" in event.summary
    assert project.git.run("status", "--porcelain", "params.yaml") != ""


def test_a_mixture_that_fails_is_told_and_the_others_tell_what_they_can(tmp_path: Path) -> None:
    project = make(tmp_path / "repo")
    (project.root / "measure.py").write_text(
        'if "rate: 0.2" in open("params.yaml").read(): raise SystemExit("new rate")\n'
        + (project.root / "measure.py").read_text()
    )
    write_params = (project.root / "params.yaml").write_text
    write_params("rate: 0.3\nseed: 3\n")
    commit(project, "Three")
    sides = find_side(project, "HEAD~1"), find_side(project, "HEAD")
    found = explain_difference(project, *sides, AttributionOptions())
    assert (found.orders_used, found.orders_total) == (1, 2)
    assert any("with code of HEAD" in note for note in found.notes)
    assert sum(share.value for share in found.shares["auc"].values()) == pytest.approx(0.01)


def test_what_cannot_be_explained_is_refused_with_its_reason(planted: Project) -> None:
    one, two = find_side(planted, "HEAD~1"), find_side(planted, "HEAD")

    def refused(problem: type[Exception], code: str, **options: object) -> None:
        with pytest.raises(problem) as raised:
            explain_difference(planted, one, two, AttributionOptions(**options))  # type: ignore[arg-type]
        assert getattr(raised.value, "code", None) == code

    refused(Invalid, "compare.budget", budget=4)
    refused(Invalid, "compare.no_seed", repetitions=2)
    refused(Invalid, "compare.bad_seed", repetitions=2, seed="rate")
    refused(Invalid, "compare.bad_seed", repetitions=2, seed="none.yaml:rate")
    refused(Invalid, "compare.no_metric", metrics=("nosuch",))
    with pytest.raises(Invalid, match="same data"):
        explain_difference(planted, two, two, AttributionOptions())
    with pytest.raises(NotFound, match="no version, run, experiment or revision"):
        find_side(planted, "nosuch")


def test_a_side_whose_own_pipeline_fails_is_named(tmp_path: Path) -> None:
    project = make(tmp_path / "repo")
    (project.root / "measure.py").write_text("raise SystemExit('broken')\n")
    project.git.run("commit", "--quiet", "--all", "-m", "Broken")
    sides = find_side(project, "HEAD~1"), find_side(project, "HEAD")
    with pytest.raises(Refused, match="the pipeline of HEAD itself fails"):
        explain_difference(project, *sides, AttributionOptions())


def test_a_side_whose_lock_is_stale_is_told_as_stale(tmp_path: Path) -> None:
    project = make(tmp_path / "repo")
    (project.root / "params.yaml").write_text("rate: 0.5\nseed: 3\n")
    project.git.run("commit", "--quiet", "--all", "-m", "Not run")
    sides = find_side(project, "HEAD~1"), find_side(project, "HEAD")
    found = explain_difference(project, *sides, AttributionOptions())
    assert [note for note in found.notes if "recorded" in note] == [
        "HEAD gave auc 0.602 when it was recorded, 0.632 now: its dvc.lock is stale, of an earlier state of measure"
    ]
    project.close()


def test_a_metric_that_one_side_alone_gives_is_named(tmp_path: Path) -> None:
    project = make(tmp_path / "repo")
    script = tmp_path / "repo" / "measure.py"
    script.write_text(script.read_text().replace('{"auc"', '{"f1": 0.5, "auc"'))
    commit(project, "Three")
    sides = find_side(project, "HEAD~1"), find_side(project, "HEAD")
    found = explain_difference(project, *sides, AttributionOptions())
    assert "only HEAD gives f1, so no difference of it is explained" in found.notes, found.notes
    asked = explain_difference(project, *sides, AttributionOptions(metrics=("auc",)))
    assert not any("f1" in one for one in asked.notes)
