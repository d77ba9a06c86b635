"""Stages that ran at once leave what the real DVC would have left: it finds nothing to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from compat.dvc.tools import Tool, git

pytestmark = pytest.mark.slow


def test_dvc_has_nothing_to_do_after_stages_ran_at_once(tmp_path: Path, dvc: Tool, penstock: Tool) -> None:
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    penstock(root, "init")
    (root / "in").write_text("1")
    (root / "params.yaml").write_text("p: 1\n")
    lines = ["stages:"]
    for name in "abcdef":
        lines += [f"  {name}:", f"    cmd: cp in {name}.out", "    deps: [in]", f"    outs: [{name}.out]"]
        lines += ["    params: [p]", "    meta: {penstock: {resources: {cpus: 1}, retries: 1}}"]
    lines += ["  all:", "    cmd: cat a.out b.out c.out > m.json", "    deps: [a.out, b.out, c.out]"]
    lines += ["    metrics: [m.json: {cache: false}]"]
    (root / "dvc.yaml").write_text("\n".join([*lines, ""]))
    penstock(root, "repro", "-j", "3")
    before = (root / "dvc.lock").read_bytes()
    assert dvc.json(root, "status", "--json") == {}
    assert "up to date" in dvc(root, "repro")
    assert (root / "dvc.lock").read_bytes() == before
    (root / "dvc.lock").unlink()
    dvc(root, "repro")  # from the run cache that we wrote
    assert sorted((root / "dvc.lock").read_text().splitlines()) == sorted(before.decode().splitlines())
    assert penstock.json(root, "repro", "-j", "2", "--json")["up_to_date"]
