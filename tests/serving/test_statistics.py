"""Counts of what versions answered, over all processes on one port."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from penstock.serving.recorder import RecorderState
from penstock.serving.statistics import ENTRIES, Statistics
from serving.test_record import observe


class Deaf:
    """A recorder that keeps nothing."""

    state = RecorderState(used_bytes=0, max_bytes=0, dropped={})

    def record(self, exchange: Any) -> None:
        """Keep nothing."""


def counts(told: dict[str, Any]) -> list[int]:
    inner = told["inference_stats"]
    return [
        told["inference_count"],
        inner["success"]["count"],
        inner["fail"]["count"],
        told["last_inference"],
    ]


def test_every_process_tells_the_sum_and_what_an_ended_one_counted_stays(tmp_path: Path) -> None:
    first, second = (Statistics(Deaf(), str(tmp_path), worker) for worker in (1, 2))
    long = "n" * 200
    for number, one in enumerate((first, first, second)):
        one.record(observe(number, [0.5, 0.5], time_ms=1000 + number))
        one.record(observe(number, [0.5], endpoint=long))
    second.record(observe(9, [], error="model_failed", outputs={}))
    second.record(observe(9, [0.5], endpoint="Ü", version=7))
    second.record(observe(9, [0.5], route="shadow"))
    for one in (first, second):
        assert counts(one.describe("delay", 3)) == [6, 3, 1, 1002]
        assert counts(one.describe("Ü", 7))[:2] == [1, 1]
        assert counts(one.describe("delay", 4)) == [0, 0, 0, 0]
    assert first.describe("delay", 3)["inference_stats"]["success"]["ns"] == 9_000_000
    assert counts(second.describe(long, 3))[0] == 1, "a name without room is told by its own process alone"
    del first
    assert counts(Statistics(Deaf(), str(tmp_path), 3).describe("delay", 3)) == [6, 3, 1, 1002]


def test_versions_beyond_the_room_are_counted_by_their_own_process(tmp_path: Path) -> None:
    for folder in (None, str(tmp_path)):
        made = Statistics(Deaf(), folder, 1)
        for version in range(1, ENTRIES + 3):
            made.record(observe(version, [0.5], version=version))
        assert [counts(made.describe("delay", version))[0] for version in (1, ENTRIES, ENTRIES + 2)] == [
            1,
            1,
            1,
        ]
