"""Cache and remotes compared: `penstock status --cloud`."""

from __future__ import annotations

from penstock.data.cache import transfer
from penstock.data.cache.legacy_transfer import legacy_absent, missing_legacy
from penstock.data.formats.output import is_within
from penstock.data.repository import DataRepository
from penstock.flows.tracked.remotes.transferring import DEFAULTS, TransferOptions, is_meant, of_history
from penstock.flows.tracked.selection import Chosen, Targets, select


def cloud_status(
    repo: DataRepository,
    targets: Targets = (),
    *,
    options: TransferOptions = DEFAULTS,
) -> dict[str, str]:
    """Compare cache and remotes in the shape of `dvc status -c --json`.

    By path of an output or of a file below a directory, one path for each object: `new` is only in the cache,
    `deleted` only on the remote, `missing` in neither. What is never pushed is left out. An output with a remote
    of its own is compared with that one, where DVC leaves it out.
    """
    chosen = select(repo, targets, base=options.base)
    chosen += of_history(repo, targets, options)
    by_remote: dict[str, dict[str, str]] = {}
    legacy: dict[str, dict[str, str]] = {}
    for one in chosen:
        if not is_meant(one.output, options, is_push=True):
            continue
        place = repo.remote_name(options.remote or one.output.remote)
        is_old = one.output.hash is not None and one.output.hash.algorithm != "md5"
        names = by_remote.setdefault(place, {})
        _note_names(repo, one, legacy.setdefault(place, {}) if is_old else names)
    if not by_remote:
        repo.remote_name(options.remote)
    found: dict[str, str] = {}
    for place, names in by_remote.items():
        backend = repo.remote(place)
        try:
            absent = set(transfer.find_absent(backend, names))
            old = legacy.get(place, {})
            old_absent = legacy_absent(backend, old) if old else set()
            if len(absent) == len(names) and len(old_absent) == len(old):
                backend.has_place()  # raises for a bucket that does not exist; a directory counts as empty
            _compare(names, absent, repo.cache.missing(set(names)), found)
            _compare(old, old_absent, missing_legacy(repo, old), found)
        finally:
            backend.close()
    return dict(sorted(found.items()))


def _compare(names: dict[str, str], on_remote: set[str], here: set[str], found: dict[str, str]) -> None:
    """Enter a word for each path whose object is absent on one side at least."""
    words = {(True, False): "new", (False, True): "deleted", (True, True): "missing"}
    for md5, path in names.items():
        word = words.get((md5 in on_remote, md5 in here))
        if word is not None:
            found.setdefault(path, word)


def _note_names(repo: DataRepository, one: Chosen, names: dict[str, str]) -> None:
    info, path = one.output.hash, repo.relative(one.output.path)
    if info is None:
        return
    names.setdefault(info.md5, path)
    if info.is_tree and repo.cache.find(info) is not None:
        for name, md5 in repo.cache.load_tree(info).items():
            if is_within(name, one.within):
                names.setdefault(md5, f"{path}/{name}")
