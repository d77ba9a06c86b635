"""Whether an object that somebody may write to is what its name says: its mode is no proof, so it is read.

What was found is remembered by inode, size and time. A sound object gets the mode that makes it one for good;
another stays where it is, counts as absent, and is replaced by whoever stores the same content.

Source: dvc_objects/db.py and dvc_data/hashfile/db/local.py, `check` (3.18), which deletes it instead.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from penstock.base.digest import digest_file
from penstock.data.files.state import FileKey, State

_TREE_SUFFIX = ".dir"


class Soundness:
    """What one process found out. Children and other threads read anew: the state file is not theirs."""

    def __init__(self, state: State | None) -> None:
        self._state, self._owner = state, (os.getpid(), threading.get_ident())
        self._seen: dict[FileKey, str] = {}

    def is_sound(self, path: str, md5: str, info: os.stat_result) -> bool:
        """Say whether a file's bytes have this digest, and protect it if they do."""
        key = FileKey(info.st_ino, info.st_dev, info.st_size, info.st_mtime_ns)
        state = self._state if self._owner == (os.getpid(), threading.get_ident()) else None
        actual = self._seen.get(key) or (state.find_file(key) if state is not None else None)
        if actual is None:
            try:
                actual = digest_file(Path(path), "md5")
            except OSError:
                return False
            self._seen[key] = actual
            if state is not None:
                state.save_files([(key, actual)])
        is_sound = actual == md5.removesuffix(_TREE_SUFFIX)
        if is_sound:
            with suppress(OSError):  # another account's, or a file system without modes
                os.chmod(path, 0o444)
        return is_sound
