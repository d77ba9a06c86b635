"""DVC's lock on paths, `.dvc/tmp/rwlock`: what a running stage reads and writes is left alone.

DVC releases the repository lock while a stage's command runs, and only these entries remain. Penstock holds the
repository lock for as long as it writes, so it makes no entries of its own; entries of dead processes are
passed over, and left for DVC to remove.

Source: dvc/rwlock.py (3.67).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from penstock.base.errors import Conflict, Corrupt
from penstock.base.files import locked
from penstock.base.running import is_running
from penstock.data.repository import DataRepository

WAIT_S = 5.0


def check_writable(repo: DataRepository, paths: Iterable[Path]) -> None:
    """Make sure that no other process works on these paths, or on one around or inside them.

    The caller holds the repository lock.

    Raises:
        Conflict: one does; its process id and command are named.
        Corrupt: the file cannot be understood.
    """
    file = repo.dvc_dir / "tmp" / "rwlock"
    if not file.exists():
        return
    hint = "wait until the other dvc command ends, then run this one again"
    with locked(repo.dvc_dir / "tmp" / "rwlock.lock", wait_s=WAIT_S, holder_hint=hint):
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
    entries = list(_entries(text, str(file)))
    if not entries:
        return
    wanted = [os.path.abspath(path) for path in paths]
    for held, pid, command in entries:
        path = next((path for path in wanted if _overlap(path, held)), None)
        if path is not None and pid != os.getpid() and is_running(pid):
            raise Conflict(
                f"{path} is in use by process {pid}: {command}",
                code="data.path_in_use",
                hint=f"wait until process {pid} ends, then run this command again",
                path=path,
                pid=pid,
                cmd=command,
            )


def _entries(text: str, file: str) -> Iterator[tuple[str, int, str]]:
    if not text.strip():
        return
    try:
        document: dict[str, dict[str, Any]] = json.loads(text)
        for kind in ("write", "read"):
            for path, held in document.get(kind, {}).items():
                for info in held if isinstance(held, list) else [held]:
                    if info:
                        yield path, int(info["pid"]), str(info["cmd"])
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Corrupt(
            f"{file} is not a lock file of DVC's",
            code="data.bad_rwlock",
            hint=f"when no dvc command runs: rm {file}",
            path=file,
        ) from None


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
