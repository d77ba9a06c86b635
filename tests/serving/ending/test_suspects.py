"""Which versions may have ended processes, and of which it is proven, by what the processes were about."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from penstock.base.clock import now_ms
from penstock.serving.deployments import Canary, Revision
from penstock.serving.ending.suspects import Suspects
from penstock.serving.ending.underway import CALLERS, LOADING, SHADOWS, Cut, End

EXIT, KILL = 3 << 8, int(signal.SIGKILL)


def revision(endpoint: str = "delay", created_ms: int = 0) -> Revision:
    return Revision(
        endpoint=endpoint, endpoint_id=1, number=2, model="late", stable=1, canary=Canary(version=2, percent=10),
        shadows=(3,), steps=(), created_ms=created_ms, actor="person:ada", reason="", previous=1, cause={},
    )  # fmt: skip


def end(status: int, *at: tuple[int, str, int]) -> End:
    return End(status, [Cut(kind=kind, endpoint=name, number=number, count=1) for kind, name, number in at])


CANARY, STABLE, LOAD = (CALLERS, "delay", 2), (CALLERS, "delay", 1), (LOADING, "delay", 2)
SHADOW, OTHER, ELSEWHERE = (SHADOWS, "delay", 3), (CALLERS, "other", 2), (CALLERS, "other", 1)
CASES = {
    "once": ([end(EXIT, CANARY)], {2: (1, False)}),
    "beside the stable version, and at loading": ([end(EXIT, CANARY, STABLE), end(EXIT, LOAD)], {2: (2, True)}),
    "beside another endpoint's stable version": ([end(EXIT, CANARY, ELSEWHERE)] * 2, {2: (2, True)}),
    "beside another suspect": ([end(EXIT, CANARY, OTHER)] * 2, {2: (2, False)}),
    "killed": ([end(KILL, CANARY)] * 3, {2: (3, False)}),
    "the stable version ends them too": ([end(EXIT, CANARY), end(EXIT, CANARY), end(EXIT, STABLE)], {2: (2, False)}),
    "somebody kills one without it": ([end(EXIT, CANARY), end(EXIT, CANARY), end(KILL, STABLE)], {2: (2, True)}),
    "the stable version answers": ([end(EXIT, STABLE)] * 3, {}),
    "the stable version, at loading too": ([end(EXIT, STABLE), *[end(EXIT, (LOADING, "delay", 1))] * 2], {1: (2, True)}),
    "a shadow": ([end(EXIT, SHADOW, STABLE)] * 2, {3: (2, True)}),
    "another endpoint's": ([end(EXIT, OTHER)] * 2, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_who_is_a_suspect_and_of_whom_it_is_proven(tmp_path: Path, name: str) -> None:
    ends, expected = CASES[name]
    current = {"delay": revision(), "other": revision("other")}
    suspects = Suspects(str(tmp_path))
    for one in ends:
        suspects.note(one, current)
    for process in (suspects, Suspects(str(tmp_path))):
        found = process.of(revision(), (1, 2, 3))
        assert {version: (one.end_count, one.is_proven) for version, one in found.items()} == expected


def test_a_suspect_is_left_out_from_the_second_end_on_for_ever_longer_until_it_is_deployed_anew(
    tmp_path: Path,
) -> None:
    suspects, seen = Suspects(str(tmp_path)), []
    for _ in range(4):
        suspects.note(end(KILL, CANARY), {"delay": revision()})
        one = suspects.of(revision(), (2,))[2]
        seen.append((one.apart_s, one.is_barred))
    assert seen == [(0.0, False), (30.0, True), (60.0, True), (120.0, True)]
    assert suspects.of(revision(created_ms=now_ms() + 1), (2,)) == {}
    assert Suspects(None).of(revision(), (2,)) == {}
