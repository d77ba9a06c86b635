"""Answers that are no finite numbers: a run of them, too many of them, a single odd one."""

from __future__ import annotations

import numpy as np

from monitoring.traffic import failures, window
from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.blocks import Block, count_runs
from penstock.monitoring.guardrails.outputs import judge_outputs


def blocks(odd: np.ndarray, size: int) -> list[Block]:
    return [
        Block(
            start_s=index,
            request_count=len(part),
            nonfinite_count=int(part.sum()),
            nonfinite_run_count=count_runs(part.tolist()),
        )
        for index, part in enumerate(np.split(odd, range(size, len(odd), size)))
    ]


def judged(ours: np.ndarray, rival: np.ndarray | None = None, *, size: int = 10, ratio: float = 0.01) -> Finding | None:  # fmt: skip
    others = None if rival is None else blocks(rival, 9 * size)
    return next(judge_outputs(ratio, window("canary"), blocks(ours, size), others), None)


def odd(*, first: int = 0, of: int, last: int = 0) -> np.ndarray:
    found = np.zeros(of, dtype=bool)
    found[:first] = True
    found[of - last :] = True
    return found


def test_three_of_three_are_enough_and_one_among_good_ones_is_not() -> None:
    clean = odd(of=270)
    for ours, rival, expected in (
        (odd(first=3, of=3), clean, "breached"),
        (odd(first=3, of=3), None, "breached"),
        (odd(first=2, of=2), clean, "held"),
        (odd(first=1, of=1), None, "held"),
        (odd(first=1, of=400), clean, "held"),
        (odd(of=400, last=60), clean, "breached"),
        (odd(of=400), clean, None),
        (odd(first=30, of=30), np.ones(270, dtype=bool), "held"),
    ):
        found = judged(ours, rival)
        assert (found.state if found else None) == expected, (ours.sum(), len(ours))
    assert judged(odd(first=30, of=30), ratio=1.0) is None


def test_more_than_are_borne_are_found_and_as_many_as_are_borne_are_not() -> None:
    rng = np.random.default_rng(5)
    wrong = sum(
        any((found := judged(made[:look])) is not None and found.breached for look in range(20, 2001, 60))
        for made in (failures(rng, 2000, 0.01) for _ in range(100))
    )
    found = judged(failures(rng, 2000, 0.1))
    assert (wrong, found is not None and found.breached) == (0, True)


def test_odd_answers_in_a_row_are_said_to_count_as_one() -> None:
    scattered = np.zeros(400, dtype=bool)
    scattered[[3, 90]] = True
    row = judged(odd(first=18, of=300, last=0), np.ones(270, dtype=bool))
    assert row is not None
    assert row.sentence.endswith("not surely too many (they came in 2 runs, and those in a row count as one)")
    single = judged(scattered)
    assert single is not None
    assert single.sentence.endswith("not surely too many")
