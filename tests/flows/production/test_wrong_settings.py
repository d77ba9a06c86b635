"""A mistake in penstock.yaml takes away what needs its settings, and nothing that an operator needs in a hurry."""

from __future__ import annotations

from pathlib import Path

from penstock.workspace import open_workspace
from projects import Sample
from servers.forking import run_penstock

WORKS = (
    ("monitor", "status"),
    ("endpoint", "show", "delay"),
    ("endpoint", "list"),
    ("log",),
    ("model", "list"),
    ("why", "late/1"),
    ("rollback", "delay", "--dry-run"),
)
NEEDS_SETTINGS = (("gate", "run"), ("promote", "late/1"), ("endpoint", "apply", "delay"))


def test_a_mistake_in_penstock_yaml_takes_no_command_that_does_not_need_it(tmp_path: Path) -> None:
    sample = Sample.make(tmp_path / "project", "released")
    assert run_penstock(sample.root, "deploy", "delay", "--no-wait").returncode == 0
    path = sample.root / "penstock.yaml"
    text = path.read_text()
    places = open_workspace(sample.root).places
    for wrong in (text.replace("max_ratio", "max_ration"), "", "a: [", "store: 3\n"):
        path.write_text(wrong)
        assert open_workspace(sample.root).places == places
        for command in WORKS:
            done = run_penstock(sample.root, *command)
            is_first = command[0] == "rollback"  # there may be nothing to go back to
            assert done.returncode == 0 or (is_first and "penstock.yaml" not in done.stderr), done.stderr
        for command in NEEDS_SETTINGS:
            done = run_penstock(sample.root, *command)
            assert done.returncode == 1, command
            assert "penstock.yaml" in done.stderr
    assert "penstock.yaml is not used" in run_penstock(sample.root, "monitor", "status").stderr


def test_an_endpoint_without_a_policy_is_shown(tmp_path: Path) -> None:
    sample = Sample.make(tmp_path / "project", "released")
    assert run_penstock(sample.root, "deploy", "other", "--model", "late/1", "--no-wait").returncode == 0
    done = run_penstock(sample.root, "endpoint", "show", "other")
    assert done.returncode == 0, done.stderr
    assert "late/1" in done.stdout
