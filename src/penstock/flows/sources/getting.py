"""Copy data of a source to a path: everything is built beside the target and appears in one step.

Objects come from the source's cache, else from its remote, and are checked against their names.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from penstock.base.errors import Corrupt, Unavailable
from penstock.base.numbers import counted
from penstock.base.replacing import appearing
from penstock.data.cache.hashing import digest_md5
from penstock.data.cache.legacy import is_legacy_content
from penstock.data.cache.legacy_transfer import fetch_legacy
from penstock.data.cache.transfer import Transfer, fetch_objects
from penstock.data.formats.output import HashInfo, Output
from penstock.data.formats.tree import check_placeable
from penstock.data.objects import ObjectStore
from penstock.flows.sources.listing import build_tree
from penstock.flows.sources.repositories import (
    Source,
    copy_checked,
    find_output,
    not_in_source,
    object_key,
    source_path,
)


def get_path(source: Source, path: str, target: Path, *, force: bool = False, jobs: int = 0) -> None:
    """Copy a file or directory of a source to `target`, which appears in one step.

    Raises:
        NotFound: the source has no such path, or its data are nowhere.
        Conflict: something is at the target, and `force` was not given.
    """
    with appearing(target, force=force) as temporary:
        store = ObjectStore(target.parent / f".{os.urandom(11).hex()}.objects")
        try:
            _materialise(source, path, temporary, store, jobs)
        finally:
            shutil.rmtree(store.root, ignore_errors=True)


def _materialise(source: Source, path: str, target: Path, store: ObjectStore, jobs: int) -> None:
    source, path = source.enter(path)
    place = source_path(source, path)
    output = find_output(source, place)
    if output is None and not place.exists():
        below = [out for out in source.outputs() if out.path.is_relative_to(place)]
        if not below:
            raise not_in_source(source, path)
    if output is not None and output.hash is not None:
        within = place.relative_to(output.path).as_posix()
        objects = _output_objects(source, output, within, target)
        if not objects and within != ".":
            raise not_in_source(source, path)
    elif place.is_dir() or not place.exists():
        objects = _mixed_objects(source, place, target)
    else:
        copy_checked(place, source.repo.root, target)
        return
    place_objects(source, objects, store, jobs)
    if output is not None and output.hash is not None and output.hash.isexec:
        target.chmod(target.stat().st_mode | 0o100)


def _output_objects(source: Source, output: Output, within: str, target: Path) -> dict[Path, HashInfo]:
    """Return the object of each file that a tracked path, or a part of it, becomes at `target`."""
    info = output.hash
    if info is None:
        return {}
    if output.files is not None:  # cloud-versioned: the pointer holds the list
        tree = {name: entry.md5 for name, entry in output.files}
    elif info.is_tree:
        tree = source.load_tree(info)
    else:
        return {target: info}
    check_placeable(tree, source.url)
    if within in tree:
        return {target: HashInfo(tree[within], algorithm=info.algorithm)}
    head = "" if within == "." else f"{within}/"
    found = {
        target / name.removeprefix(head): HashInfo(md5, algorithm=info.algorithm)
        for name, md5 in tree.items()
        if name.startswith(head)
    }
    if found or not head:
        target.mkdir()
    return found


def _mixed_objects(source: Source, place: Path, target: Path) -> dict[Path, HashInfo]:
    """Copy git's files of a directory (no metafiles) to `target`; return the objects of its tracked ones."""
    target.mkdir()
    objects: dict[Path, HashInfo] = {}
    base = source.repo.relative(place)
    head = "" if base == "." else f"{base}/"
    for name, item in build_tree(source, place, dvc_only=False, deep=True).items():
        if not name.startswith(head) or item.is_dir:
            continue
        rest = name.removeprefix(head)
        if item.is_output and item.md5:
            check_placeable([rest], source.url)
            objects[target / rest] = HashInfo(item.md5, algorithm=item.algorithm)
        elif not rest.endswith((".dvc", "dvc.yaml", "dvc.lock")):
            copy_checked(place / rest, source.repo.root, target / rest)
    return objects


def place_objects(source: Source, objects: Mapping[Path, HashInfo], store: ObjectStore, jobs: int) -> None:
    """Copy objects of a source's cache to paths; what it lacks is fetched from the source's remote into `store`.

    Raises:
        Unavailable: an object is in neither.
        Corrupt: one is not what its name says.
    """
    cache = source.repo.cache
    absent = {info for info in objects.values() if cache.find(info) is None}
    if absent:
        done = Transfer()
        remote = source.repo.remote()
        try:
            into = replace(source.repo, cache=store)
            new = [info for info in absent if info.algorithm == "md5"]
            done.add(fetch_objects(into, new, remote, jobs=jobs))
            done.add(fetch_legacy(into, absent.difference(new), remote))
        finally:
            remote.close()
        if done.failed:
            md5, why = next(iter(done.failed.items()))
            raise Unavailable(
                f"{counted(len(done.failed), 'object')} of {source.url} could not be had: {why}",
                code="data.incomplete",
                hint=f"penstock push in {shlex.quote(source.url)}",
                first=md5,
            )
    for target, info in objects.items():
        origin = store.find(info) if info in absent else cache.find(info)
        target.parent.mkdir(parents=True, exist_ok=True)
        if origin is not None:
            shutil.copyfile(origin, target)
        if origin is None or not is_content(target, info):
            raise Corrupt(
                f"object {info.md5} of {source.url} is damaged",
                code="data.object_corrupt",
                hint="penstock verify there",
            )


def is_content(path: Path, info: HashInfo) -> bool:
    """Say whether a file holds what a digest names."""
    if info.algorithm != "md5":
        return is_legacy_content(str(path), info.md5)
    return digest_md5(str(path)) == info.md5


def storage_url(source: Source, path: str) -> str:
    """Return where the object of a tracked path is stored on the source's remote.

    Raises:
        NotFound: the path is not tracked, or the source has no remote.
    """
    source, path = source.enter(path)
    place = source_path(source, path)
    output = find_output(source, place)
    if output is None or output.hash is None:
        raise not_in_source(source, path)
    info, within = output.hash, place.relative_to(output.path).as_posix()
    if within != ".":
        inner = source.load_tree(info) if info.is_tree else {}
        if within not in inner:
            raise not_in_source(source, path)
        info = HashInfo(inner[within], algorithm=info.algorithm)
    url, _ = source.repo.remote_settings(output.remote)
    return f"{url.rstrip('/')}/{object_key(info)}"


def copy_path(path: Path, target: Path, *, force: bool = False) -> None:
    """Copy a local file or directory to `target`, which appears in one step.

    Raises:
        Conflict: something is at the target, and `force` was not given.
    """
    with appearing(target, force=force) as temporary:
        if path.is_dir():
            shutil.copytree(path, temporary, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(path, temporary)
