"""Hooks and the merge driver, with the real git; where DVC merges too, with the same bytes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from compat.dvc.tools import ENVIRONMENT, Tool, git
from penstock.base.git import Git
from penstock.data.git.hooks import HOOKS, apply_install, plan_install

ATTRIBUTES = "*.dvc merge=dvc\ndvc.lock merge=dvc\n"


def git_run(cwd: Path, *arguments: str, tools: tuple[Tool, ...] = ()) -> subprocess.CompletedProcess[str]:
    folders = [str(Path(tool.command[0]).parent) for tool in tools] or [str(Path(sys.executable).parent)]
    return subprocess.run(
        ["git", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **ENVIRONMENT, "PATH": ":".join([*folders, os.environ["PATH"]])},
    )


@pytest.fixture
def forked(make_repo: Callable[[str, Tool], Path], penstock: Tool) -> Path:
    """A repository whose `data` has three files on main, with the driver installed."""
    root = make_repo("forked", penstock)
    (root / ".gitattributes").write_text(ATTRIBUTES)
    (root / "data").mkdir()
    for name in ("kept", "changed", "removed"):
        (root / "data" / name).write_text(name)
    penstock(root, "add", "data")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "base")
    git(root, "branch", "-M", "main")
    penstock(root, "install")
    for hook in ("post-checkout", "pre-commit", "pre-push"):
        (root / ".git" / "hooks" / hook).unlink()
    return root


def on_branch(root: Path, tool: Tool, branch: str, files: dict[str, str | None]) -> None:
    """Commit changes of `data` on a branch from main; None removes a file."""
    git(root, "checkout", "-q", "-B", branch, "main")
    tool(root, "checkout", "--force")
    for name, text in files.items():
        path = root / "data" / name
        path.parent.mkdir(exist_ok=True)
        path.unlink() if text is None else path.write_text(text)
    tool(root, "add", "data")
    git(root, "add", "-A")
    git(root, "commit", "-qm", branch)


def test_both_sides_add_change_and_remove(forked: Path, dvc: Tool, penstock: Tool) -> None:
    on_branch(forked, penstock, "one", {"new/one": "1", "changed": "by one"})
    on_branch(forked, penstock, "two", {"two": "2", "removed": None})
    done = git_run(forked, "merge", "-q", "--no-edit", "one")
    assert done.returncode == 0, done.stdout + done.stderr
    dvc(forked, "checkout")
    found = {
        path.relative_to(forked / "data").as_posix(): path.read_text()
        for path in (forked / "data").rglob("*")
        if path.is_file()
    }
    assert found == {"kept": "kept", "changed": "by one", "new/one": "1", "two": "2"}
    assert dvc.json(forked, "status") == {}
    assert "nfiles: 4" in (forked / "data.dvc").read_text()


def test_the_same_additions_give_the_same_bytes_as_with_dvc_s_driver(
    forked: Path, dvc: Tool, penstock: Tool
) -> None:
    on_branch(forked, penstock, "one", {"one": "1"})
    on_branch(forked, penstock, "two", {"two": "2"})
    assert git_run(forked, "merge", "-q", "--no-edit", "one").returncode == 0
    ours = (forked / "data.dvc").read_bytes()
    git(forked, "reset", "-q", "--hard", "two")
    git(forked, "config", "merge.dvc.driver", "dvc git-hook merge-driver --ancestor %O --our %A --their %B")
    assert git_run(forked, "merge", "-q", "--no-edit", "one", tools=(dvc,)).returncode == 0
    assert (forked / "data.dvc").read_bytes() == ours


def test_a_conflict_names_the_file_and_leaves_marks(forked: Path, penstock: Tool) -> None:
    on_branch(forked, penstock, "one", {"changed": "by one", "one": "1"})
    on_branch(forked, penstock, "two", {"changed": "by two"})
    done = git_run(forked, "merge", "-q", "--no-edit", "one")
    assert done.returncode == 1
    assert "data/changed" in done.stdout + done.stderr
    assert "<<<<<<< ours" in (forked / "data.dvc").read_text()
    assert "UU data.dvc" in git(forked, "status", "--porcelain")


def test_lists_that_are_only_on_the_remote_are_fetched(forked: Path, tmp_path: Path, penstock: Tool) -> None:
    penstock(forked, "remote", "add", "-d", "store", str(tmp_path / "store"))
    git(forked, "commit", "-qam", "remote")
    penstock(forked, "push")
    on_branch(forked, penstock, "one", {"one": "1"})
    penstock(forked, "push")
    on_branch(forked, penstock, "two", {"two": "2"})
    penstock(forked, "push")
    for path in (forked / ".dvc" / "cache" / "files").rglob("*.dir"):
        path.unlink()
    assert git_run(forked, "merge", "-q", "--no-edit", "one").returncode == 0
    assert "nfiles: 5" in (forked / "data.dvc").read_text()


def test_comments_and_meta_survive_a_merge(forked: Path, penstock: Tool) -> None:
    text = (forked / "data.dvc").read_text()
    (forked / "data.dvc").write_text("# ours\n" + text + "meta:\n  owner: ann # who\n")
    git(forked, "commit", "-qam", "comment")
    on_branch(forked, penstock, "one", {"one": "1"})
    on_branch(forked, penstock, "two", {"two": "2"})
    assert git_run(forked, "merge", "-q", "--no-edit", "one").returncode == 0
    merged = (forked / "data.dvc").read_text()
    assert merged.startswith("# ours\n") and "owner: ann # who" in merged and "nfiles: 5" in merged


def test_locks_are_merged_stage_by_stage(
    make_repo: Callable[[str, Tool], Path], dvc: Tool, penstock: Tool
) -> None:
    root = make_repo("pipeline", penstock)
    (root / ".gitattributes").write_text(ATTRIBUTES)
    (root / "dvc.yaml").write_text(
        "stages:\n  a:\n    cmd: cp a.txt a.out\n    deps: [a.txt]\n    outs: [a.out]\n"
        "  b:\n    cmd: cp b.txt b.out\n    deps: [b.txt]\n    outs: [b.out]\n"
    )
    for name in "ab":
        (root / f"{name}.txt").write_text(name)
    penstock(root, "repro")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "base")
    git(root, "branch", "-M", "main")
    penstock(root, "install")
    for hook in ("post-checkout", "pre-commit", "pre-push"):
        (root / ".git" / "hooks" / hook).unlink()
    for branch, name in (("one", "a"), ("two", "b")):
        git(root, "checkout", "-q", "-b", branch, "main")
        (root / f"{name}.txt").write_text(f"changed on {branch}")
        penstock(root, "repro")
        git(root, "commit", "-qam", branch)
    done = git_run(root, "merge", "-q", "--no-edit", "one")
    assert done.returncode == 0, done.stdout + done.stderr
    dvc(root, "checkout")
    assert dvc.json(root, "status") == {}
    assert (root / "a.out").read_text() == "changed on one"
    assert (root / "b.out").read_text() == "changed on two"


def test_hooks_check_out_and_push(
    make_repo: Callable[[str, Tool], Path], tmp_path: Path, penstock: Tool
) -> None:
    root = make_repo("hooked", penstock)
    penstock(root, "remote", "add", "-d", "store", str(tmp_path / "store"))
    (root / "data.txt").write_text("one")
    penstock(root, "add", "data.txt")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "one")
    penstock(root, "install")
    (root / "data.txt").write_text("two")
    penstock(root, "add", "data.txt")
    assert git(root, "check-attr", "merge", "data.txt.dvc", "sub/dvc.lock").split()[2::3] == ["dvc", "dvc"]
    bare = {**os.environ, **ENVIRONMENT, "PATH": "/usr/bin:/bin"}  # no environment is active
    assert shutil.which("penstock", path=bare["PATH"]) is None
    committed = subprocess.run(
        ["git", "commit", "-qam", "two"], cwd=root, env=bare, capture_output=True, text=True, check=False
    )
    assert committed.returncode == 0, committed.stderr
    assert "up to date" in committed.stdout + committed.stderr
    assert git_run(root, "checkout", "-q", "HEAD~1").returncode == 0
    assert (root / "data.txt").read_text() == "one"
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "origin")], check=True)
    git(root, "remote", "add", "origin", str(tmp_path / "origin"))
    assert git_run(root, "push", "-q", "origin", "HEAD:refs/heads/x").returncode == 0
    assert any((tmp_path / "store").rglob("*"))


def test_where_the_program_that_installed_the_hooks_is_gone_another_is_taken_or_its_lack_told(
    make_repo: Callable[[str, Tool], Path], tmp_path: Path, penstock: Tool
) -> None:
    root = make_repo("gone", penstock)
    (root / ".gitattributes").write_text("*.png binary")
    penstock(root, "install")
    penstock(root, "install")
    assert (root / ".gitattributes").read_text() == f"*.png binary\n{ATTRIBUTES}"
    place = str(Path(sys.executable).with_name("penstock"))
    for name in HOOKS:
        hook = root / ".git" / "hooks" / name
        assert hook.read_text().count(place) == 2
        hook.write_text(hook.read_text().replace(place, str(tmp_path / "gone" / "penstock")))
    commit = ("commit", "-q", "--allow-empty", "-m", "x")
    assert git_run(root, *commit, tools=(penstock,)).returncode == 0
    bare = {**os.environ, **ENVIRONMENT, "PATH": "/usr/bin:/bin"}
    failed = subprocess.run(["git", *commit], cwd=root, env=bare, capture_output=True, text=True, check=False)
    assert failed.returncode != 0
    assert "pre-commit: there is no penstock here any more" in failed.stderr


def test_a_program_may_lie_at_an_odd_place(
    make_repo: Callable[[str, Tool], Path], tmp_path: Path, penstock: Tool
) -> None:
    root, program = make_repo("odd", penstock), tmp_path / "it's $HOME here" / "penstock"
    program.parent.mkdir()
    program.symlink_to(Path(sys.executable).with_name("penstock"))
    apply_install(plan_install(root, Git(root), str(program), for_tool=False), Git(root))
    bare = {**os.environ, **ENVIRONMENT, "PATH": "/usr/bin:/bin"}
    for words in (("hook", "run", "pre-commit"), ("commit", "-q", "--allow-empty", "-m", "x")):
        subprocess.run(["git", *words], cwd=root, env=bare, check=True)
    driver = git(root, "config", "merge.dvc.driver")
    for name in "OAB":
        (tmp_path / name).write_text("")
        driver = driver.replace(f"%{name}", str(tmp_path / name))
    done = subprocess.run(driver.replace("%P", "x.dvc"), shell=True, cwd=root, env=bare, check=False)
    assert done.returncode == 0


def test_somebody_else_s_hook_is_left_alone(make_repo: Callable[[str, Tool], Path], penstock: Tool) -> None:
    root = make_repo("foreign", penstock)
    hook = root / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 0\n")
    assert "pre-commit" in penstock.run(root, "install").stderr
    assert hook.read_text() == "#!/bin/sh\nexit 0\n"
    assert not (hook.parent / "pre-push").exists()


def test_hooks_of_dvc_are_replaced_and_the_other_way_round_is_refused_by_dvc(
    make_repo: Callable[[str, Tool], Path], dvc: Tool, penstock: Tool
) -> None:
    root = make_repo("both", penstock)
    dvc(root, "install")
    penstock(root, "install")
    assert "exec penstock git-hook pre-push" in (root / ".git" / "hooks" / "pre-push").read_text()
    dvc(root, "install", ok=False)
