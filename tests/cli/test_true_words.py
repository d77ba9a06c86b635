"""Small sentences that once told another thing than what was so."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import polars as pl

from penstock.registry.table_schema import load_schema, validate
from projects import Sample
from servers.forking import run_penstock


def test_a_deleted_metrics_file_is_told_as_gone(trained: Sample) -> None:
    trained.close()
    (trained.root / "metrics.json").unlink()
    done = run_penstock(trained.root, "gate", "run")
    assert done.returncode == 1
    assert "metrics.json, which stage `train` made, is not there any more" in done.stderr
    assert "changed afterwards" not in done.stderr
    assert "penstock repro" in done.stderr


def test_conflict_marks_in_parameters_are_told_with_their_line(trained: Sample) -> None:
    trained.close()
    params = trained.root / "params.yaml"
    marked = f"{params.read_text()}<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> other\n"
    line = marked[: marked.index("<<<<")].count("\n") + 1
    params.write_text(marked)
    for words in (("repro",), ("status",), ("exp", "run", "-S", "a=1")):
        done = run_penstock(trained.root, *words)
        assert done.returncode == 1, (words, done.stdout)
        assert f"params.yaml:{line}: git left both sides of a conflict in it" in done.stderr, words


def test_a_table_without_rows_breaks_no_limit_with_none(tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"columns": {"y": {"type": "integer", "min": 0}}}')
    findings = validate(pl.DataFrame({"y": []}, schema={"y": pl.String}), load_schema(schema))
    told = [one["sentence"] for one in findings]
    assert told == ["0 rows, at least 1 expected", "y: there is no value to look whether it is at least 0"]


def test_a_command_that_is_proposed_can_be_typed_as_it_stands(released: Sample, tmp_path: Path) -> None:
    released.close()
    into = tmp_path / "with space" / "it's $é"
    into.parent.mkdir()
    done = run_penstock(released.root, "restore", "late/1", "--into", str(into))
    assert done.returncode == 0, done.stderr
    command = done.stdout.partition("Next: ")[2].strip()
    assert shlex.split(command) == ["penstock", "-C", str(into), "repro"]
    shown = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {command}"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.splitlines()[2] == str(into)
    untracked = run_penstock(released.root, "push", "a b")
    assert "penstock add 'a b'" in untracked.stderr
