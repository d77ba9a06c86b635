"""Git hooks and the merge driver: what `install` writes into a clone.

A hook that somebody else wrote is left alone. Git itself tells where hooks are, so worktrees and
`core.hooksPath` work. What runs is the program that installed them, whatever environment is active then; where
that one is gone, the one that the shell finds.

Source: dvc/repo/install.py and dvc/repo/scm_context.py (3.67); the names and the work of the hooks are DVC's.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from penstock.base.errors import Conflict
from penstock.base.files import write_atomic
from penstock.base.git import Git

HOOKS = ("post-checkout", "pre-commit", "pre-push")
DRIVER = "git-hook merge-driver --ancestor %O --our %A --their %B --path %P"
ATTRIBUTES = ("*.dvc merge=dvc", "dvc.lock merge=dvc")
"""What `.gitattributes` says so that git merges data by the driver; a clone without it merges them as text."""
OWN = ("exec penstock git-hook", "exec dvc git-hook")
"""What tells a hook of ours, or one of DVC's that does the same, from somebody else's."""
PRE_COMMIT_TOOL = """\
repos:
- repo: local
  hooks:
  - id: penstock-pre-commit
    name: Penstock status
    entry: penstock git-hook pre-commit
    language: system
    always_run: true
    pass_filenames: false
    stages: [pre-commit]
  - id: penstock-pre-push
    name: Penstock push
    entry: penstock git-hook pre-push
    language: system
    always_run: true
    pass_filenames: false
    stages: [pre-push]
  - id: penstock-post-checkout
    name: Penstock checkout
    entry: penstock git-hook post-checkout
    language: system
    always_run: true
    pass_filenames: false
    stages: [post-checkout]
"""


@dataclass(frozen=True)
class InstallPlan:
    """The files to write with their text, and the hooks that somebody else wrote, which are in the way."""

    files: tuple[tuple[Path, str], ...]
    foreign: tuple[Path, ...]
    program: str


def own_program() -> str:
    """Return the program `penstock` of this environment, or of those that the shell finds; its bare name if none."""
    beside = Path(sys.executable).with_name("penstock")
    return str(beside) if beside.is_file() else shutil.which("penstock") or "penstock"


def plan_install(root: Path, git: Git, program: str, *, for_tool: bool) -> InstallPlan:
    """Plan the hooks of the clone that `root` lies in; `for_tool` writes a .pre-commit-config.yaml instead."""
    attributes = root / ".gitattributes"
    has_driver = attributes.is_symlink() or (attributes.exists() and "merge=dvc" in _read(attributes))
    more = () if has_driver else ((attributes, _with_attributes(attributes)),)
    if for_tool:
        path = root / ".pre-commit-config.yaml"
        is_foreign = path.exists() and path.read_text(errors="replace") != PRE_COMMIT_TOOL
        return InstallPlan(((path, PRE_COMMIT_TOOL), *more), (path,) if is_foreign else (), program)
    folder = (git.root / git.run("rev-parse", "--git-path", "hooks")).resolve()
    files, foreign = [], []
    for name in HOOKS:
        path = folder / name
        if path.exists() and not any(word in path.read_text(errors="replace") for word in OWN):
            foreign.append(path)
        files.append((path, _hook(program, name)))
    return InstallPlan((*files, *more), tuple(foreign), program)


def _hook(program: str, name: str) -> str:
    call = f'git-hook {name} "$@"'
    quoted = shlex.quote(program)
    return f"""\
#!/bin/sh
if [ -x {quoted} ]; then
    exec {quoted} {call}
fi
if ! command -v penstock >/dev/null; then
    echo "{name}: there is no penstock here any more: install it, then penstock install; or git's --no-verify" >&2
    exit 127
fi
exec penstock {call}
"""


def _driver(program: str) -> str:
    """Return the command line of the merge driver; git gives it to the shell after replacing what begins with `%`."""
    quoted = shlex.quote(program)
    if program == "penstock" or "%" in program:
        return f"penstock {DRIVER}"
    return f"if [ -x {quoted} ]; then {quoted} {DRIVER}; else penstock {DRIVER}; fi"


def _with_attributes(path: Path) -> str:
    before = _read(path) if path.exists() else ""
    gap = "\n" if before and not before.endswith("\n") else ""
    return f"{before}{gap}{''.join(f'{line}{chr(10)}' for line in ATTRIBUTES)}"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="surrogateescape")


def apply_install(plan: InstallPlan, git: Git) -> None:
    """Write the planned files and tell git of the merge driver.

    Raises:
        Conflict: a hook that somebody else wrote is in the way; nothing is written.
    """
    if plan.foreign:
        names = ", ".join(str(path) for path in plan.foreign)
        raise Conflict(
            f"somebody else's is there already: {names}",
            code="data.foreign_hook",
            hint=f'add `penstock git-hook {shlex.quote(plan.foreign[0].name)} "$@"` to it by hand, or move it away',
        )
    for path, text in plan.files:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode(errors="surrogateescape"), durable=False)
        if path.name in HOOKS:
            os.chmod(path, 0o755)
    git.run("config", "merge.dvc.name", "Penstock merge driver")
    git.run("config", "merge.dvc.driver", _driver(plan.program))


def is_in_the_middle(git: Git) -> bool:
    """Say whether a rebase or merge is under way, in which a checkout of data would only get in the way."""
    paths = ("rebase-merge", "rebase-apply", "MERGE_HEAD", "CHERRY_PICK_HEAD")
    return any((git.root / git.run("rev-parse", "--git-path", name)).exists() for name in paths)
