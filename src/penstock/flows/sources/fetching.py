"""The content of imports, brought into the cache from where they were imported."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from penstock.base.errors import Conflict, NotFound, PenstockError
from penstock.base.files import remove_path
from penstock.base.staging import staging_name
from penstock.data.cache.hashing import hash_path, save_path
from penstock.data.formats.output import HashInfo
from penstock.data.formats.yamltext import dump_document, load_document
from penstock.data.pointers.origins import origin_base
from penstock.data.pointers.pointer import Pointer, save_text
from penstock.data.pointers.rendering import hash_entry, pointer_md5
from penstock.data.repository import DataRepository
from penstock.flows.sources.getting import copy_path, get_path
from penstock.flows.sources.imports import renew, told_of
from penstock.flows.sources.overrides import Overrides
from penstock.flows.sources.repositories import open_source
from penstock.flows.sources.urls import NOTE_KEYS, download_url, is_remote, open_remote


def fetch_import(repo: DataRepository, pointer: Pointer) -> HashInfo | None:
    """Bring an import's missing objects into the cache, and note in its pointer what `--no-download` left where it was.

    Returns what came, or None where a URL was never looked at (`--no-exec`): `update` does that.

    Raises:
        Conflict, NotFound, Unavailable: as `fetch_content`.
    """
    if "repo" in pointer.dependencies[0]:
        return fetch_content(repo, pointer)
    if not is_noted(pointer):
        return None
    info = fetch_content(repo, pointer)
    document = load_document(pointer.text, str(pointer.path))
    renew(document["outs"][0], hash_entry(info))
    document["md5"] = pointer_md5(document)
    save_text(pointer.path, dump_document(document))
    return info


def fetch_content(repo: DataRepository, pointer: Pointer) -> HashInfo:
    """Bring what an import's source holds into the cache, at the locked commit; where none is, at its revision or HEAD.

    The pointer stays as it is.

    Raises:
        Conflict: a URL's source has changed since the pointer noted what it holds.
        NotFound: the source is not there.
        Unavailable: it does not answer.
    """
    staging = repo.dvc_dir / "tmp" / "penstock"
    staging.mkdir(parents=True, exist_ok=True)
    target = staging / staging_name()
    try:
        if "repo" in pointer.dependencies[0]:
            _get_from_repository(repo, pointer, target)
        else:
            with _named(repo, pointer):
                _get_from_url(repo, pointer, target)
        return save_path(repo, target)
    finally:
        remove_path(target)


def is_noted(pointer: Pointer) -> bool:
    """Whether the pointer of an import from a URL tells one state of its source from another."""
    return any(key in pointer.dependencies[0] for key in NOTE_KEYS)


def local_source(pointer: Pointer) -> Path | None:
    """Return where an import from a URL comes from on this machine, if it does."""
    source = str(pointer.dependencies[0]["path"])
    if is_remote(source):
        return None
    return Path(os.path.normpath(pointer.path.parent / pointer.wdir / source))


def _get_from_repository(repo: DataRepository, pointer: Pointer, target: Path) -> None:
    origin, path = pointer.dependencies[0]["repo"], pointer.dependencies[0]["path"]
    with (
        told_of(repo, pointer),
        open_source(
            origin["url"],
            origin.get("rev_lock") or origin.get("rev") or "HEAD",
            base=origin_base(repo.root, pointer.path.parent, origin),
            overrides=Overrides.of(origin),
        ) as source,
    ):
        get_path(source, str(path), target)


def _get_from_url(repo: DataRepository, pointer: Pointer, target: Path) -> None:
    dependency = pointer.dependencies[0]
    path = local_source(pointer)
    if path is None:
        settings = {str(key): str(value) for key, value in (dependency.get("fs_config") or {}).items()}
        with open_remote(repo, dependency["path"], settings) as source:
            found: Mapping[str, Any] = source.describe()
            download_url(source, target)
    elif path.exists():
        found = hash_entry(hash_path(repo, path))
        copy_path(path, target)
    else:
        raise NotFound(f"{dependency['path']} does not exist", code="data.path_missing", path=str(path))
    if is_noted(pointer) and any(dependency.get(key) != found.get(key) for key in NOTE_KEYS):
        raise Conflict(
            f"{dependency['path']} has changed since it was imported",
            code="data.source_changed",
            hint=f"penstock update {shlex.quote(repo.relative(pointer.path))}",
        )


@contextmanager
def _named(repo: DataRepository, pointer: Pointer) -> Iterator[None]:
    """Name the import that cannot be had."""
    try:
        yield
    except PenstockError as error:
        error.message = f"{repo.relative(pointer.path)}: {error.message}"
        error.args = (error.message,)
        raise
