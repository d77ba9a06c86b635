"""What a caller from outside is told when the store fails: that it does, not where it lies. The log has the rest."""

from __future__ import annotations

import logging

from penstock.base.errors import PenstockError, Unavailable

logger = logging.getLogger(__name__)
RETRY_AFTER_S = 5
LOCKED = "database is locked"
"""What SQLite says where another program keeps its file to itself."""
SENTENCES = {
    "store.unavailable": "the store is away",
    "store.read_only": "the store takes no writes",
    "store.schema_changed": "the store is not as this program knows it",
    "store.corrupt": "the store is damaged",
    "os.disk_full": "the disk is full",
}
HINTS = {
    "store.unavailable": "check `store:` in penstock.yaml and that the database runs",
    "store.read_only": "point `store:` at the server that does, with a role that may write",
    "store.schema_changed": "bring all programs that use it to one version",
    "store.corrupt": "put a copy of it back",
    "os.disk_full": "make room on the disk of the server",
}


def told_outside(error: PenstockError, *, is_logged: bool = True) -> PenstockError:
    """Return an error as a server tells it: of the store without its address, host and user, any other as it is.

    Args:
        is_logged: write what is not told into the log; False where the caller does.

    Example:
        >>> from penstock.base.errors import Corrupt
        >>> told_outside(Corrupt("the store sqlite:////srv/p.db is damaged: …", code="store.corrupt")).message
        'the store is damaged'
    """
    sentence = SENTENCES.get(error.code)
    if sentence is None or error.message.startswith(sentence):
        return error
    if is_logged:
        logger.warning("%s", error.message)
    if LOCKED in error.message:
        sentence = f"{sentence}: another program keeps it locked"
    told = type(error)(sentence, code=error.code, hint=f"{HINTS[error.code]}; the server's log says more")
    if isinstance(error, Unavailable):
        told.fields["retry_after_s"] = RETRY_AFTER_S
    return told


def words_outside(error: Exception, *, is_logged: bool = True) -> str:
    """Say in words what failed, as `told_outside` does; of what is no error of ours its type too."""
    if isinstance(error, PenstockError):
        return told_outside(error, is_logged=is_logged).message
    return f"{type(error).__name__}: {error}"
