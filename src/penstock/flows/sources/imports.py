"""Data from elsewhere: `get`, `import`, `import-url` and `update`.

Source: dvc/repo/get.py, imp_url.py, update.py, dvc/dependency/repo.py (3.67).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.data.cache.hashing import hash_path, save_path
from penstock.data.formats.yamltext import dump_document, load_document
from penstock.data.git.ignored import check_seen_by_git, ignore_path
from penstock.data.lock import repository_lock
from penstock.data.pointers.metafiles import SUFFIX
from penstock.data.pointers.origins import origin_base, seen_from_root
from penstock.data.pointers.pointer import (
    Pointer,
    check_inside,
    find_owner,
    load_pointer,
    pointer_path,
    save_text,
)
from penstock.data.pointers.rendering import hash_entry, pointer_md5
from penstock.data.repository import DataRepository
from penstock.data.rwlock import check_writable
from penstock.data.verbs.checkout import check_parents
from penstock.data.verbs.keeping import keep_unsaved
from penstock.flows.sources.getting import copy_path, get_path
from penstock.flows.sources.overrides import NO_OVERRIDES, Overrides
from penstock.flows.sources.repositories import current_commit, open_source
from penstock.flows.sources.to_remote import send_to_remote
from penstock.flows.sources.urls import NOTE_KEYS, download_url, is_remote, open_remote
from penstock.storage.resolve import without_password


@dataclass(frozen=True)
class ImportOptions:
    """`rev` of the source, whether to write only the pointer, and whether to replace what is at the target.

    `to_remote` sends the content to a remote (`remote`, or the default) instead of here. `fs_config` holds keys of
    a DVC remote for the URL; `overrides` goes over the configuration of the source repository.
    """

    rev: str | None = None
    no_exec: bool = False
    no_download: bool = False
    force: bool = False
    jobs: int = 0
    to_remote: bool = False
    remote: str | None = None
    fs_config: Mapping[str, str] = field(default_factory=dict)
    overrides: Overrides = NO_OVERRIDES


def import_path(
    repo: DataRepository, url: str, path: str, target: Path, options: ImportOptions, *, base: Path
) -> Path:
    """Bring a path of another repository here and track it with where it came from; return the pointer.

    Raises:
        NotFound: the source has no such path or revision.
        Conflict: something is at the target.
        Invalid: the URL has a password in it, which the pointer would tell; the path is a pointer itself.
    """
    if without_password(url) != url:
        raise Invalid(
            "the URL has a password in it, which the .dvc file would show to everybody",
            code="data.password_in_url",
            hint="leave it out, and let git ask a credential helper (git help credentials)",
        )
    stored_url = seen_from_root(repo.root, base, url)
    origin: dict[str, Any] = {"url": stored_url, **({"rev": options.rev} if options.rev else {})}
    kept = options.overrides.to_document()
    document: dict[str, Any] = {
        "frozen": True,
        "deps": [{"path": path, "repo": origin}],
        "outs": [{"hash": "md5", "path": target.name}],
    }
    with repository_lock(repo):
        _check_target(repo, target, options, document)
        if not options.no_exec:
            with open_source(
                url, options.rev, base=base, committed=True, overrides=options.overrides
            ) as source:
                origin["rev_lock"] = source.commit
                origin.update(kept)
                if not options.no_download:
                    get_path(source, path, target, force=options.force)
        else:
            origin.update(kept)
        return _track(repo, target, document, options)


def import_url(repo: DataRepository, url: str, target: Path, options: ImportOptions, *, base: Path) -> Path:
    """Bring a file or directory from elsewhere here and track it with where it came from; return the pointer.

    Raises:
        NotFound: nothing is there.
        Invalid: the URL has a password in it, which the pointer would tell.
    """
    url = url.removeprefix("file://")
    if options.to_remote:
        return _import_to_remote(repo, url, target, options, base)
    if is_remote(url):
        return _import_remote(repo, url, target, options)
    path = Path(os.path.normpath(base / url))
    if not path.exists():
        raise NotFound(f"{url} does not exist", code="data.path_missing", path=url)
    shown = os.path.relpath(path, target.parent) if path.is_relative_to(repo.root) else url
    dependency: dict[str, Any] = {"path": shown}
    document = {"frozen": True, "deps": [dependency], "outs": [{"hash": "md5", "path": target.name}]}
    with repository_lock(repo):
        _check_target(repo, target, options, document)
        if not options.no_exec:
            document["deps"] = [{**hash_entry(hash_path(repo, path)), "hash": "md5", "path": shown}]
            if not options.no_download:
                copy_path(path, target, force=options.force)
        else:
            document["deps"] = [{"hash": "md5", **dependency}]
        return _track(repo, target, document, options)


def _import_to_remote(
    repo: DataRepository, url: str, target: Path, options: ImportOptions, base: Path
) -> Path:
    if options.no_exec or options.no_download:
        raise Invalid(
            "--to-remote goes with neither --no-exec nor --no-download", code="data.bad_option", hint=None
        )
    pointer = import_url(repo, url, target, replace(options, to_remote=False, no_download=True), base=base)
    info = send_to_remote(repo, url, base, remote=options.remote, jobs=options.jobs)
    with repository_lock(repo):
        document = load_document(pointer.read_text(encoding="utf-8"), str(pointer))
        document["outs"] = [{**hash_entry(info), "hash": "md5", "path": target.name}]
        document["md5"] = pointer_md5(document)
        save_text(pointer, dump_document(document))
    return pointer


def _import_remote(repo: DataRepository, url: str, target: Path, options: ImportOptions) -> Path:
    if without_password(url) != url:
        raise Invalid(
            "the URL has a password in it, which the .dvc file would show to everybody",
            code="data.password_in_url",
            hint="penstock remote add NAME URL, set its keys with --local, then import remote://NAME/PATH",
        )
    outputs = [{"hash": "md5", "path": target.name}]
    document: dict[str, Any] = {
        "frozen": True,
        "deps": [{"hash": "md5", "path": url}],
        "outs": outputs,
    }
    with repository_lock(repo):
        _check_target(repo, target, options, document)
        if not options.no_exec:
            with open_remote(repo, url, options.fs_config, jobs=options.jobs) as source:
                if options.no_download or source.note != "md5":
                    document["deps"] = [{**source.describe(), "hash": "md5", "path": url}]
                if not options.no_download:
                    download_url(source, target, force=options.force)
            if not options.no_download and source.note == "md5":
                document["deps"] = [{**hash_entry(save_path(repo, target)), "hash": "md5", "path": url}]
        if options.fs_config:
            document["deps"][0]["fs_config"] = dict(options.fs_config)
        return _track(repo, target, document, options)


def _check_target(
    repo: DataRepository, target: Path, options: ImportOptions, document: Mapping[str, Any]
) -> None:
    for name in (str(document["deps"][0]["path"]), target.name):
        if name.endswith(SUFFIX) or name.rpartition("/")[2] == "dvc.yaml":
            raise Invalid(
                f"{name} describes data: DVC reads no repository that imports such a file",
                code="data.is_pointer",
                hint="import the data that it names, or penstock get the file",
                path=name,
            )
    check_inside(repo, target, "import")
    check_writable(repo, [target])
    check_parents(repo, target)
    owner = find_owner(repo, target)
    if owner is not None and owner.outputs[0].path != target:
        raise Conflict(
            f"{repo.relative(target)} is inside {repo.relative(owner.outputs[0].path)}, which is tracked",
            code="data.overlap",
            hint="--out names another place",
        )
    if not os.path.lexists(pointer_path(target)):
        check_seen_by_git(repo, pointer_path(target))
    taken = target if os.path.lexists(target) else pointer_path(target)
    if os.path.lexists(taken) and not options.force:
        raise Conflict(
            f"{repo.relative(taken)} exists already", code="data.exists", hint="--force replaces it"
        )


def _track(repo: DataRepository, target: Path, document: dict[str, Any], options: ImportOptions) -> Path:
    if not options.no_exec and not options.no_download:
        info = save_path(repo, target)
        document["outs"] = [{**hash_entry(info), "hash": "md5", "path": target.name}]
    if not options.no_exec:
        document = {"md5": pointer_md5(document), **document}
    pointer = pointer_path(target)
    save_text(pointer, dump_document(document))
    ignore_path(repo, target)
    return pointer


def update_import(repo: DataRepository, pointer_file: Path, options: ImportOptions) -> bool:
    """Bring an import to what its source holds now (or at `rev`); say whether its pointer changed.

    Raises:
        Invalid: the pointer is not an import's.
    """
    with repository_lock(repo):
        pointer = load_pointer(repo, pointer_file)
        if not pointer.dependencies or len(pointer.outputs) != 1:
            raise Invalid(
                f"{repo.relative(pointer_file)} is not an import",
                code="data.not_an_import",
                hint="penstock add",
            )
        check_writable(repo, [output.path for output in pointer.outputs])
        document = load_document(pointer.text, str(pointer_file))
        if options.to_remote and "repo" in pointer.dependencies[0]:
            raise Invalid(
                "--to-remote goes with what import-url brought, not with imports from a repository",
                code="data.bad_option",
                hint="penstock update without it",
            )
        changed = (
            _update_git(repo, pointer, document, options)
            if "repo" in pointer.dependencies[0]
            else _update_url(repo, pointer, document, options)
        )
        if changed:
            found: Mapping[str, Any] = {}
            if options.to_remote:
                source = str(document["deps"][0]["path"])
                info = send_to_remote(
                    repo, source, pointer.path.parent, remote=options.remote, jobs=options.jobs
                )
                found = hash_entry(info)
            elif not options.no_download:
                found = hash_entry(save_path(repo, pointer.outputs[0].path))
            renew(document["outs"][0], found)
            document["md5"] = pointer_md5(document)
            save_text(pointer_file, dump_document(document))
    return changed


def renew(entry: Any, found: Mapping[str, Any]) -> None:
    """Replace what an entry of a pointer notes of content by what was found, before what else the entry says."""
    for key in (*NOTE_KEYS, "size", "nfiles", "isexec"):
        entry.pop(key, None)
    for at, (key, value) in enumerate(found.items()):
        entry.insert(at, key, value)


def _update_git(repo: DataRepository, pointer: Pointer, document: Any, options: ImportOptions) -> bool:
    dependency = document["deps"][0]
    origin = dependency["repo"]
    rev = options.rev or origin.get("rev")
    base = origin_base(repo.root, pointer.path.parent, origin)
    with told_of(repo, pointer):
        commit = current_commit(origin["url"], rev, base)
    overrides = Overrides.of(origin)
    if commit == origin.get("rev_lock") and not options.rev:
        return False
    if not options.no_download:
        with open_source(origin["url"], commit, base=base, overrides=overrides) as source:
            keep_unsaved(repo, pointer.outputs[0].path)
            get_path(source, dependency["path"], pointer.outputs[0].path, force=True)
    if options.rev:
        origin["rev"] = options.rev
    origin["rev_lock"] = commit
    return True


@contextmanager
def told_of(repo: DataRepository, pointer: Pointer) -> Iterator[None]:
    """Name the import whose source is not where its pointer says."""
    try:
        yield
    except NotFound as error:
        if error.code != "data.no_source":
            raise
        where = repo.relative(pointer.path)
        raise NotFound(
            f"{where}: {error.message}",
            code=error.code,
            hint=f"correct `repo: url:` in {where}; a relative one counts from the repository's root",
            path=where,
        ) from None


def _update_url(repo: DataRepository, pointer: Pointer, document: Any, options: ImportOptions) -> bool:
    dependency = document["deps"][0]
    if options.rev:
        raise Invalid("--rev does not go with import-url", code="data.bad_option")
    if is_remote(dependency["path"]):
        return _update_remote(repo, pointer, dependency, options)
    path = Path(os.path.normpath(pointer.path.parent / pointer.wdir / dependency["path"]))
    info = hash_path(repo, path)
    if dependency.get("md5") == info.md5:
        return False
    renew(dependency, hash_entry(info))
    if not (options.no_download or options.to_remote):
        keep_unsaved(repo, pointer.outputs[0].path)
        copy_path(path, pointer.outputs[0].path, force=True)
    return True


def _update_remote(repo: DataRepository, pointer: Pointer, dependency: Any, options: ImportOptions) -> bool:
    settings = {str(key): str(value) for key, value in (dependency.get("fs_config") or {}).items()}
    with open_remote(repo, dependency["path"], settings, jobs=options.jobs) as source:
        found = source.describe()
        if all(dependency.get(key) == found.get(key) for key in NOTE_KEYS):
            return False
        if not (options.no_download or options.to_remote):
            keep_unsaved(repo, pointer.outputs[0].path)
            download_url(source, pointer.outputs[0].path, force=True)
    renew(dependency, found)
    return True
