"""An import that no commit is recorded of: whoever brings it says that nobody can tell which content was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from projects import PENSTOCK_YAML, Sample
from servers.forking import run_penstock

from .conftest import Desk

NOTE = "latest.dvc does not record a commit: latest is what the default branch of ../source has now"
COUNT = "echo '{\"rows\": '$(wc -l < data.csv)'}' > metrics.json"


def make_source(desk: Desk) -> None:
    source = desk.beside("source")
    source.put({"words": "1"})
    source.commit_all()


@pytest.fixture
def counting(desk: Desk) -> Desk:
    """A pipeline that counts rows, in two commits with other data; beside them an import that was never made."""
    make_source(desk)
    desk.run("import", "../source", "words", "-o", "latest", "--no-exec")
    desk.run("stage", "add", "-n", "count", "-d", "data.csv", "-M", "metrics.json", COUNT)
    for rows in ("1\n2\n", "1\n2\n3\n"):
        desk.put({"data.csv": rows})
        desk.run("add", "data.csv")
        desk.run("repro")
        desk.commit_all()
    return desk


def test_what_a_difference_is_made_of_is_told_with_it(counting: Desk) -> None:
    found = counting.run("compare", "HEAD~1", "HEAD", "--why").stdout
    assert found.count(f"note: {NOTE}\n") == 1, found
    plan = counting.run("compare", "HEAD~1", "HEAD", "--why", "--dry-run").stdout
    assert plan.count(f"note: {NOTE}\n") == 1, plan
    assert NOTE in counting.json("compare", "HEAD~1", "HEAD", "--why")["notes"]


def test_a_ci_run_prints_it_and_so_does_the_last_component_of_a_pipeline(counting: Desk) -> None:
    assert NOTE in counting.run("ci", "run", code=1).stdout
    done = counting.run("ci", "finish", "--made", "report.md", code=1)
    assert NOTE in done.stderr
    assert NOTE in (counting.root / "report.md").read_text()


def test_a_gate_that_runs_the_pipeline_again_says_it_with_what_it_found(
    released: Sample, tmp_path: Path
) -> None:
    make_source(Desk(released.root, tmp_path / "home"))
    assert (
        run_penstock(released.root, "import", "../source", "words", "-o", "latest", "--no-exec").returncode
        == 0
    )
    gates = "gates:\n  - reproducibility: {metric: roc_auc, max_spread: 0, runs: 1}\n"
    before, after = PENSTOCK_YAML.index("gates:"), PENSTOCK_YAML.index("endpoints:")
    released.write("penstock.yaml", PENSTOCK_YAML[:before] + gates + PENSTOCK_YAML[after:])
    released.commit("Ask")
    done = run_penstock(released.root, "gate", "run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"; {NOTE}" in done.stdout
