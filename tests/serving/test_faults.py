"""How versions do in a process of their own: only what they do to it is held against them."""

from __future__ import annotations

from pathlib import Path

import pytest

import penstock
from penstock.flows.models.folders import files_of_folder
from penstock.serving import faults
from penstock.serving.faults import failure_afresh, require_alive, try_afresh
from penstock.serving.loaders.model import ModelFiles
from servers.quick_python import real_command
from serving.fatal import Fatal, Talking


def saved(kind: type[Fatal], told_by: Path) -> ModelFiles:
    """Save a model that does as the name of a file says, and make the file."""
    folder = told_by.parent / "model"
    penstock.save_model(kind(str(told_by)), folder, inputs=[[1.0, 2.0], [3.0, 4.0]])
    told_by.touch()
    return files_of_folder(folder, "fatal", 1, "d")


@pytest.fixture(autouse=True)
def _an_interpreter_with_buffers_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_command", real_command)
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


@pytest.mark.parametrize("how", ["writes", "prints", "printf", "last"])
def test_a_version_that_writes_to_the_output_or_ends_oddly_after_it_was_tried_loads(
    tmp_path: Path, how: str
) -> None:
    files = saved(Talking, tmp_path / how)
    assert try_afresh(files).end == "loads"
    require_alive(files)


def test_a_version_that_ends_its_process_is_known_whatever_it_writes(tmp_path: Path) -> None:
    tried = try_afresh(saved(Talking, tmp_path / "ends"))
    assert (tried.end, tried.why) == (
        "ends",
        "loading it, or its self-test, ends its process with exit code 0",
    )


@pytest.mark.parametrize(
    ("name", "end", "why"),
    [("wrong", "fails", "cannot be read"), ("files", "hindered", "Too many open files")],
)
def test_a_version_that_fails_says_why_and_whose_fault_it_is(
    tmp_path: Path, name: str, end: str, why: str
) -> None:
    tried = try_afresh(saved(Fatal, tmp_path / name))
    assert tried.end == end and why in tried.why


@pytest.mark.parametrize("fault", ["raise ImportError('half installed')", "import os; os._exit(4)"])
def test_a_process_that_never_reached_the_version_says_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    files = saved(Talking, tmp_path / "writes")
    broken = tmp_path / "broken" / "penstock"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text(fault)
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))
    assert try_afresh(files).end == "hindered"
    why = failure_afresh(files, 60.0)
    assert why is not None and why.startswith("it was not tried: ")
    require_alive(files)
