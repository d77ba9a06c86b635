"""DVC's lock on paths keeps Penstock from writing under a running stage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.base.errors import Conflict, Corrupt
from penstock.data.repository import DataRepository
from penstock.data.rwlock import check_free, check_writable, in_use
from penstock.flows.sources.imports import ImportOptions, import_url, update_import
from penstock.flows.tracked import working_tree
from penstock.flows.tracked.working_tree import move_path

from .conftest import write_files


def write_lock(repo: DataRepository, kind: str, path: Path, pid: int) -> None:
    info = {"pid": pid, "cmd": "dvc repro train"}
    held = [info] if kind == "read" else info
    (repo.dvc_dir / "tmp").mkdir(exist_ok=True)
    (repo.dvc_dir / "tmp" / "rwlock").write_text(json.dumps({kind: {str(path): held}}))


@pytest.fixture
def data(repo: DataRepository) -> Path:
    """A tracked directory with one file missing."""
    write_files(repo.root, {"data/a": "a", "data/b": "b"})
    working_tree.add(repo, [repo.root / "data"])
    (repo.root / "data" / "a").unlink()
    return repo.root / "data"


@pytest.mark.parametrize("kind", ["read", "write"])
@pytest.mark.parametrize("held", ["data", "data/a", "."])
def test_a_path_in_use_is_not_written(repo: DataRepository, data: Path, kind: str, held: str) -> None:
    write_lock(repo, kind, repo.root if held == "." else repo.root / held, os.getppid())
    with pytest.raises(Conflict, match=f"process {os.getppid()}: dvc repro train") as raised:
        working_tree.checkout(repo)
    assert raised.value.fields["pid"] == os.getppid()
    assert not (data / "a").exists()
    for verb in (lambda: working_tree.add(repo, [data]), lambda: working_tree.commit(repo)):
        with pytest.raises(Conflict):
            verb()


def test_the_command_says_who_and_exits_with_4(repo: DataRepository, data: Path) -> None:
    write_lock(repo, "write", data, os.getpid())
    command = [sys.executable, "-m", "penstock.cli", "--json", "checkout"]
    done = subprocess.run(command, cwd=repo.root, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    error = json.loads(done.stdout)["error"]
    assert (error["pid"], error["cmd"]) == (os.getpid(), "dvc repro train")


def test_dead_processes_and_other_paths_do_not_matter(repo: DataRepository, data: Path) -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    write_lock(repo, "write", data, process.pid)
    check_writable(repo, [data])
    write_lock(repo, "write", repo.root / "data2", os.getppid())
    working_tree.checkout(repo)
    assert (data / "a").read_text() == "a"


@pytest.mark.parametrize("text", ["[]", "{", '{"write": {"x": {"pid": "?"}}}'])
def test_a_damaged_lock_is_named(repo: DataRepository, data: Path, text: str) -> None:
    (repo.dvc_dir / "tmp" / "rwlock").write_text(text)
    with pytest.raises(Corrupt, match="rwlock"):
        check_writable(repo, [data])


def test_a_path_in_use_is_not_moved(repo: DataRepository, data: Path) -> None:
    write_lock(repo, "write", data, os.getppid())
    with pytest.raises(Conflict):
        move_path(repo, data, repo.root / "elsewhere")
    assert (data / "b").exists()


def test_a_stage_whose_output_is_in_use_does_not_run(repo: DataRepository) -> None:
    write_files(repo.root, {"dvc.yaml": "stages:\n  a:\n    cmd: echo 1 > out\n    outs: [out]\n"})
    write_lock(repo, "read", repo.root / "out", os.getppid())
    command = [sys.executable, "-m", "penstock.cli", "-C", str(repo.root), "repro"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert "dvc repro train" in done.stderr
    assert not (repo.root / "out").exists()


def test_a_path_in_use_is_neither_imported_nor_updated(repo: DataRepository, tmp_path: Path) -> None:
    source, target, options = tmp_path / "source", repo.root / "got", ImportOptions()
    source.write_text("1")
    write_lock(repo, "read", target, os.getppid())
    with pytest.raises(Conflict, match="dvc repro train"):
        import_url(repo, str(source), target, options, base=repo.root)
    assert not target.exists()
    (repo.dvc_dir / "tmp" / "rwlock").unlink()
    pointer = import_url(repo, str(source), target, options, base=repo.root)
    write_lock(repo, "read", target, os.getppid())
    source.write_text("2")
    with pytest.raises(Conflict, match="dvc repro train"):
        update_import(repo, pointer, options)
    assert target.read_text() == "1"


def test_what_this_process_uses_is_told_in_dvcs_words_and_taken_back(repo: DataRepository) -> None:
    file = repo.dvc_dir / "tmp" / "rwlock"
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    write_lock(repo, "write", repo.root / "gone", dead.pid)
    info = {"pid": os.getpid(), "cmd": "penstock repro s"}
    with in_use(repo, [repo.root / "a"], [repo.root / "b"], "penstock repro s"):
        assert json.loads(file.read_text()) == {
            "read": {str(repo.root / "a"): [info]},
            "write": {str(repo.root / "b"): info},
        }
    assert json.loads(file.read_text()) == {}


def test_several_may_read_one_path_and_only_one_write_it(repo: DataRepository) -> None:
    a = repo.root / "a"
    write_lock(repo, "read", a, os.getppid())
    with in_use(repo, [a], [], "penstock repro s"):
        held = json.loads((repo.dvc_dir / "tmp" / "rwlock").read_text())
        assert [info["pid"] for info in held["read"][str(a)]] == [os.getppid(), os.getpid()]
    with pytest.raises(Conflict), in_use(repo, [], [a / "b"], "penstock repro s"):
        pass
    write_lock(repo, "write", a, os.getppid())
    with pytest.raises(Conflict):
        check_free(repo, [a], [])
