"""While a stage's command runs others work in the repository, but not on what it reads and makes."""

from __future__ import annotations

import sys

from penstock.pipeline.lockfile import load_lock

from .conftest import Desk


def test_others_add_and_commit_but_not_what_the_stage_uses(desk: Desk) -> None:
    penstock = f"{sys.executable} -m penstock.cli"
    desk.put(
        {
            "other.py": "\n".join(
                [
                    "import subprocess, sys",
                    "def run(*words):",
                    f"    return subprocess.run([*{penstock.split()}, *words]).returncode",
                    "found = [run('add', 'f'), run('add', 'i'), run('add', 't'), run('status')]",
                    "found += [run('repro', '--dry'), run('repro')]",
                    "open('t', 'w').write(repr(found))",
                ]
            ),
            "dvc.yaml": f"stages:\n  train: {{cmd: {sys.executable} other.py, deps: [i], outs: [t]}}\n",
            "f": "1",
            "i": "1",
        }
    )
    desk.run("repro", "train")
    assert (desk.root / "t").read_text() == "[0, 4, 4, 0, 0, 4]"
    assert (desk.root / "f.dvc").exists()
    assert not (desk.root / "i.dvc").exists()
    assert list(load_lock(desk.root)) == ["train"]
    assert (desk.root / ".dvc/tmp/rwlock").read_text() == "{}"
