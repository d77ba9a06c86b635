"""Write stages into `dvc.yaml` and take them out again; comments and order of the rest stay.

Source: dvc/repo/stage.py, dvc/stage/serialize.py, dvc/dvcfile.py (3.67). Differs in that a group of stages can be
removed too.
"""

from __future__ import annotations

import os
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.base.errors import Conflict, Invalid
from penstock.base.files import remove_path
from penstock.data.formats.yamltext import dump_document, load_document, update_document
from penstock.data.git.ignored import ignore_path, unignore_path
from penstock.data.lock import repository_lock
from penstock.data.pointers.metafiles import DEFINITION_FILE, note_definition
from penstock.data.pointers.pointer import save_text
from penstock.data.repository import DataRepository
from penstock.data.verbs.checkout import check_parents
from penstock.data.verbs.keeping import keep_unsaved
from penstock.data.verbs.protection import unprotect
from penstock.flows.tracked.freezing import find_definition
from penstock.flows.tracked.working_tree import stage_in_git
from penstock.pipeline.definition import DEFAULT_PARAMETER_FILE, load_all_stages, load_stages, parse_stage
from penstock.pipeline.graph import plan
from penstock.pipeline.lockfile import drop_entries
from penstock.pipeline.pointer_steps import PointerStep, list_pointer_steps
from penstock.pipeline.stage import Stage, StageOutput
from penstock.pipeline.targets import no_stage

BAD_SIGNS = frozenset(string.punctuation) - {"_", "-"}
KEPT_FLAGS = ("desc", "type", "labels", "meta")
KINDS = {"out": "outs", "metric": "metrics", "plot": "plots"}


@dataclass(frozen=True)
class NewStage:
    """A stage to be written; `wdir` is relative to its file, `parameters` are `[FILE:]KEY,KEY`."""

    name: str
    command: str
    wdir: str = "."
    dependencies: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    outputs: tuple[StageOutput, ...] = ()
    is_always_changed: bool = False
    description: str | None = None


def add_stage(repo: DataRepository, new: NewStage, base: Path, *, force: bool = False) -> Path:
    """Write a stage into the `dvc.yaml` of `base` and let git ignore its outputs; return the file.

    With `force` a stage of that name is replaced; what its entry says beyond `new` (`meta`, outputs' descriptions
    and remotes) stays.

    Raises:
        Conflict: there is a stage of that name.
        Invalid: the name, a path or the resulting pipeline is not sound; nothing was written.
    """
    _check(repo, new, base)
    path = base / DEFINITION_FILE
    home = base.relative_to(repo.root).as_posix()
    with repository_lock(repo):
        document = load_document(path.read_text(encoding="utf-8") if path.is_file() else "", DEFINITION_FILE)
        document["stages"] = document.get("stages") or {}
        known = document["stages"].get(new.name)
        if known is not None and not force:
            raise Conflict(
                f"there is a stage `{new.name}` in {path} already",
                code="pipeline.stage_exists",
                hint="penstock stage add --force replaces it",
                stage=new.name,
            )
        entry = _entry(new, known or {})
        stage = parse_stage(path, new.name, entry, "" if home == "." else home)
        nodes: list[Stage | PointerStep] = [stage, *list_pointer_steps(repo)]
        nodes += [one for one in load_all_stages(repo) if one.address.partition("@")[0] != stage.address]
        plan(nodes, [])
        if known is None:
            document["stages"][new.name] = entry
        else:
            update_document(known, entry)
        save_text(path, dump_document(document))
        note_definition(repo, path)
        places = [repo.root / stage.place(one.path) for one in new.outputs if one.is_cached]
        ignored = [ignore_path(repo, place) for place in places if place.parent.is_dir()]
    stage_in_git(repo, [path, *(one for one in ignored if one is not None)])
    return path


def is_stage(repo: DataRepository, target: str, base: Path) -> bool:
    """Say whether a target names a stage, or a group of stages, as its `dvc.yaml` has it."""
    path, name = find_definition(repo, target, base)
    if not name or not path.is_file():
        return False
    return name in (load_document(path.read_text(encoding="utf-8"), str(path)).get("stages") or {})


def remove_stage(repo: DataRepository, target: str, base: Path, *, with_data: bool = False) -> list[Path]:
    """Take a stage out of `dvc.yaml`, `dvc.lock` and `.gitignore`; return the files that changed.

    The outputs stay unless `with_data`. A file without stages goes.

    Raises:
        NotFound: there is no such stage.
        Invalid: an output leads out of the repository; nothing was changed.
    """
    with repository_lock(repo):
        path, name = find_definition(repo, target, base)
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        document = load_document(text, str(path))
        entries = document.get("stages") or {}
        if name not in entries:
            raise no_stage(target, entries)
        home = path.parent.relative_to(repo.root).as_posix()
        stages = load_stages(repo.root, "" if home == "." else home)
        leaving = [one for one in stages if one.name == name or one.name.startswith(f"{name}@")]
        for stage in leaving:
            for place in stage.makes:
                check_parents(repo, repo.root / place)
        changed = [path]
        for stage in leaving:
            changed += _release(repo, stage, with_data=with_data)
        del entries[name]
        if entries:
            save_text(path, dump_document(document))
        else:
            path.unlink()
        lock = drop_entries(path.parent, name)
        changed += [lock] if lock is not None else []
    changed = list(dict.fromkeys(changed))
    stage_in_git(repo, [one for one in changed if one.exists()])
    return changed


def _release(repo: DataRepository, stage: Stage, *, with_data: bool) -> Iterator[Path]:
    for output in stage.outputs:
        place = repo.root / stage.place(output.path)
        ignored = unignore_path(repo, place) if output.is_cached and place.parent.is_dir() else None
        if ignored is not None:
            yield ignored
        if not os.path.lexists(place):
            continue
        if with_data:
            keep_unsaved(repo, place)
            remove_path(place)
        else:
            unprotect(repo, place)


def _check(repo: DataRepository, new: NewStage, base: Path) -> None:
    if not new.name or BAD_SIGNS & set(new.name):
        raise _refuse(new.name, "is no name for a stage: letters, digits, `_` and `-` are")
    if not new.command.strip():
        raise _refuse(new.name, "has no command")
    folder = Path(os.path.normpath(base / new.wdir))
    if not folder.is_dir() or not folder.is_relative_to(repo.root):
        raise _refuse(new.name, f"its working directory {new.wdir} is no directory of the repository")
    paths = [*new.dependencies, *(one.path for one in new.outputs), *_files(new.parameters)]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise _refuse(new.name, f"{twice} is given twice")


def _refuse(name: str, problem: str) -> Invalid:
    return Invalid(
        f"stage `{name}` {problem}",
        code="pipeline.bad_stage",
        hint="penstock stage add --help",
        stage=name,
    )


def _entry(new: NewStage, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stage as DVC writes it: keys in its order, paths sorted, empty keys left out."""
    flags = {
        path: dict(told or {})
        for kind in KINDS.values()
        for item in known.get(kind, ())
        if isinstance(item, Mapping)
        for path, told in item.items()
    }
    outputs: dict[str, list[Any]] = {kind: [] for kind in KINDS.values()}
    for output in sorted(new.outputs, key=lambda one: one.path):
        outputs[KINDS[output.kind]].append(_output(output, flags.get(output.path, {})))
    entry = {
        "desc": new.description or known.get("desc"),
        "cmd": new.command,
        "wdir": None if os.path.normpath(new.wdir) == "." else os.path.normpath(new.wdir),
        "deps": sorted(new.dependencies),
        "params": _parameters(new.parameters),
        **outputs,
        "always_changed": new.is_always_changed,
        "meta": known.get("meta"),
    }
    return {key: value for key, value in entry.items() if value}


def _output(output: StageOutput, known: Mapping[str, Any]) -> Any:
    flags: dict[str, Any] = {key: known[key] for key in KEPT_FLAGS if known.get(key)}
    if not output.is_cached:
        flags["cache"] = False
    if output.is_persistent:
        flags["persist"] = True
    if known.get("remote"):
        flags["remote"] = known["remote"]
    if known.get("push") is False:
        flags["push"] = False
    return {output.path: flags} if flags else output.path


def _files(parameters: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the keys by file; none mean the whole file."""
    found: dict[str, list[str]] = {}
    for text in parameters:
        file, _, keys = text.rpartition(":")
        found.setdefault(file or DEFAULT_PARAMETER_FILE, []).extend(key for key in keys.split(",") if key)
    return found


def _parameters(parameters: tuple[str, ...]) -> list[Any]:
    found = _files(parameters)
    first = sorted(found.get(DEFAULT_PARAMETER_FILE, []))
    rest = [
        {file: sorted(keys) or None}
        for file, keys in sorted(found.items())
        if not (file == DEFAULT_PARAMETER_FILE and keys)
    ]
    return [*first, *rest]
