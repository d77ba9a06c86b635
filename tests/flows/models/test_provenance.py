"""The locks of all pipelines are kept with a run, and come back to their places."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock.base.errors import Invalid
from penstock.flows.models.provenance import capture_code, write_locks
from penstock.pipeline.lockfile import lock_digest
from projects import Sample

LOCK = "schema: '2.0'\nstages:\n  a:\n    cmd: {}\n"


def test_one_lock_is_kept_as_it_is_and_several_by_path(sample: Sample, tmp_path: Path) -> None:
    sample.write("dvc.lock", LOCK.format("x"))
    alone = capture_code(sample.project).lock_digest
    assert alone == lock_digest(sample.project.data)
    assert sample.project.artifacts.get(alone or "") == LOCK.format("x").encode()
    (sample.root / "sub").mkdir()
    sample.write("sub/dvc.yaml", "stages:\n  a: {cmd: y}\n")
    sample.write("sub/dvc.lock", LOCK.format("y"))
    sample.project.data.seen.clear()
    together = capture_code(sample.project).lock_digest
    assert together not in {None, alone}
    for number, digest in enumerate((alone, together)):
        write_locks(tmp_path / str(number), sample.project.artifacts.get(digest or ""))
    found = {
        path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.glob("[01]/**/dvc.lock")
    }
    assert found == {
        "0/dvc.lock": LOCK.format("x"),
        "1/dvc.lock": LOCK.format("x"),
        "1/sub/dvc.lock": LOCK.format("y"),
    }


@pytest.mark.parametrize("name", ["../dvc.lock", "/etc/dvc.lock", "sub/other", "a/../../dvc.lock"])
def test_a_lock_goes_nowhere_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(Invalid, match="is not a lock of this repository"):
        write_locks(tmp_path / "root", json.dumps({name: "x"}).encode())
    assert list(tmp_path.rglob("*.lock")) == []
