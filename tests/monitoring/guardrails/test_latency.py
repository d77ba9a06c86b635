from __future__ import annotations

import numpy as np

from monitoring.traffic import timed, window
from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.blocks import Block
from penstock.monitoring.guardrails.latency import judge_latency
from penstock.monitoring.guardrails.limits import LatencyLimit

LIMIT = LatencyLimit(p99_ms=50)


def judged(ours: list[Block], rival: list[Block] | None, limit: LatencyLimit = LIMIT) -> Finding | None:
    return next(judge_latency(limit, window("canary"), ours, rival), None)


def lognormal(rng: np.random.Generator, count: int, p99_ms: float) -> np.ndarray:
    return rng.lognormal(np.log(p99_ms / 1000) - 2.326 * 0.5, 0.5, count)


def test_a_canary_that_is_twice_too_slow_is_found_and_stable_is_not() -> None:
    rng = np.random.default_rng(2)
    slow, fast = timed(lognormal(rng, 400, 100), 20), timed(lognormal(rng, 3600, 40), 180)
    first, second = judged(slow, fast), judged(fast, None)
    assert first is not None and first.breached and first.observed > 0.05
    assert second is not None and not second.breached and second.observed < 0.05
    assert "on the stable version" in first.sentence


def test_slowness_that_both_routes_share_is_not_the_canarys_fault() -> None:
    rng = np.random.default_rng(3)
    ours, rival = timed(lognormal(rng, 1000, 100), 20), timed(lognormal(rng, 9000, 100), 180)
    shared = judged(ours, rival)
    assert shared is not None and not shared.breached
    absolute = judged(ours, rival, LatencyLimit(p99_ms=50, against="limit"))
    assert absolute is not None and absolute.breached


def test_a_canary_within_its_limit_may_be_slower_than_stable() -> None:
    rng = np.random.default_rng(4)
    ours, rival = timed(lognormal(rng, 2000, 48), 20), timed(lognormal(rng, 18_000, 20), 180)
    within = judged(ours, rival)
    assert within is not None and not within.breached
    relative = judged(ours, rival, LatencyLimit(p99_ms=50, against="stable"))
    assert relative is not None and relative.breached


def test_three_slow_requests_of_three_need_no_minimum() -> None:
    found = judged(timed(np.array([5.0] * 3), 3), timed(np.full(27, 0.001), 27))
    assert found is not None and found.breached
    assert judged(timed(np.array([0.001] * 3), 3), None) is None


def test_one_slow_request_is_no_breach() -> None:
    found = judged(timed(np.array([0.001] * 25 + [5.0]), 26), None)
    assert found is not None and not found.breached


def stalled(rng: np.random.Generator, count: int, ratio: float, length: int) -> np.ndarray:
    """Return durations of which a share is slow, so many requests at a time."""
    starts = np.cumsum(rng.random(count + length) < ratio / length)
    return np.where(starts[length:] > starts[:-length], 0.2, 0.01)


def test_stalls_of_requests_in_a_row_are_no_breach() -> None:
    """As much as the limit allows is slow, many requests at a time, in both routes or in a route alone."""
    rng = np.random.default_rng(5)
    for length in (10, 20):
        breaches = 0
        for _ in range(40):
            canary, stable = (timed(stalled(rng, count, 0.01, length), size) for count, size in ((2000, 100), (18_000, 900)))  # fmt: skip
            for rival in (stable, None):
                looks = [judged(canary[:look], rival and rival[:look]) for look in range(4, 21, 4)]
                breaches += any(one is not None and one.breached for one in looks)
        assert breaches <= 1, length


def test_a_worse_tail_is_found_soon_since_its_requests_come_one_by_one() -> None:
    rng = np.random.default_rng(6)
    needed = []
    for _ in range(20):
        ours = timed(stalled(rng, 1000, 0.05, 1), 50)
        rival = timed(stalled(rng, 9000, 0.005, 1), 450)
        looks = (look for look in range(1, 21) if (one := judged(ours[:look], rival[:look])) and one.breached)
        needed.append(50 * next(looks))
    assert np.mean(needed) < 350
