"""Which endpoints somebody unloaded, known to all serve processes on one port: empty files in a folder they share."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote

_SUFFIX = ".unloaded"


class UnloadedEndpoints:
    """The endpoints unloaded from these processes. A process alone, without a folder, tells nobody."""

    def __init__(self, folder: str | None) -> None:
        self._folder = None if folder is None else Path(folder)

    def add(self, endpoint: str) -> None:
        """Tell the others that an endpoint is served no further."""
        if self._folder is not None:
            (self._folder / f"{quote(endpoint, safe='')}{_SUFFIX}").touch()

    def discard(self, endpoint: str) -> None:
        """Tell the others that an endpoint is served again."""
        if self._folder is not None:
            (self._folder / f"{quote(endpoint, safe='')}{_SUFFIX}").unlink(missing_ok=True)

    def names(self) -> frozenset[str] | None:
        """Return what is unloaded in all of them; None for a process alone."""
        if self._folder is None:
            return None
        return frozenset(
            unquote(path.name.removesuffix(_SUFFIX)) for path in self._folder.glob(f"*{_SUFFIX}")
        )
