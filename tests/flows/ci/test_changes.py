"""The report of a CI run says what changed, and what is missing with the command that brings it."""

from __future__ import annotations

import shutil

import pytest

from penstock.base.errors import NotFound
from penstock.ci.report import render_markdown
from penstock.flows.ci.branches import Pushed, ToldBranch
from penstock.flows.ci.changes import changes_of, list_unjudged
from penstock.flows.ci.continuous import run_ci
from penstock.flows.ci.files import plan_ci_file
from penstock.flows.ci.plots import draw_plots, load_plots
from projects import Sample, rows
from servers.forking import run_penstock


def test_what_changed_is_told_against_the_commit_before(sample: Sample) -> None:
    first = sample.git.head()
    assert first is not None
    none = changes_of(sample.project, sample.git.run("rev-list", "--max-parents=0", "HEAD").split()[0], None)
    assert none is None
    parameters = sample.root / "params.yaml"
    parameters.write_text(parameters.read_text().replace("strength: 1.0", "strength: 0.5"))
    (sample.root / "split.py").write_text((sample.root / "split.py").read_text() + "# more\n")
    sample.write("data/raw.csv", rows(500, seed=9))
    sample.add("data/raw.csv")
    sample.commit("Change everything")
    head = sample.git.head()
    assert head is not None
    found = changes_of(sample.project, head, None)
    assert found is not None
    assert found.base == "the commit before"
    assert found.parameters == {"strength": ("1", "0.5")}
    assert list(found.data) == ["data/raw.csv"]
    assert found.code == ("params.yaml", "split.py")


def test_missing_data_are_all_listed_with_the_command_that_brings_them(sample: Sample) -> None:
    sample.write("data/more rows.csv", rows(10, seed=3))
    sample.add("data/more rows.csv")
    sample.commit("More data, never pushed")
    shutil.rmtree(sample.root / ".dvc/cache")
    report = run_ci(sample.project)
    assert [(step.name, step.status) for step in report.steps][:2] == [
        ("data", "failed"),
        ("tests", "skipped"),
    ]
    assert (
        "data/more rows.csv, data/raw.csv are neither in the cache nor on the remote"
        in report.steps[0].sentence
    )
    text = render_markdown(report)
    assert "next: penstock push 'data/more rows.csv' data/raw.csv, where they were added" in text
    assert "| changed against the commit before |" in text


@pytest.mark.usefixtures("published")
def test_declared_plots_are_on_one_page_of_the_report(trained: Sample) -> None:
    definition = trained.root / "dvc.yaml"
    text = definition.read_text()
    definition.write_text(f"{text}plots:\n  - data/test.csv: {{x: hour, y: wind}}\n  - gone.csv\n")
    files = plan_ci_file(trained.project, "gitlab")
    assert "- penstock ci report --plots penstock-plots.html || true" in files.text.replace('"', "")
    drawn = draw_plots(trained.project, trained.project, None)
    assert drawn.names == ("data/test.csv",)
    assert drawn.problem == "gone.csv cannot be read"
    assert b"vega" in load_plots(trained.project)
    definition.write_text(text)
    assert draw_plots(trained.project, trained.project, None) == ((), None)
    with pytest.raises(NotFound, match="drew no plots"):
        load_plots(trained.project)


def test_a_run_says_which_edits_it_did_not_judge_and_of_which_branch_it_is(trained: Sample) -> None:
    trained.git.run("branch", "trial")
    trained.write("penstock.yaml", "project: sample\nmodel: {name: late, path: models/late}\n")
    trained.commit("Judge by nothing")
    report = run_ci(trained.project)
    assert (report.unjudged, report.branch) == ((), "main")
    assert "Not judged" not in render_markdown(report)
    trained.write("train.py", trained.root.joinpath("train.py").read_text() + "# other\n")
    trained.write("new.py", "")
    trained.write("data/raw.csv", rows(1300))
    done = run_penstock(trained.root, "ci", "run")
    assert done.returncode == 0, done.stderr
    told = "uncommitted changes in train.py, new.py, data/raw.csv"
    assert f"warning: not judged: {told}" in done.stderr
    assert "Not judged: uncommitted changes in `train.py`, `new.py`, `data/raw.csv`" in done.stdout
    other = run_ci(trained.project, "trial")
    assert (other.unjudged, other.branch) == ((), "trial"), "another commit than the one that is checked out"
    assert run_ci(trained.project, trained.git.resolve("trial")).branch is None


def test_what_a_ci_systems_own_job_left_is_not_told_as_an_edit(trained: Sample) -> None:
    trained.write("penstock.yaml", "project: sample\nmodel: {name: late, path: models/late}\n")
    commit = trained.commit("Judge by nothing")
    for name in (".penstock-ci/bin/python", ".cache/pip/http/1", "build/lib/late.py"):
        (trained.root / name).parent.mkdir(parents=True)
        trained.write(name, "")
    trained.write("train.py", trained.root.joinpath("train.py").read_text() + "# other\n")
    told = Pushed(told=ToldBranch(commit, "main", "main"))
    assert list_unjudged(trained.project, commit, told) == ("train.py",)
    assert list_unjudged(trained.project, commit, Pushed()) == ("train.py", ".cache/", "build/")
