"""The run that made a pipeline lock, asked of an embedded store without the toolkit that all else goes through.

Loading that toolkit takes three times as long as looking at a pipeline of two hundred stages that is up to date.
The answer is that of `runs.find_run_of_lock`; what this cannot tell for sure, that has to tell.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_QUERY = """
SELECT id FROM runs WHERE lock_digest = ? AND status = 'FINISHED' AND deleted_ms IS NULL
ORDER BY start_ms DESC LIMIT 1
"""


def find_known(store: Path, lock_digest: str) -> str | None:
    """Return the id of the newest finished run that produced this lock; None where the store tells none, or not so."""
    try:
        with closing(sqlite3.connect(f"{store.as_uri()}?mode=rw", uri=True)) as connection:
            found = connection.execute(_QUERY, (lock_digest,)).fetchone()
    except (sqlite3.Error, ValueError):
        return None
    return str(found[0]) if found is not None else None
