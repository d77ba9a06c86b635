"""Data that changed where they come from: what sources hold now, in a word, and imports brought up to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from penstock.base.digest import digest_value
from penstock.base.errors import Invalid, NotFound, Refused
from penstock.data.pointers.metafiles import SUFFIX
from penstock.data.pointers.origins import origin_base
from penstock.data.pointers.pointer import Pointer, load_pointer
from penstock.flows.sources.imports import ImportOptions, update_import
from penstock.flows.sources.repositories import current_commit
from penstock.flows.sources.urls import is_remote, open_remote
from penstock.project.project import Project


def state_of(project: Project, name: str) -> str:
    """Return a digest that changes when what `name` of `ci.on.data` comes from does; contents are not read.

    Raises:
        NotFound: nothing is there.
        Invalid: it is data of this repository that come from nowhere else.
        PenstockError: the source cannot be asked.
    """
    if is_remote(name):
        return _state_of_url(project, name)
    pointer = _import_of(project, name)
    if pointer is None:
        path = Path(os.path.normpath(project.root / name))
        if path.is_relative_to(project.root):
            raise Invalid(
                f"{name} of `ci.on.data` is no import, so it changes by a push alone, which CI sees anyway",
                code="ci.not_an_import",
                hint="name what penstock import-url brought, or a URL or path outside of the repository",
                path=name,
            )
        return _state_of_path(path)
    dependency = pointer.dependencies[0]
    if "repo" in dependency:
        origin = dependency["repo"]
        base = origin_base(project.root, pointer.path.parent, origin)
        return digest_value(["git", current_commit(origin["url"], origin.get("rev"), base)])
    if is_remote(dependency["path"]):
        return _state_of_url(project, str(dependency["path"]))
    return _state_of_path(Path(os.path.normpath(pointer.path.parent / pointer.wdir / dependency["path"])))


def take_new_data(tree: Project) -> str:
    """Bring the imports that `ci.on.data` names to what their sources hold now, and say which changed.

    Raises:
        Refused: an import's source is a path relative to the user's own tree.
        PenstockError: as `update_import`.
    """
    changed = []
    for name in tree.settings.ci.on.sources:
        pointer = None if is_remote(name) else _import_of(tree, name)
        if pointer is None:
            continue
        dependency = pointer.dependencies[0]
        source = str(dependency["path"])
        here = Path(os.path.normpath(pointer.path.parent / pointer.wdir / source))
        leads_out = not os.path.isabs(source) and not here.is_relative_to(tree.root)
        if "repo" not in dependency and not is_remote(source) and leads_out:
            raise Refused(
                f"{name} comes from {source}, a path that another tree does not know",
                code="ci.relative_source",
                hint="import it by its whole path, or by a URL",
                path=name,
            )
        if update_import(tree.data, pointer.path, ImportOptions()):
            changed.append(name)
    return f"{', '.join(changed)} changed at its source" if changed else "no import changed at its source"


def _import_of(project: Project, name: str) -> Pointer | None:
    path = project.root / (name if name.endswith(SUFFIX) else f"{name}{SUFFIX}")
    if not path.is_file():
        return None
    pointer = load_pointer(project.data, path)
    return pointer if pointer.dependencies else None


def _state_of_url(project: Project, url: str) -> str:
    with open_remote(project.data, url) as source:
        files = source.files.items()
        return digest_value(
            [[key, one.size_bytes, one.etag or f"{one.modified_s:.3f}"] for key, one in sorted(files)]
        )


def _state_of_path(path: Path) -> str:
    if not path.exists():
        raise NotFound(f"{path} of `ci.on.data` is not there", code="ci.no_source", path=str(path))
    return digest_value([[name, size, time] for name, size, time in _files(path)])


def _files(path: Path) -> Iterator[tuple[str, int, int]]:
    members = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    for member in members:
        status = member.stat()
        yield member.relative_to(path).as_posix(), status.st_size, status.st_mtime_ns
