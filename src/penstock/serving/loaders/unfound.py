"""Let optional packages not be found while something else is imported that would import them in vain."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


class Unfound:
    """A context in which this thread does not find packages that nobody has imported yet; other threads do.

    Args:
        names: packages that the code imported within does without.
    """

    def __init__(self, *names: str) -> None:
        self._names = frozenset(names)
        self._thread = 0

    def __enter__(self) -> None:
        self._thread = threading.get_ident()
        sys.meta_path.insert(0, self)

    def __exit__(self, *_error: object) -> None:
        sys.meta_path.remove(self)

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise ModuleNotFoundError for one of the packages, and leave all else to those who find modules."""
        if name in self._names and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is not looked for here", name=name)
        return None
