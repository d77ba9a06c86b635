"""Models that are loaded in several threads: what one of them imports is never missing, or half there, in another."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from importlib import import_module
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from patience import PATIENCE_S
from penstock.base.threads import LeasedLock, begin
from penstock.serving.loaders.flavour import Flavour
from penstock.serving.loaders.own_code import own_code
from penstock.serving.loaders.quick_skops import Unfound
from stories.live import wait_until


class Asked:
    """A finder that knows nothing; while it is asked for `asked_late`, something else goes on."""

    def __init__(self, meanwhile: Any) -> None:
        self.meanwhile = meanwhile

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        """Return nothing."""
        if name == "asked_late":
            self.meanwhile()
        return None


@pytest.fixture
def late(tmp_path: Path) -> Iterator[Path]:
    """Return a folder with a module `asked_late`; what a test does to the ways of importing is undone."""
    before, hooks, finders = sys.path, list(sys.path_hooks), sys.meta_path
    folder = tmp_path / "late"
    folder.mkdir()
    (folder / "asked_late.py").write_text("VALUE = 4\n")
    yield folder
    sys.path, sys.path_hooks[:], sys.meta_path = before, hooks, finders
    sys.modules.pop("asked_late", None)
    sys.path_importer_cache.clear()


class Held:
    """A thread that has a context entered until it is told to leave it."""

    def __init__(self, context: Any) -> None:
        self._context, self._entered, self._leave = context, threading.Event(), threading.Event()
        self._done: Future[None] = begin("test-held", self._hold)
        assert self._entered.wait(PATIENCE_S)

    def _hold(self) -> None:
        with self._context:
            self._entered.set()
            self._leave.wait(PATIENCE_S)

    def leave(self) -> None:
        """Leave it, and return when it was left."""
        self._leave.set()
        self._done.result(PATIENCE_S)


def test_a_model_that_is_read_meanwhile_hides_no_place_of_the_search_path(late: Path, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "read_meanwhile.py").write_text("VALUE = 1\n")
    before = tmp_path / "before"
    sys.path = [str(before), str(late)]
    held = Held(own_code(code, ["read_meanwhile"]))
    asked = Asked(held.leave)

    def hook(place: str) -> Asked:
        if place != str(before):
            raise ImportError
        return asked

    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.pop(str(before), None)
    try:
        assert import_module("asked_late").VALUE == 4
    finally:
        held.leave()
        sys.modules.pop("read_meanwhile", None)
    assert sys.path == [str(before), str(late)]


def test_what_a_library_does_without_is_found_by_other_threads_also_as_that_ends(late: Path) -> None:
    held: list[Held] = []
    asked = Asked(lambda: [one.leave() for one in held])
    sys.path = [str(late), *sys.path]
    sys.meta_path = [
        asked,
        next(one for one in sys.meta_path if getattr(one, "__name__", "") == "PathFinder"),
    ]
    held.append(Held(Unfound("absent")))
    assert import_module("asked_late").VALUE == 4
    assert sys.meta_path[0] is asked


MEETING = """
import importlib._bootstrap
import threading
first, second_began, first_ended = [], threading.Event(), threading.Event()
def wait_for_second():
    first.append(threading.get_ident())
    second_began.wait(1)
def wait_until_first_waits():
    second_began.set()
    if first and first[0] != threading.get_ident():
        while first[0] not in importlib._bootstrap._blocking_on and not first_ended.is_set():
            pass
"""
FIRST = """
import ring_meeting
ring_meeting.wait_for_second()
try:
    import ring_second
except AttributeError:
    pass
VALUE = 1
ring_meeting.first_ended.set()
"""
SECOND = """
import ring_meeting
ring_meeting.wait_until_first_waits()
import ring_first
VALUE = ring_first.VALUE
"""
"""Each can be imported alone: the first uses the second where it can, the second needs the first."""


class Ring(Flavour):
    """Reads by importing a library that imports another one, which in a function of its own imports the first."""

    name = "ring"

    def takes(self, model: Any) -> bool:
        """Whatever."""
        return True

    def save(self, model: Any, folder: Path, saving: Any) -> dict[str, Any]:
        """Write nothing."""
        return {}

    def answer(self, model: Any, rows: Any, wanted: frozenset[str] | None) -> Any:
        """Answer nothing."""
        return {}

    def read(
        self, folder: Path, options: Mapping[str, Any], trusted: Sequence[str] | None = None
    ) -> ModuleType:
        """Import the library."""
        return import_module(str(options["library"]))


def test_libraries_that_import_each_other_are_whole_for_models_that_are_loaded_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("meeting", MEETING), ("first", FIRST), ("second", SECOND)):
        (tmp_path / f"ring_{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    names, flavour = ("ring_first", "ring_second"), Ring()

    def load(name: str) -> Future[Any]:
        return begin(f"test-{name}", lambda: flavour.read_with_code(tmp_path, {"library": name}))

    try:
        first = load(names[0])
        wait_until(lambda: getattr(sys.modules.get("ring_meeting"), "first", None))
        second = load(names[1])
        assert [one.result(PATIENCE_S).VALUE for one in (first, second)] == [1, 1]
    finally:
        for name in (*names, "ring_meeting"):
            sys.modules.pop(name, None)


def test_a_thread_keeps_the_lock_no_longer_than_its_lease_while_others_wait() -> None:
    lock = LeasedLock(0.01)
    first = Held(lock.held())
    lock.lease_s = PATIENCE_S
    with lock.held(), lock.held():
        first.leave()
        other = begin("test-other", lambda: Held(lock.held()))
        assert not other.done(), "what was lost gives nothing back"
    other.result(PATIENCE_S).leave()
