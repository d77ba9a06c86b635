"""Whose turn it is to import modules of its own: one model at a time, and none for ever.

Imports change what the whole process sees (`sys.path`, `sys.modules`), so models take turns. A turn that lasts too
long is taken away: what it changed is undone, and the next one goes on. What is imported is in `own_code`.

Other threads import meanwhile, and look through `sys.path` step by step: it is replaced by another list, never changed,
for a list from which something is taken away while it is walked through has an entry that is never looked at.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from penstock.base.errors import Invalid, Unavailable
from penstock.records.flavours import IMPORTS

logger = logging.getLogger(__name__)
IMPORT_S = 60.0
"""So long a model may import its modules while others wait for their turn."""
READ_S = 600.0
"""So long it may be read after that."""


class Turn:
    """One model's turn, with what it changed. Made and ended by `Turns`."""

    def __init__(self, code: Path, outer: Turn | None = None) -> None:
        self.code = code
        self.outer = outer
        self.thread = threading.get_ident()
        self.until_s = time.monotonic() + IMPORT_S
        self.tops: frozenset[str] = frozenset()
        self.is_lost = False
        self._before: dict[str, ModuleType] = {}
        self._is_open = False
        self._writes_bytecode = False

    def open(self, tops: Iterable[str]) -> None:
        """Let imports find the modules of these first names in the model's folder, and nothing cached of others."""
        self.tops = frozenset(tops)
        self._before = self._own()
        for name in self._before:
            del sys.modules[name]
        self._writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        _forget_found(self.code)
        sys.path = [str(self.code), *sys.path]  # bytecode is not written: the folder is what was registered
        self._is_open = True

    def begin_reading(self) -> None:
        """Say that the imports are done; raises Invalid where the turn was taken away."""
        self.require()
        self.until_s = time.monotonic() + READ_S

    def require(self) -> None:
        """Make sure that the turn is still this model's.

        Raises:
            Invalid: it took too long (`serving.import_too_long`).
        """
        if self.is_lost:
            raise Invalid(
                f"importing the model's own modules ({self.shown}) took longer than {IMPORT_S:g} s",
                code="serving.import_too_long",
                hint="do in `load` or in the first prediction what takes long, not where the module is imported",
            )

    @property
    def shown(self) -> str:
        """The first names of its modules, in words."""
        return ", ".join(sorted(self.tops)) or "none"

    def close(self, *, has_failed: bool) -> None:
        """Undo what imports need; with `has_failed` also what they made."""
        if not self._is_open:
            return
        self._is_open = False
        if has_failed:
            self._restore()
        path = list(sys.path)
        path.remove(str(self.code))
        sys.path = path
        sys.dont_write_bytecode = self._writes_bytecode

    def forget(self) -> None:
        """Leave out what came of a turn after it was taken away."""
        for name, module in self._own().items():
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and Path(file).is_relative_to(self.code):
                sys.modules.pop(name, None)

    def _restore(self) -> None:
        for name in self._own():
            sys.modules.pop(name, None)
        sys.modules.update(self._before)

    def _own(self) -> dict[str, ModuleType]:
        return {
            name: module for name, module in list(sys.modules.items()) if name.partition(".")[0] in self.tops
        }


def _forget_found(code: Path) -> None:
    """Let a folder be listed anew that imports looked into before; other places are left as they are known."""
    for place in list(sys.path_importer_cache):
        if Path(place).is_relative_to(code):
            sys.path_importer_cache.pop(place, None)


class Turns:
    """Gives turns, in no order. Thread-safe; a thread that has one may take another within it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holder: Turn | None = None
        self._hanging: list[Turn] = []

    def take(self, code: Path) -> Turn:
        """Wait for the turn before to end, or take it away when it lasts too long."""
        with self._changed:
            while (holder := self._holder) is not None and holder.thread != threading.get_ident():
                left_s = holder.until_s - time.monotonic()
                if left_s <= 0:
                    self._take_away(holder)
                else:
                    self._changed.wait(left_s)
            self._holder = turn = Turn(code, holder)
            return turn

    def check(self, tops: Iterable[str]) -> None:
        """Make sure that no import that hangs is of a module of one of these first names: Python would wait for it.

        Raises:
            Unavailable: one is (`serving.import_hangs`).
        """
        names = set(tops)
        with self._changed:
            for one in self._hanging:
                if one.tops & names:
                    raise Unavailable(
                        f"another model's import of {one.shown} has not ended, and holds modules of the same name",
                        code="serving.import_hangs",
                        hint="a restart of serve ends it; then deploy or unload the model whose import hangs",
                    )

    def end(self, turn: Turn, *, has_failed: bool) -> None:
        """End a turn and let the next begin."""
        with self._changed:
            if turn.is_lost:
                turn.forget()
                if turn in self._hanging:
                    self._hanging.remove(turn)
                return
            turn.close(has_failed=has_failed)
            self._holder = turn.outer
            self._changed.notify_all()

    def _take_away(self, turn: Turn) -> None:
        logger.error(
            "a model's own modules (%s in %s) have been importing for too long: others are loaded without waiting",
            turn.shown,
            turn.code,
        )
        one: Turn | None = turn
        while one is not None:
            one.is_lost = True
            IMPORTS.take_from(one.thread)
            one.close(has_failed=True)
            self._hanging.append(one)
            one = one.outer
        self._holder = None
        self._changed.notify_all()
