"""Lists of directories read from the default remote, for commands that only report: nothing is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.base.errors import Corrupt, NotFound, PenstockError
from penstock.base.threads import thread_pool
from penstock.data.cache.legacy_transfer import legacy_key
from penstock.data.cache.transfer import remote_key
from penstock.data.formats.output import HashInfo
from penstock.data.formats.tree import parse_tree, tree_md5
from penstock.data.repository import DataRepository


def load_lists(repo: DataRepository, infos: Sequence[HashInfo]) -> dict[str, Mapping[str, str]]:
    """Return the files by path of those directories whose lists the default remote has, by the list's name.

    Without a remote, or one that does not answer, there are none: a report says then what it does not know.
    """
    try:
        remote = repo.remote()
    except PenstockError:
        return {}

    def load(info: HashInfo) -> tuple[str, Mapping[str, str]] | None:
        try:
            data = remote.get(remote_key(info.md5) if info.algorithm == "md5" else legacy_key(info.md5))
            is_right = info.algorithm != "md5" or tree_md5(data) == info.md5
            return (info.md5, parse_tree(data, info.md5)) if is_right else None
        except (NotFound, Corrupt):
            return None

    try:
        with thread_pool(min(remote.jobs, len(infos))) as pool:
            return dict(one for one in pool.map(load, infos) if one is not None)
    except PenstockError:
        return {}
    finally:
        remote.close()
