"""Which outputs a command is about, and what changed in them.

What pointers track and what pipelines make are chosen from together. A target is a pointer file, a tracked path, a
path below a tracked directory, or a stage name; one target is found without reading the other pointers.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.base.errors import NotFound
from penstock.data.formats.output import Output, Within
from penstock.data.pointers.metafiles import DEFINITION_FILE, SUFFIX, definitions_above, find_definitions
from penstock.data.pointers.pointer import Pointer, find_owner, list_pointers, load_pointer
from penstock.data.repository import DataRepository
from penstock.data.verbs.status import output_state


@dataclass(frozen=True)
class Chosen:
    """One selected output; `within` limits it to a path (or a set of files) below it, `pointer` declares it."""

    output: Output
    within: Within = ""
    pointer: Pointer | None = None

    @property
    def comes_from_source(self) -> bool:
        """Whether no remote has it: data from a URL are an import until they were downloaded once."""
        if self.pointer is None:
            return False
        return self.output.is_import or (self.output.hash is None and bool(self.pointer.dependencies))


Targets = Sequence[str | Path | Chosen]


def made_outputs(repo: DataRepository, above: Sequence[Path] | None = None) -> list[Output]:
    """Return the outputs of the repository's pipelines; with `above`, of those in directories around these paths.

    Raises:
        Invalid: a dvc.yaml or dvc.lock cannot be read.
    """
    definitions = find_definitions(repo) if above is None else definitions_above(repo, above)
    if not definitions:
        return []  # reading pipelines takes more to load than all of a small command
    from penstock.pipeline.outputs import list_outputs

    return list_outputs(repo, definitions)


def select(
    repo: DataRepository,
    targets: Targets = (),
    *,
    base: Path | None = None,
    recursive: bool = False,
    pointers_only: bool = False,
) -> list[Chosen]:
    """Resolve targets to outputs; no targets means all. Relative targets start at `base` (the root).

    What is chosen already stays as it is. With `recursive`, a directory with nothing tracked below is no error;
    with `pointers_only`, what pipelines make is not looked at.

    Raises:
        NotFound: a target is not tracked.
    """
    if not targets:
        chosen = [Chosen(out, "", pointer) for pointer in list_pointers(repo) for out in pointer.outputs]
        return chosen if pointers_only else chosen + [Chosen(output) for output in made_outputs(repo)]
    found: dict[tuple[str, Path, Within], Chosen] = {}
    for target in targets:
        resolved = (
            [target]
            if isinstance(target, Chosen)
            else _resolve(
                repo, str(target), base or repo.root, recursive=recursive, pointers_only=pointers_only
            )
        )
        for one in resolved:
            found.setdefault((one.output.source, one.output.path, one.within), one)
    return list(found.values())


def _resolve(
    repo: DataRepository, target: str, base: Path, *, recursive: bool, pointers_only: bool
) -> list[Chosen]:
    path = Path(os.path.normpath(base / target))
    if path.name.endswith(SUFFIX) and path.name != SUFFIX:
        pointer = load_pointer(repo, path)
        return [Chosen(output, "", pointer) for output in pointer.outputs]
    if path.is_relative_to(repo.root) and path != repo.root:
        owner = find_owner(repo, path)
        if owner is not None:
            return [
                _within(output, path, owner) for output in owner.outputs if path.is_relative_to(output.path)
            ]
    outputs = [] if pointers_only else made_outputs(repo)
    by_stage = [Chosen(out) for out in outputs if _is_of_stage(repo, out.source, target, base)]
    if by_stage:
        return by_stage
    owners = [_within(output, path, None) for output in outputs if path.is_relative_to(output.path)]
    if owners:
        return owners
    if path.is_dir():
        below = [
            one for one in select(repo, pointers_only=pointers_only) if one.output.path.is_relative_to(path)
        ]
        if below or recursive:
            return below
    for pointer in list_pointers(repo):
        for output in pointer.outputs:
            if path.is_relative_to(output.path):
                return [_within(output, path, pointer)]
    raise NotFound(
        f"{target} is not tracked",
        code="data.not_tracked",
        hint=f"penstock add {shlex.quote(target)}",
        target=target,
    )


def _is_of_stage(repo: DataRepository, source: str, target: str, base: Path) -> bool:
    """Say whether `FILE:STAGE` is what a target means: it, its whole file, or a group of stages it is one of."""
    file, _, name = target.rpartition(":")
    if not file and name.endswith(DEFINITION_FILE):
        file, name = name, ""
    places = {os.path.relpath(os.path.normpath(base / (file or DEFINITION_FILE)), repo.root)}
    if not file:
        places.add(DEFINITION_FILE)
    its_file, _, its_name = source.rpartition(":")
    return its_file in places and (not name or its_name == name or its_name.startswith(f"{name}@"))


def _within(output: Output, path: Path, pointer: Pointer | None) -> Chosen:
    relative = path.relative_to(output.path).as_posix()
    return Chosen(output, "" if relative == "." else relative, pointer)


def status(
    repo: DataRepository,
    targets: Targets = (),
    *,
    base: Path | None = None,
    extra: Mapping[str, list[Any]] | None = None,
    find_behind: Callable[[Sequence[Pointer]], Mapping[Path, str]] | None = None,
) -> dict[str, list[Any]]:
    """Return what changed in the shape of `dvc status --json`: by pointer, `changed deps` and `changed outs`.

    `extra` is the pipeline's own answer in the same shape; it comes first. `find_behind` tells which imports'
    sources moved on.
    """
    base = base or repo.root
    result: dict[str, list[Any]] = dict(extra or {})
    chosen = select(repo, targets, base=base, pointers_only=True)
    imports = {one.pointer.path: one.pointer for one in chosen if one.pointer and one.pointer.dependencies}
    behind = find_behind(list(imports.values())) if find_behind is not None and imports else {}
    for path, source in behind.items():
        result[os.path.relpath(path, base)] = [{"changed deps": {source: "update available"}}]
    for one in chosen:
        if one.pointer is None:
            continue
        state = output_state(repo, one.output)
        if state == "unchanged":
            continue
        address = os.path.relpath(one.pointer.path, base)
        entries = result.setdefault(address, [])
        if not entries or "changed outs" not in entries[-1]:
            entries.append({"changed outs": {}})
        entries[-1]["changed outs"][os.path.relpath(one.output.path, base)] = state
    return result
