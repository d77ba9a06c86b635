"""Copy data of a source to a path: everything is built beside the target and appears in one step.

Objects come from the source's cache, else from its remote, and are checked against their names.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from penstock.base.errors import Conflict, Corrupt, Unavailable
from penstock.data.hashing import digest_md5
from penstock.data.objects import ObjectStore
from penstock.data.output import HashInfo
from penstock.data.transfer import fetch_objects, remote_key
from penstock.data.tree import check_placeable
from penstock.flows.import_listing import list_items
from penstock.flows.import_source import Source, copy_checked, find_output, not_in_source, source_path


def get_path(source: Source, path: str, target: Path, *, force: bool = False, jobs: int = 0) -> None:
    """Copy a file or directory of a source to `target`, which appears in one step.

    Raises:
        NotFound: the source has no such path, or its data are nowhere.
        Conflict: something is at the target, and `force` was not given.
    """
    if os.path.lexists(target) and not force:
        raise Conflict(f"{target} exists already", code="data.exists", hint="--force replaces it")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{os.urandom(11).hex()}.tmp"
    store = ObjectStore(target.parent / f".{os.urandom(11).hex()}.objects")
    try:
        _materialise(source, path, temporary, store, jobs)
        if os.path.lexists(target):
            delete(target)
        temporary.rename(target)
    finally:
        delete(temporary)
        shutil.rmtree(store.root, ignore_errors=True)


def _materialise(source: Source, path: str, target: Path, store: ObjectStore, jobs: int) -> None:
    place = source_path(source, path)
    output = find_output(source, place)
    if output is None and not place.exists():
        below = [out for out in source.outputs() if out.path.is_relative_to(place)]
        if not below:
            raise not_in_source(source, path)
    if output is not None and output.hash is not None:
        within = place.relative_to(output.path).as_posix()
        objects = _output_objects(source, output.hash, within, target)
        if not objects and within != ".":
            raise not_in_source(source, path)
    elif place.is_dir() or not place.exists():
        objects = _mixed_objects(source, path, target)
    else:
        copy_checked(place, source.repo.root, target)
        return
    _place_objects(source, objects, store, jobs)
    if output is not None and output.hash is not None and output.hash.isexec:
        target.chmod(target.stat().st_mode | 0o100)


def _output_objects(source: Source, info: HashInfo, within: str, target: Path) -> dict[Path, str]:
    """Return the object of each file that a tracked path, or a part of it, becomes at `target`."""
    if not info.is_tree:
        return {target: info.md5}
    tree = source.load_tree(info)
    check_placeable(tree, source.url)
    if within in tree:
        return {target: tree[within]}
    head = "" if within == "." else f"{within}/"
    found = {target / name.removeprefix(head): md5 for name, md5 in tree.items() if name.startswith(head)}
    if found or not head:
        target.mkdir()
    return found


def _mixed_objects(source: Source, path: str, target: Path) -> dict[Path, str]:
    """Copy git's files of a directory (no metafiles) to `target`; return the objects of its tracked ones."""
    target.mkdir()
    place = source_path(source, path)
    objects: dict[Path, str] = {}
    for entry in list_items(source, path, recursive=True):
        if entry["isout"] and entry["md5"]:
            objects[target / entry["path"]] = entry["md5"]
        elif not entry["isdir"] and not str(entry["path"]).endswith((".dvc", "dvc.yaml", "dvc.lock")):
            copy_checked(place / entry["path"], source.repo.root, target / entry["path"])
    return objects


def _place_objects(source: Source, objects: Mapping[Path, str], store: ObjectStore, jobs: int) -> None:
    absent = source.repo.cache.missing(set(objects.values()))
    if absent:
        remote = source.repo.remote()
        try:
            into = replace(source.repo, cache=store)
            done = fetch_objects(into, [HashInfo(md5) for md5 in absent], remote, jobs=jobs)
        finally:
            remote.close()
        if done.failed:
            md5, why = next(iter(done.failed.items()))
            raise Unavailable(
                f"{len(done.failed)} objects of {source.url} could not be had: {why}",
                code="data.incomplete",
                hint=f"penstock push in {source.url}",
                first=md5,
            )
    for target, md5 in objects.items():
        origin = (store if md5 in absent else source.repo.cache).path(md5)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(origin, target)
        if digest_md5(str(target)) != md5:
            raise Corrupt(
                f"object {md5} of {source.url} is damaged",
                code="data.object_corrupt",
                hint="penstock verify there",
            )


def storage_url(source: Source, path: str) -> str:
    """Return where the object of a tracked path is stored on the source's remote.

    Raises:
        NotFound: the path is not tracked, or the source has no remote.
    """
    place = source_path(source, path)
    output = find_output(source, place)
    if output is None or output.hash is None:
        raise not_in_source(source, path)
    md5, within = output.hash.md5, place.relative_to(output.path).as_posix()
    if within != ".":
        inner = source.load_tree(output.hash) if output.hash.is_tree else {}
        if within not in inner:
            raise not_in_source(source, path)
        md5 = inner[within]
    url, _ = source.repo.remote_settings(output.remote)
    return f"{url.rstrip('/')}/{remote_key(md5)}"


def delete(path: Path) -> None:
    """Remove whatever is at a path, if anything."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError):
            path.unlink()


def copy_path(path: Path, target: Path, *, force: bool = False) -> None:
    """Copy a local file or directory to `target`, which appears in one step.

    Raises:
        Conflict: something is at the target, and `force` was not given.
    """
    if os.path.lexists(target) and not force:
        raise Conflict(f"{target} exists already", code="data.exists", hint="--force replaces it")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{os.urandom(11).hex()}.tmp"
    try:
        if path.is_dir():
            shutil.copytree(path, temporary, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(path, temporary)
        delete(target)
        temporary.rename(target)
    finally:
        delete(temporary)
