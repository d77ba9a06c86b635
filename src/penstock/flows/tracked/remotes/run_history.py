"""The run cache (`<cache>/runs`) between here and a remote: `--run-cache` of push, fetch and pull.

Only the records travel; the objects that they name do with the data they belong to. A record that is not what
its name says is left where it is.

Source: dvc/stage/cache.py, `StageCache.transfer` (3.67).
"""

from __future__ import annotations

from contextlib import suppress

from penstock.base.errors import Invalid
from penstock.data.repository import DataRepository
from penstock.pipeline.lockfile import parse_entry
from penstock.pipeline.runcache import record_key
from penstock.storage.backend import Backend

PREFIX = "runs"


def push_runs(repo: DataRepository, remote: Backend) -> int:
    """Upload the records that the remote lacks; return how many. A remote that cannot list takes none."""
    folder = repo.cache.root / PREFIX
    if not remote.can_list or not folder.is_dir():
        return 0
    present = {entry.key for entry in remote.list(PREFIX)}
    count = 0
    for path in sorted(folder.glob("*/*/*")):
        key = path.relative_to(repo.cache.root).as_posix()
        if key not in present and not path.name.startswith(".") and path.is_file():
            remote.put(key, path.read_bytes())
            count += 1
    return count


def fetch_runs(repo: DataRepository, remote: Backend) -> int:
    """Download the records that are not here; return how many."""
    if not remote.can_list:
        return 0
    count = 0
    for entry in list(remote.list(PREFIX)):
        target = repo.cache.root / entry.key
        if ".." in entry.key.split("/") or target.exists():
            continue
        data = remote.get(entry.key)
        with suppress(Invalid, UnicodeDecodeError):
            if record_key(parse_entry(data.decode(), entry.key)) == entry.key:
                repo.cache.write_file(target, data)
                count += 1
    return count
