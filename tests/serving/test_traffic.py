from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.serving.deployments import Canary, Revision
from penstock.serving.traffic import choose_route, position, positions
from tables import table


def revision(percent: float | None) -> Revision:
    return Revision(
        endpoint="e",
        endpoint_id=1,
        number=1,
        model="m",
        stable=1,
        canary=None if percent is None else Canary(2, percent),
        shadows=(),
        steps=(),
        created_ms=0,
        actor="a",
        reason="r",
        previous=None,
        cause={},
    )


@table("percent", [0.5, 5, 10, 33.3, 50, 99])
@table("stride", [1, 2, 3, 7])
def test_the_canary_gets_its_percent_whatever_pattern_clients_have(percent: float, stride: int) -> None:
    routes = [choose_route(revision(percent), counter) for counter in range(0, 5000 * stride, stride)]
    assert routes.count("canary") / 5000 == pytest.approx(percent / 100, abs=0.005)


@given(st.text(), st.floats(0.01, 98), st.floats(0.01, 98))
def test_a_key_stays_on_the_canary_when_its_percent_grows(key: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    if choose_route(revision(low), 1, key) == "canary":
        assert choose_route(revision(high), 2, key) == "canary"


def test_without_a_canary_everything_is_stable() -> None:
    assert {choose_route(revision(None), counter) for counter in range(100)} == {"stable"}


def test_a_key_has_the_same_route_in_every_process_of_every_time() -> None:
    routes = "".join(choose_route(revision(50), 1, f"caller {number}")[0] for number in range(16))
    assert routes == "ssssscscsscsscss", "who restarts a server must not send its callers elsewhere"


@given(st.lists(st.integers(0, 2**53), max_size=50))
def test_many_requests_stand_where_each_of_them_does(counters: list[int]) -> None:
    assert positions(counters).tolist() == [position(one) for one in counters]
