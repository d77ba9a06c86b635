"""Which versions may have ended processes, and of which it is proven, by what the processes were about."""

from __future__ import annotations

import signal
from pathlib import Path

import msgspec
import pytest

from penstock.base.clock import now_ms
from penstock.serving.deployments import Canary, Revision
from penstock.serving.ending.suspects import NAME, Suspects
from penstock.serving.ending.suspicion import At, Ended
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
    "beside the stable version each time": ([end(EXIT, CANARY, STABLE)] * 2, {2: (2, False)}),
    "beside another endpoint's stable version": ([end(EXIT, CANARY, ELSEWHERE)] * 2, {2: (2, True)}),
    "beside another suspect": ([end(EXIT, CANARY, OTHER)] * 2, {2: (2, False)}),
    "killed": ([end(KILL, CANARY)] * 3, {2: (3, False)}),
    "the stable version ends them too": ([end(EXIT, CANARY), end(EXIT, CANARY), end(EXIT, STABLE)], {2: (2, False)}),
    "somebody kills one without it": ([end(EXIT, CANARY), end(EXIT, CANARY), end(KILL, STABLE)], {2: (2, True)}),
    "the stable version answers": ([end(EXIT, STABLE)] * 3, {}),
    "the stable version, at loading too": ([end(EXIT, STABLE), *[end(EXIT, (LOADING, "delay", 1))] * 2], {1: (2, True)}),
    "a shadow": ([end(EXIT, SHADOW)] * 2, {3: (2, True)}),
    "a shadow of a stable version at work": ([end(EXIT, SHADOW, STABLE)] * 2, {3: (2, False)}),
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


def test_what_was_only_loaded_beside_another_is_held_to_be_neither_and_is_not_left_out(
    tmp_path: Path,
) -> None:
    suspects = Suspects(str(tmp_path))
    for _ in range(2):
        suspects.note(end(EXIT, LOAD, (LOADING, "other", 2)), {})
    found = suspects.of(revision(), (2,))[2]
    assert (found.end_count, found.sole_count, found.is_proven, found.is_barred) == (2, 0, False, False)
    for _ in range(2):
        suspects.note_apart("delay", 2, was_killed=False)
    found, other = suspects.of(revision(), (2,))[2], suspects.of(revision("other"), (2,))[2]
    assert (found.end_count, found.sole_count, found.is_proven, found.is_barred) == (4, 2, True, True)
    assert (other.is_proven, other.is_barred) == (False, False)


def test_what_is_killed_apart_was_the_sole_one_and_is_not_proven(tmp_path: Path) -> None:
    suspects = Suspects(str(tmp_path))
    for _ in range(2):
        suspects.note_apart("delay", 2, was_killed=True)
    found = suspects.of(revision(), (2,))[2]
    assert (found.sole_count, found.is_proven, found.is_barred) == (2, False, True)


def noted(folder: Path, *ends: tuple[float, *tuple[At, ...]]) -> Suspects:
    """Return what is known where processes ended by themselves so many seconds ago."""
    lines = [Ended(time_ms=now_ms() - int(1000 * ago_s), was_killed=False, at=at) for ago_s, *at in ends]
    (folder / NAME).write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in lines))
    return Suspects(str(folder))


THE_CANARY = At(endpoint="delay", version=2, is_suspect=True)
THE_STABLE = At(endpoint="delay", version=1, is_suspect=False)
AGO = {
    "the stable version was at work each time": ([(9, THE_CANARY, THE_STABLE), (5, THE_CANARY, THE_STABLE)], False),
    "and it lived while the canary was left out": (
        [(90, THE_CANARY, THE_STABLE), (80, THE_CANARY, THE_STABLE), (5, THE_CANARY, THE_STABLE)], True,
    ),
    "and it ended one then": (
        [(90, THE_CANARY, THE_STABLE), (80, THE_CANARY, THE_STABLE), (60, THE_STABLE), (5, THE_CANARY, THE_STABLE)], False,
    ),
    "it ended one before the canary came": ([(900, THE_STABLE), (9, THE_CANARY), (5, THE_CANARY)], False),
    "it did long ago": ([(4000, THE_STABLE), (9, THE_CANARY), (5, THE_CANARY)], True),
    "a canary before did": (
        [(900, At(endpoint="delay", version=4, is_suspect=True), THE_STABLE), (9, THE_CANARY), (5, THE_CANARY)], True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", AGO)
def test_what_the_stable_version_may_have_done_is_not_proven_of_its_canary(tmp_path: Path, name: str) -> None:
    ends, is_proven = AGO[name]
    made = revision(created_ms=now_ms() - 100_000)
    assert noted(tmp_path, *ends).of(made, (2,))[2].is_proven == is_proven


def test_a_line_that_was_never_finished_keeps_nothing_from_being_read_and_written(tmp_path: Path) -> None:
    suspects = noted(tmp_path, (9, THE_CANARY))
    with (tmp_path / NAME).open("ab") as file:
        file.write(b'{"time_ms":1')
    suspects.look()
    assert suspects.of(revision(), (2,))[2].end_count == 1
    suspects.note(end(EXIT, CANARY), {})
    for process in (suspects, Suspects(str(tmp_path))):
        assert process.of(revision(), (2,))[2].end_count == 2


def test_where_nothing_can_be_written_the_process_goes_on_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / NAME).symlink_to("/dev/full")
    suspects = Suspects(str(tmp_path))
    for _ in range(2):
        suspects.note(end(EXIT, CANARY), {})
    assert suspects.of(revision(), (2,)) == {}
    assert [one.message for one in caplog.records] == [
        "which versions ended processes is not kept: No space left on device"
    ]


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
