"""The order of tests: the files that take longest come first, so that no long one is left alone at the end.

How long each file takes is recorded in `durations.json`; `make durations` writes it anew. A file is run by one process
(`workers.py`), so what a module shares is made once; a file that nobody has timed yet counts as a long one.
"""

from __future__ import annotations

import functools
import json
import os
from collections import Counter
from pathlib import Path

import pytest

RECORDED = Path(__file__).with_name("durations.json")
RECORD = "PENSTOCK_RECORD_DURATIONS"
UNKNOWN_S = 30.0
FAST_S = 80.0
NOT_SLOW = "not slow"
REAL_PROGRAMS = {
    "azure_server",
    "dvc",
    "mlflow_server",
    "postgres",
    "s3_server",
    "sides",
    "ssh_server",
    "tracking",
}


def sort_items(items: list[pytest.Item]) -> None:
    """Sort items by the time that their files take, the longest first; each file keeps its order."""
    known = load_durations()
    files = sorted({file_of(item.nodeid) for item in items})
    rank = {name: -known.get(name, UNKNOWN_S if name.startswith("tests/") else 0.0) for name in files}
    items.sort(key=lambda item: (rank[file_of(item.nodeid)], file_of(item.nodeid)))


def mark_slow(items: list[pytest.Item]) -> None:
    """Mark what `make test-fast` leaves out: what needs a real program, and the files that take longest."""
    long = long_files()
    for item in items:
        if file_of(item.nodeid) in long or REAL_PROGRAMS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


def is_left_out(path: Path, config: pytest.Config) -> bool:
    """Say whether a file need not even be imported, since only fast tests are asked for and it takes long."""
    if config.option.markexpr != NOT_SLOW or RECORDED.parent not in path.parents:
        return False
    return path.relative_to(RECORDED.parents[1]).as_posix() in long_files()


@functools.cache
def long_files() -> frozenset[str]:
    """Return all files but the shortest ones that together take `FAST_S`, one after the other."""
    left_s, long = FAST_S, set()
    for name, seconds in sorted(load_durations().items(), key=lambda pair: pair[1]):
        left_s -= seconds
        if left_s < 0:
            long.add(name)
    return frozenset(long)


def load_durations() -> dict[str, float]:
    """Return the recorded seconds of each file."""
    known: dict[str, float] = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    return known


def file_of(nodeid: str) -> str:
    """Return the file in an item's id."""
    return nodeid.partition("::")[0]


class Durations:
    """Adds up what the files of a run take, and writes it at the end."""

    def __init__(self) -> None:
        self._seconds: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add one phase of one test."""
        self._seconds[file_of(report.nodeid)] += report.duration

    def pytest_sessionfinish(self) -> None:
        """Write the sums of what ran; other files keep theirs, if they still exist."""
        root = RECORDED.parents[1]
        sums = {name: seconds for name, seconds in load_durations().items() if (root / name).exists()}
        sums |= {name: round(seconds, 1) for name, seconds in self._seconds.items() if seconds >= 0.1}
        RECORDED.write_text(json.dumps(sums, indent=1, sort_keys=True) + "\n")


def record_durations(config: pytest.Config) -> None:
    """Time this run where that was asked for; in the process that controls it."""
    if os.environ.get(RECORD, "") not in {"", "0"}:
        config.pluginmanager.register(Durations())
