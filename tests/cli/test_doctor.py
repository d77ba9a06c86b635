"""What `doctor` says of data that are not pulled, of the artifact store and of keys."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from penstock.base.git import Git
from projects import Sample
from servers.forking import run_penstock
from serving.fixtures import released_root

from .conftest import Desk

__all__ = ["released_root"]


@pytest.fixture
def root(released_root: Path, tmp_path: Path) -> Path:
    """Return the sample project with a version that is served."""
    with_release = Sample.copy(released_root, tmp_path / "project")
    with_release.close()
    return with_release.project.root


def checks(root: Path, part: str, **variables: str) -> list[dict[str, Any]]:
    done = run_penstock(root, "doctor", "--json", **variables)
    return [one for one in json.loads(done.stdout)["checks"] if one["part"] == part]


def test_a_fresh_clone_is_told_to_pull_what_the_remote_has(desk: Desk) -> None:
    make = "mkdir -p model && echo x > model/a && echo 1 > train.csv && echo 2 > lost.csv"
    desk.put(
        {
            "dvc.yaml": f"stages:\n  fit: {{cmd: '{make}', outs: [model, train.csv, lost.csv: {{push: false}}]}}\n",
            "penstock.yaml": "project: p\nmodel: {name: m, path: model, reference: train.csv, test: lost.csv}\n",
        }
    )
    desk.run("repro")
    desk.run("remote", "add", "-d", "far", str(desk.home / "far"))
    desk.run("push")
    git = Git(desk.root)
    git.run("add", "-A")
    git.run("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x")
    clone = desk.home / "clone"
    git.run("clone", "-q", str(desk.root), str(clone))
    found = Desk(clone, desk.home).json("doctor")["checks"]
    hints = {one["sentence"]: one["hint"] for one in found if one["part"] == "model"}
    assert hints["model is not there"] == "penstock pull"
    assert hints["`reference: train.csv` is not there"] == "penstock pull"
    assert hints["`test: lost.csv` is not there"] == "penstock repro, or mend the name"


def test_the_artifact_store_is_asked_and_left_as_it_was(root: Path, tmp_path: Path) -> None:
    before = sorted(root.rglob("artifacts/**/*"))
    (ok,) = checks(root, "artifacts")
    assert ok["state"] == "ok"
    assert sorted(root.rglob("artifacts/**/*")) == before
    absent = tmp_path / "far" / "away"
    for url, said in (
        ("/proc/nope", "/proc/nope"),
        ("ftp://x", "no storage for ftp"),
        (str(absent), "late/1"),
    ):
        (found,) = checks(root, "artifacts", PENSTOCK_ARTIFACTS=url)
        assert found["state"] == "broken", found
        assert said in found["sentence"]
        assert "PENSTOCK_ARTIFACTS" in found["hint"]
    assert not absent.parent.exists()
    settings = root / "penstock.yaml"
    written = settings.read_text()
    settings.write_text(f"{written}artifacts: /proc/nope\n")
    (found,) = checks(root, "artifacts")
    settings.write_text(written)
    assert "let this user write to /proc/nope" in found["hint"] and "PENSTOCK_ARTIFACTS" not in found["hint"]


def test_keys_that_refuse_to_sign_or_that_are_gone_are_told(root: Path) -> None:
    (ok,) = checks(root, "keys")
    assert ok["state"] == "ok", ok
    key = root / ".penstock" / "keys" / "signing.pem"
    key.chmod(0o644)
    (found,) = checks(root, "keys")
    assert found["state"] == "broken"
    assert "can be read by others" in found["sentence"]
    assert "chmod 600" in found["hint"]
    shutil.rmtree(key.parent)
    (found,) = checks(root, "keys")
    assert found["state"] == "broken"
    assert "late/1 is not loaded: its verdict is no proof" in found["sentence"]
    assert "trusted_keys" in found["hint"]
    assert not key.parent.exists()
