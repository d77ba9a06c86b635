"""Data that gates name under `files`: cases, limits, lists. They decide as settings do, and nobody can say in which direction.

Code is not among them: each commit to a module changes some, so that it is told and holds nothing (`changed_code`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from penstock.base.digest import digest_bytes, digest_file
from penstock.base.errors import PenstockError
from penstock.base.git import Git
from penstock.pipeline.running.code_names import is_code
from penstock.project.project import Project
from penstock.registry.entities import CheckResult
from penstock.registry.gates.settings import GateEntry


def list_changed_data(
    tree: Project, commit: str | None, name: str, checks: Sequence[CheckResult]
) -> tuple[str, ...]:
    """Return the data files of a model's gates that are others than at an earlier commit, or gone.

    `checks` are those of what is live: of a file that the commit does not have they know the digest.
    """
    digests = {file: digest for check in checks for file, digest in check.code.items()}
    changed: dict[str, None] = {}
    for entry in tree.settings.gates_of(name):
        for file in _data_of(entry):
            before = _digest_at(tree.git, commit, file) or digests.get(file)
            if before is not None and before != _digest_now(tree, file):
                changed[file] = None
    return tuple(changed)


def _data_of(entry: GateEntry) -> list[str]:
    if entry.gate.limits is not None:
        return []
    files = (*entry.gate.files(entry.settings),)
    return [
        file for file in files if PurePosixPath(file).suffix and not is_code(file)
    ]  # else it may be a program


def _digest_at(git: Git, commit: str | None, name: str) -> str | None:
    try:
        return digest_bytes(git.show(commit, f"./{name}")) if commit else None
    except PenstockError:
        return None


def _digest_now(tree: Project, name: str) -> str | None:
    try:
        return digest_file(tree.root / name)
    except OSError:
        return None
