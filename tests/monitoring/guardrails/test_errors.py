from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitoring.traffic import blocks, failures, window
from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.blocks import Block, Stretch, breakdown, count_runs
from penstock.monitoring.guardrails.errors import judge_errors
from penstock.monitoring.settings import ErrorsLimit

LIMIT = ErrorsLimit(max_ratio=0.01)


def judged(ours: list[Block], rival: list[Block] | None, limit: ErrorsLimit = LIMIT) -> Finding | None:
    return next(judge_errors(limit, window("canary"), ours, rival), None)


def requests_until_breach(canary: np.ndarray, stable: np.ndarray, size: int) -> int | None:
    """Look after every `size` canary requests; return how many there were when it was breached."""
    times = len(stable) // len(canary)
    ours, rival = blocks(canary, size), blocks(stable, size * times)
    for look in range(1, len(ours) + 1):
        found = judged(ours[:look], rival[:look])
        if found is not None and found.breached:
            return look * size
    return None


@given(st.integers(0, 300), st.integers(0, 300))
def test_a_breach_is_always_over_the_limit(errors: int, requests: int) -> None:
    errors = min(errors, requests)
    found = next(judge_errors(LIMIT, window(request_count=requests, error_count=errors)), None)
    if found is None:
        assert requests < 20
    elif found.breached:
        assert found.observed > 0.01


def test_three_failures_of_three_need_no_minimum() -> None:
    ours = blocks(np.array([True] * 3), 3)
    stable = blocks(np.zeros(27, dtype=bool), 27)
    beside, alone = judged(ours, stable), judged(ours, None)
    assert beside is not None and beside.breached
    assert alone is not None and alone.breached
    assert judged(ours[:0], stable) is None
    assert judged(blocks(np.array([True, True]), 2), stable) is None
    assert judged(ours, blocks(np.ones(27, dtype=bool), 27)) is None


def test_a_base_rate_that_both_routes_share_is_not_the_canarys_fault() -> None:
    rng = np.random.default_rng(11)
    for ratio in (0.02, 0.05, 0.5):
        for _ in range(20):
            canary, stable = failures(rng, 500, ratio), failures(rng, 4500, ratio)
            found = judged(blocks(canary, 20), blocks(stable, 180))
            assert found is not None and not found.breached


def test_an_outage_of_both_routes_is_not_the_canarys_fault() -> None:
    calm, down = np.zeros(400, dtype=bool), np.ones(400, dtype=bool)
    both = np.concatenate([calm, down, calm])
    found = judged(blocks(both, 20), blocks(np.repeat(both, 4), 80))
    assert found is not None and not found.breached


def test_against_the_limit_a_shared_base_rate_counts() -> None:
    rng = np.random.default_rng(12)
    canary, stable = blocks(failures(rng, 2000, 0.05), 20), blocks(failures(rng, 8000, 0.05), 80)
    found = judged(canary, stable, ErrorsLimit(max_ratio=0.01, against="limit"))
    assert found is not None and found.breached and found.against is None


def test_a_canary_at_four_times_the_errors_never_reaches_all_traffic() -> None:
    """At 2 requests a second a rollout of 500 requests a step gives it 1,000 before the last step."""
    rng = np.random.default_rng(13)
    found = [
        requests_until_breach(failures(rng, 1500, 0.02), failures(rng, 13_500, 0.005), 20) for _ in range(40)
    ]
    assert sum(one is None for one in found) <= 4


def test_ten_times_the_errors_below_the_limit_are_found() -> None:
    rng = np.random.default_rng(14)
    for _ in range(10):
        canary, stable = failures(rng, 6000, 0.005), failures(rng, 54_000, 0.0005)
        found = judged(blocks(canary, 100), blocks(stable, 900))
        assert found is not None and found.breached and found.observed < 0.01


def test_bursts_are_no_evidence_and_chance_alone_rolls_back_almost_never() -> None:
    rng = np.random.default_rng(15)
    for burst in (1, 10, 20):
        false = 0
        for _ in range(60):
            canary = failures(rng, 1000, 0.005, burst)
            stable = failures(rng, 9000, 0.005, burst)
            false += requests_until_breach(canary, stable, 100) is not None
        assert false <= 3, burst


def test_a_canary_that_breaks_down_later_is_found_after_one_long_stretch() -> None:
    canary = np.concatenate([np.zeros(2000, dtype=bool), np.ones(40, dtype=bool)])
    stable = np.zeros(18_360, dtype=bool)
    assert judged(blocks(canary[:2020], 20), blocks(stable, 180)).breached is False  # type: ignore[union-attr]
    assert judged(blocks(canary, 20), blocks(stable, 180)).breached  # type: ignore[union-attr]


def test_looking_at_every_moment_of_a_day_at_the_limit_alarms_almost_never() -> None:
    """20 requests a second for a day, seen as minutes, in 25 days; the promise is 1 % over the whole life."""
    rng = np.random.default_rng(16)
    alarms = 0
    for _ in range(25):
        errors = rng.binomial(1200, 0.01, 1440)
        day = [
            Block(start_s=60 * index, request_count=1200, error_count=one, error_run_count=one)
            for index, one in enumerate(errors.tolist())
        ]
        alarms += any(judged(day[:look], None).breached for look in range(240, 1441, 240))  # type: ignore[union-attr]
    assert alarms <= 1


def test_looking_at_a_window_that_moves_for_a_day_alarms_almost_never() -> None:
    rng = np.random.default_rng(18)
    alarms = 0
    for _ in range(10):
        errors = rng.binomial(1200, 0.01, 1440).tolist()
        day = [
            Block(start_s=60 * index, request_count=1200, error_count=one, error_run_count=one)
            for index, one in enumerate(errors)
        ]
        found = (
            next(judge_errors(LIMIT, window(), day[at : at + 5], earlier=at)) for at in range(0, 1435, 3)
        )
        alarms += any(one.breached for one in found)
    assert alarms <= 1
    bad = [Block(start_s=i, request_count=1200, error_count=60, error_run_count=57) for i in range(5)]
    assert next(judge_errors(LIMIT, window(), bad, earlier=130_000)).breached


def test_a_stable_version_that_fails_after_months_is_found_within_a_minute() -> None:
    day = [Block(start_s=60 * i, request_count=1200, error_count=6, error_run_count=6) for i in range(5000)]
    bad = Block(start_s=60 * 5000, request_count=600, error_count=60, error_run_count=55)
    found = judged([*day, bad], None)
    assert found is not None and found.breached


def test_bursts_of_the_stable_version_below_its_limit_are_no_breach() -> None:
    rng = np.random.default_rng(17)
    breaches = 0
    for _ in range(40):
        day = blocks(failures(rng, 20_000, 0.005, 20), 100)
        breaches += any(judged(day[:look], None).breached for look in range(20, 201, 20))  # type: ignore[union-attr]
    assert breaches <= 2


def test_runs_are_counted_and_a_breakdown_is_every_request_from_one_on() -> None:
    assert count_runs([]) == 0
    assert count_runs([True, True, False, True]) == 2
    ones = blocks(np.ones(6, dtype=bool), 2)
    assert breakdown(ones[:1], errors_of) is None
    assert breakdown(ones, errors_of) == Stretch(6, 6, 0)
    assert breakdown(ones, errors_of, usual_run=4) is None
    nearly = blocks(np.array([False] * 10 + ([True] * 9 + [False]) * 3), 10)
    assert breakdown(nearly, errors_of) == Stretch(30, 27, 1)


def errors_of(block: Block) -> int:
    return block.error_count


def test_a_canary_that_fails_nearly_always_is_found_though_its_failures_are_few_runs() -> None:
    failed = np.ones(200, dtype=bool)
    failed[::25] = False
    found = judged(blocks(failed[:60], 20), blocks(np.zeros(540, dtype=bool), 180))
    assert found is not None and found.breached


def test_a_block_that_fails_from_its_first_request_on_is_one_event_among_all_requests() -> None:
    """Its few trials are the outcome's doing, and no sign of little traffic."""
    canary = np.zeros(100, dtype=bool)
    canary[40:60] = True
    stable = np.zeros(900, dtype=bool)
    found = judged(blocks(canary, 20), blocks(stable, 180))
    assert found is not None and found.statistic_value < 2.5
