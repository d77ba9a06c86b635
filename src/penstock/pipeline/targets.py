"""The steps that words on a command line mean.

Source: dvc/repo/stage.py, `StageLoad.collect` (3.67). Differs in that an output's path names the step that makes it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from penstock.base.errors import NotFound
from penstock.data.pointers.metafiles import DEFINITION_FILE, SUFFIX
from penstock.pipeline.graph import N


@dataclass(frozen=True)
class Selection:
    """Which steps are meant: `targets`, relative to `base` (a directory relative to the root).

    Without targets it is the `dvc.yaml` of `base`. With `recursive` a directory stands for the steps of all files
    below it, with `use_glob` a name is a pattern.
    """

    targets: tuple[str, ...] = ()
    base: str = ""
    recursive: bool = False
    use_glob: bool = False


def choose(root: Path, nodes: Sequence[N], selection: Selection) -> list[N]:
    """Return the steps that are meant, in the order of the targets.

    Raises:
        NotFound: a target names no step.
    """
    found: dict[str, N] = {}
    for target in selection.targets or (DEFINITION_FILE,):
        found.update((node.address, node) for node in _meant(root, nodes, target, selection))
    return list(found.values())


def split_target(target: str, base: str = "") -> tuple[str, str]:
    """Return the file (relative to the root) and the stage's name a target means; no name means the whole file.

    Example:
        >>> split_target("../dvc.yaml:train", "sub"), split_target("train", "sub"), split_target("x.dvc")
        (('dvc.yaml', 'train'), ('sub/dvc.yaml', 'train'), ('x.dvc', ''))
    """
    file, _, name = target.rpartition(":")
    if not file and name.endswith((DEFINITION_FILE, SUFFIX)):
        file, name = name, ""
    return posixpath.normpath(posixpath.join(base, file or DEFINITION_FILE)), name


def _meant(root: Path, nodes: Sequence[N], target: str, selection: Selection) -> list[N]:
    place = posixpath.normpath(posixpath.join(selection.base, target))
    if selection.recursive and (root / place).is_dir():
        return [node for node in nodes if place == "." or node.file.startswith(f"{place}/")]
    file, name = split_target(target, selection.base)
    inside = [node for node in nodes if node.file == file]
    found = [node for node in inside if _is_named(node.name, name, selection.use_glob)]
    found = found or [node for node in nodes if place in node.makes]
    if found:
        return found
    if not inside and not (root / file).is_file() and (not name or ":" in target):
        raise NotFound(
            f"there is no {file}",
            code="pipeline.no_definition",
            hint="penstock stage add writes a stage; penstock repro -P takes every dvc.yaml below",
            path=file,
        )
    if not name or selection.use_glob:
        return []
    raise no_stage(target, (node.name for node in inside))


def no_stage(target: str, names: Iterable[str]) -> NotFound:
    """Return the error for a name that no stage has."""
    return NotFound(
        f"no stage or output is called {target!r}",
        code="pipeline.no_stage",
        hint=f"stages: {', '.join(names) or 'none'}",
        target=target,
    )


def _is_named(name: str, wanted: str, use_glob: bool) -> bool:
    if not wanted or name == wanted or name.startswith(f"{wanted}@"):
        return True
    return use_glob and fnmatchcase(name, wanted)
