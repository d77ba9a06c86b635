"""Forked workers: the same answer as one process, and errors that come home."""

from __future__ import annotations

import subprocess
import sys

import pytest

from penstock.base.errors import NotFound
from penstock.data.files.forking import MIN_ITEMS, map_forked


def test_results_come_back_in_order() -> None:
    items = list(range(MIN_ITEMS * 3 + 1))
    assert map_forked(items, lambda part: [-item for item in part]) == [-item for item in items]


def test_an_error_in_a_child_is_raised_here() -> None:
    def work(part):  # type: ignore[no-untyped-def]
        if MIN_ITEMS - 1 in part:
            raise NotFound("no such thing", code="x.y", hint="look", path="p")
        return list(part)

    with pytest.raises(NotFound, match="no such thing") as caught:
        map_forked(range(MIN_ITEMS), work)
    assert (caught.value.code, caught.value.hint, caught.value.fields) == ("x.y", "look", {"path": "p"})


def test_a_child_that_dies_is_told() -> None:
    """In a process of its own: nothing is forked while other threads run, as they do in a test runner."""
    code = (
        "import os\n"
        "os.sched_getaffinity = lambda _pid: {0, 1}\n"
        "from penstock.base.errors import Unavailable\n"
        "from penstock.data.files.forking import MIN_ITEMS, map_forked\n"
        "here = os.getpid()\n"
        "def work(part):\n"
        "    if os.getpid() != here: os.kill(os.getpid(), 9)\n"
        "    return list(part)\n"
        "try: map_forked(range(MIN_ITEMS), work)\n"
        "except Unavailable as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "died" in done.stdout
