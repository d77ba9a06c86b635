"""What Penstock leaves in DVC's state and locks, and what a running DVC stage keeps it from."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from compat.dvc.tools import Tool, git
from stories.live import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def root(make_repo, dvc: Tool, environment: dict[str, str]) -> Path:  # type: ignore[no-untyped-def]
    """A repository that DVC has used once; `environment` says where its site cache is."""
    root: Path = make_repo("repo", dvc)
    (root / "first").write_text("first")
    dvc(root, "add", "first")
    return root


def rows(environment: dict[str, str], kind: str, below: Path) -> set[str]:
    """Return the keys DVC's state holds for a repository."""
    found: set[Any] = set()
    for path in Path(environment["DVC_SITE_CACHE_DIR"]).glob(f"repo/*/{kind}/cache.db"):
        with sqlite3.connect(path) as connection:
            found.update(key for (key,) in connection.execute("SELECT key FROM Cache"))
    return {key for key in found if not key.startswith("/") or key.startswith(f"{below}/")}


def hashed_by_dvc(dvc: Tool, root: Path) -> list[str]:
    """Return the files that `dvc status` read: seen by a probe in front of its hashing."""
    probe = root.parent / "probe"
    probe.mkdir(exist_ok=True)
    (probe / "probe.py").write_text(
        "import sys\nimport dvc_data.hashfile.hash as module\nread = module.file_md5\n"
        "def spy(path, *a, **k):\n    print('READ', path, file=sys.stderr)\n    return read(path, *a, **k)\n"
        "module.file_md5 = spy\n"
        "from dvc.cli import main\nsys.exit(main(['status']))\n"
    )
    python = Path(dvc.command[0]).with_name("python")
    done = subprocess.run(
        [str(python), str(probe / "probe.py")],
        cwd=root,
        env=dvc.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "up to date" in done.stdout
    read = [line.removeprefix("READ ") for line in done.stderr.splitlines() if line.startswith("READ ")]
    return [path for path in read if not path.startswith("memory://")]  # the directory's own listing


def test_dvc_does_not_read_what_penstock_added(
    root: Path, dvc: Tool, penstock: Tool, environment: dict[str, str]
) -> None:
    for name in ("data/a", "data/sub/b", "file"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
        os.utime(root / name, (1_700_000_000, 1_700_000_000))  # written long before it is added
    penstock(root, "add", "data", "file")
    assert rows(environment, "hashes/local", root) >= {
        f"{root}/{name}" for name in ("data/a", "data/sub/b", "file")
    }
    assert rows(environment, "links", root) >= {"data", "file"}
    assert hashed_by_dvc(dvc, root) == []
    (root / "file").write_text("file")
    assert hashed_by_dvc(dvc, root) == [f"{root}/file"]  # the probe sees what is read
    (root / "file").write_text("other")
    assert "modified" in dvc(root, "status")


def test_dvc_removes_what_penstock_checked_out_for_another_branch(
    root: Path, dvc: Tool, penstock: Tool
) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-qm", "without")
    git(root, "branch", "without")
    (root / "data").mkdir()
    (root / "data" / "a").write_text("a")
    penstock(root, "add", "data")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "with")
    shutil.rmtree(root / "data")
    penstock(root, "checkout")
    assert dvc.json(root, "status") == {}
    git(root, "checkout", "-q", "without")
    dvc(root, "checkout")
    assert not (root / "data").exists()


def test_the_output_of_a_running_stage_is_not_written(root: Path, dvc: Tool, penstock: Tool) -> None:
    dvc(
        root,
        "stage",
        "add",
        "-n",
        "slow",
        "-o",
        "out",
        "-d",
        "first",
        "echo > started; while [ ! -f seen ]; do sleep 0.05; done; echo 1 > out",
    )
    with subprocess.Popen(
        [*dvc.command, "repro"], cwd=root, env=dvc.environment, stdout=subprocess.DEVNULL
    ) as running:
        wait_until((root / "started").exists)
        (root / "first").write_text("changed")
        done = penstock.run(root, "add", "first")
        assert done.returncode == 4
        assert f"process {running.pid}" in done.stderr and "repro" in done.stderr
        (root / "first").write_text("first")
        (root / "seen").touch()
        assert running.wait() == 0
    penstock(root, "status")
