"""What a commit is judged with otherwise than what is live: the files and columns that `model:` names, and who makes them.

A gate says how much it asks; of what, `model:` says. Who may name another file of metrics needs no lower limit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from penstock.base.errors import PenstockError
from penstock.base.git import Git
from penstock.data.formats.plainyaml import NotYamlError, load
from penstock.data.pointers.metafiles import DEFINITION_FILE
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.lockfile import parse_lock
from penstock.project.project import Project
from penstock.project.settings import ModelSettings, ProjectSettings
from penstock.registry.entities import CheckResult
from penstock.registry.gates.settings import changed_code

LOCK_FILE = "dvc.lock"
WORDS = {
    "path": "judges the model at {new}, before {old}",
    "metrics": "judges by {new}, before {old}",
    "test": "judges on the held-out rows of {new}, before {old}",
    "label": "takes {new} for the truth, before {old}",
    "reference": "compares with {new}, before {old}",
    "time": "orders rows by {new}, before {old}",
}
"""What a change of a key under `model:` is called; in which direction it leads nobody can say."""
FILES = ("path", "metrics", "test", "reference")


def list_rejudged(before: ProjectSettings, after: ProjectSettings, name: str) -> tuple[str, ...]:
    """Return, in words, what a model is judged with otherwise; nothing where one of both does not know the model."""
    old, new = _model(before, name), _model(after, name)
    if old is None or new is None:
        return ()
    told = [
        words.format(new=getattr(new, key) or "nothing", old=getattr(old, key) or "nothing")
        for key, words in WORDS.items()
        if getattr(old, key) != getattr(new, key)
    ]
    if new.reference_rows < old.reference_rows:
        told.append(f"keeps fewer reference rows: {old.reference_rows} → {new.reference_rows}")
    return tuple(told)


def list_renamed(before: ProjectSettings, after: ProjectSettings, name: str) -> tuple[str, ...]:
    """Return, in words, which models are gone where one is new: who follows an alias of theirs gets no news of it."""
    if _model(before, name) is not None:
        return ()
    gone = [one.name for one in before.all_models if _model(after, one.name) is None]
    followed = {
        one.alias[0]: f"{key} follows {one.model}" for key, one in before.endpoints.items() if one.alias
    }
    return tuple(
        f"{name} takes the place of {one}{f', and endpoint {followed[one]}' if one in followed else ''}"
        for one in gone
    )


def list_unmade(tree: Project, commit: str | None, name: str) -> tuple[str, ...]:
    """Return, in words, which files of a model no stage writes any more that one wrote at an earlier commit.

    Raises:
        Invalid: a dvc.yaml of the tree cannot be read.
    """
    model = _model(tree.settings, name)
    if model is None or not commit:
        return ()
    made = dict(_made_at(tree.git, commit))
    if not made:
        return ()
    now = _made_now(tree)
    told = []
    for key in FILES:
        path = getattr(model, key)
        stage = None if path is None else _maker(made, os.path.normpath(path))
        if stage is not None and _maker(now, os.path.normpath(path)) is None:
            told.append(f"no stage writes {path}, which {stage} wrote before")
    return tuple(told)


class ChangedLimits(NamedTuple):
    """Files of limits that are others than before, and what changed in them: what lets more pass, and what does not."""

    files: frozenset[str] = frozenset()
    looser: tuple[str, ...] = ()
    other: tuple[str, ...] = ()


def changed_limits(
    tree: Project, commit: str | None, name: str, checks: Sequence[CheckResult]
) -> ChangedLimits:
    """Compare the files that a model's gates have limits in with those of an earlier commit.

    `checks` are those of what is live: a file that the commit does not have is another where its digest is.
    """
    files: dict[str, None] = {}
    looser: list[str] = []
    other: list[str] = []
    judged = set(changed_code(checks, tree.root))
    for entry in tree.settings.gates_of(name):
        compare = entry.gate.limits
        for file in entry.gate.files(entry.settings) if compare is not None else ():
            before, after = _content_at(tree.git, commit, file), _content(tree.root / file)
            if compare is None or file in files or after is None or before == after:
                continue
            if before is None and file not in judged:
                continue
            files[file] = None
            for words, is_looser in compare(before, after):
                (looser if is_looser else other).append(f"{entry.kind} {file}: {words}")
    return ChangedLimits(frozenset(files), tuple(looser), tuple(other))


def _content_at(git: Git, commit: str | None, name: str) -> bytes | None:
    try:
        return git.show(commit, f"./{name}") if commit else None
    except PenstockError:
        return None


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _model(settings: ProjectSettings, name: str) -> ModelSettings | None:
    return next((one for one in settings.all_models if one.name == name), None)


def _maker(made: dict[str, str], path: str) -> str | None:
    """Return the stage that writes a path, or a folder that it is in."""
    return next(
        (stage for output, stage in made.items() if path == output or path.startswith(f"{output}/")), None
    )


def _made_now(tree: Project) -> dict[str, str]:
    """Return what the stages of the tree write, each path with its stage; a frozen stage writes nothing."""
    return {
        os.path.normpath(os.path.join(stage.home, stage.wdir, output.path)): stage.name
        for stage in load_all_stages(tree.data)
        if not stage.is_frozen
        for output in stage.outputs
    }


def _made_at(git: Git, commit: str) -> Iterator[tuple[str, str]]:
    """Yield what stages wrote at a commit, each path with its stage, as its locks say."""
    try:
        names = git.run("ls-tree", "-r", "--name-only", commit).splitlines()
    except PenstockError:
        return
    for lock in (name for name in names if Path(name).name == LOCK_FILE):
        home = Path(lock).parent
        try:
            entries = parse_lock(git.show(commit, f"./{lock}").decode("utf-8"), lock)
            stages = load(git.show(commit, f"./{home / DEFINITION_FILE}").decode("utf-8"))["stages"]
        except (PenstockError, NotYamlError, UnicodeDecodeError, KeyError, TypeError):
            continue
        for stage, entry in entries.items():
            declared = stages.get(stage.partition("@")[0]) if isinstance(stages, dict) else None
            declared = declared.get("do", declared) if isinstance(declared, dict) else {}
            if declared.get("frozen") is True:
                continue
            wdir = str(declared.get("wdir", "."))
            for item in entry.outputs:
                yield os.path.normpath(home / ("." if "$" in wdir else wdir) / item.path), stage
