"""Charts: time as it passed, limits, revisions named, curves over one another."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from penstock.flows.production.windows import WindowView
from penstock.http.pages.drawing.axes import Tick, axis, labels_apart, step_ticks, time_ticks
from penstock.http.pages.drawing.charts import WIDTH, Chart, Frame, Limit, bar_chart, line_chart
from penstock.http.pages.drawing.histories import history_chart
from penstock.http.pages.endpoint_views import limits_of
from penstock.http.pages.runs.compare_views import overlay
from penstock.monitoring.findings import Finding
from penstock.monitoring.policies import PolicyStep
from penstock.serving.deployments import Revision


def window(start_s: int, requests: int = 10, revision: int = 1, route: str = "stable") -> WindowView:
    return WindowView(
        start_s=start_s, end_s=start_s + 10, revision=revision, version=1, route=route, request_count=requests,
        error_count=0, error_ratio=0.0, row_count=requests, p50_ms=1.0, p99_ms=float(requests), label_count=0,
        nonfinite_row_count=0, quality={},
    )  # fmt: skip


def test_an_hour_without_traffic_is_an_hour_wide() -> None:
    windows = [window(0), window(10), window(3600), window(3610)]
    chart = line_chart("p99", "ms", windows, lambda one: one.p99_ms)
    assert chart is not None
    xs = [dot.x for dot in chart.series[0].dots]
    assert xs[1] - xs[0] < 2
    assert xs[2] - xs[1] > 300
    assert len(chart.series[0].lines) == 2  # a gap is no line


def test_every_revision_is_named_even_one_without_traffic() -> None:
    windows = [window(100 * place) for place in range(10)]
    frame = Frame.of(windows, [(0.0, "#1"), (500.0, "#2"), (501.0, "↩#3"), (1500.0, "#4")])
    chart = bar_chart("Requests", "n", windows, lambda one: one.request_count, frame)
    assert chart is not None
    assert " ".join(mark.text for mark in chart.marks if mark.text) == "#1 #2 ↩#3 #4"
    assert len(chart.marks) == 4


def test_a_limit_is_drawn_where_it_is_near_and_told_where_it_is_far() -> None:
    windows = [window(10 * place, requests=20) for place in range(5)]
    near = line_chart("p99", "ms", windows, lambda one: one.p99_ms, None, Limit(50.0, "50 ms"))
    far = line_chart("p99", "ms", windows, lambda one: one.p99_ms, None, Limit(5000.0, "5 s"))
    assert near is not None
    assert far is not None
    assert near.limit is not None
    assert near.limit.at is not None
    assert near.top <= near.limit.at <= near.base
    assert far.limit is not None
    assert far.limit.at is None
    assert "limit 5 s" in far.summary


def test_a_limit_is_drawn_where_nothing_was_observed_but_zeros() -> None:
    windows = [window(10 * place) for place in range(5)]
    chart = line_chart("Failed", "%", windows, lambda one: one.error_ratio, None, Limit(1.0, "1 %"))
    assert chart is not None
    assert chart.limit is not None
    assert chart.limit.at is not None
    assert chart.top <= chart.limit.at < chart.base


def test_labels_of_great_numbers_fit_beside_a_chart_and_differ() -> None:
    for most in (99_000, 120_000, 1_500_000, 2_000_000_000):
        chart = bar_chart("Requests", "n", [window(0, requests=most)], lambda one: one.request_count)
        assert chart is not None
        texts = [tick.text for tick in chart.y_ticks]
        assert max(map(len, texts)) <= 7, texts
        assert len(set(texts)) == len(texts)
    crowded = history_chart("seen", [(0, 1_000_000.0), (10, 1_000_900.0)])
    assert crowded is not None
    assert len({tick.text for tick in crowded.y_ticks}) == len(crowded.y_ticks)


@given(st.integers(0, 2**33), st.integers(1, 10**9))
def test_a_time_axis_has_at_most_five_round_moments_inside_it(begin: int, length: int) -> None:
    ticks = time_ticks(begin, begin + length)
    assert 1 <= len(ticks) <= 5
    assert all(begin <= moment <= begin + length for moment, _ in ticks)


@given(st.lists(st.floats(46, 410), max_size=12), st.sampled_from(["#", "↩#1"]))
def test_labels_never_overlap_nor_leave_the_chart_and_none_is_lost(places: list[float], begin: str) -> None:
    names = [f"{begin}{number}" for number in range(len(places))]
    shown = labels_apart([Tick(at, name) for name, at in zip(names, places, strict=True)], 410)
    assert [one.at for one in shown] == sorted(places)
    told = [one for one in shown if one.text]
    assert sorted(name for one in told for name in one.title.split(", ")) == sorted(names)
    ends = 0.0
    for one in told:
        length = 7.0 * len(one.text)
        first = one.at - 2 - length if one.is_end else one.at + 2
        assert ends <= first
        assert first + length <= 410
        ends = first + length


def test_three_rollouts_close_together_at_the_end_are_named_beside_each_other() -> None:
    far, *near = labels_apart(
        [Tick(60.0, "#1"), Tick(380.0, "#2"), Tick(388.0, "↩#3"), Tick(395.0, "#4")], 410
    )
    assert (far.text, far.is_end) == ("#1", False)
    assert [(one.text, one.is_end) for one in near] == [("", False), ("", False), ("#2 ↩#3 #4", True)]
    many = labels_apart([Tick(50.0 + place, f"#{place}") for place in range(40)], 410)
    assert [one.text for one in many if one.text] == ["#0 … #39"]
    assert "#17" in many[0].title


def test_curves_lie_over_one_another_and_skip_what_cannot_be_drawn() -> None:
    curves = {
        0: [(0, 1.0), (10, 0.1)],
        1: [(0, math.nan), (5, 0.5), (10, math.inf), (20, 0.01)],
        2: [(0, 1.0)],
    }
    chart = overlay("loss", curves, "by step")
    assert chart is not None
    assert [one.route for one in chart.series] == ["c0", "c1"]
    assert [tick.text for tick in chart.x_ticks] == ["0", "5", "10", "15", "20"]
    logarithmic = overlay("loss", {**curves, 3: [(0, -1.0), (1, 0.0)]}, "by step", is_logarithmic=True)
    assert logarithmic is not None
    assert len(logarithmic.series) == 2
    assert overlay("none", {0: [(0, 1.0)]}, "by step") is None


def test_a_curve_with_infinities_is_drawn_without_them() -> None:
    chart = history_chart(
        "loss", [(0, math.inf), (1, 0.5), (2, math.nan), (3, 0.25), (4, 1.7976931348623157e308)]
    )
    assert chart is not None
    assert len(chart.series[0].dots) == 2


def _boxes(chart: Chart) -> list[tuple[float, float]]:
    half = [7.0 * len(tick.text) / 2 for tick in chart.x_ticks]
    return [(tick.at - one, tick.at + one) for tick, one in zip(chart.x_ticks, half, strict=True)]


@given(st.integers(0, 2**33), st.integers(2, 3_000_000))
def test_labels_of_times_and_steps_never_overlap_nor_leave_the_chart(begin: int, length: int) -> None:
    for is_time in (False, True):
        chart = history_chart("loss", [(begin, 1.0), (begin + length, 2.0)], is_time=is_time)
        assert chart is not None
        boxes = _boxes(chart)
        assert all(before[1] < after[0] for before, after in itertools.pairwise(boxes)), boxes
        assert boxes[0][0] >= 0
        assert boxes[-1][1] <= WIDTH


@pytest.mark.parametrize(
    ("first", "last", "steps"),
    [
        (0, 3, [0, 1, 2, 3]),
        (0, 10, [0, 5, 10]),
        (1, 100, [20, 40, 60, 80, 100]),
        (0, 1, [0, 1]),
        (7, 7, [7]),
        (7, 8, [7, 8]),
    ],
)
def test_steps_on_an_axis_are_whole_and_evenly_apart(first: int, last: int, steps: list[int]) -> None:
    assert step_ticks(first, last) == steps


def test_small_numbers_fit_beside_a_chart() -> None:
    chart = history_chart("rate", [(0, 0.00001), (10, 0.000075)])
    assert chart is not None
    texts = [tick.text for tick in chart.y_ticks]
    assert "7.5e-5" in texts
    assert max(map(len, texts)) <= 7, texts


def test_numbers_below_a_millionth_are_no_flat_line_and_their_axis_begins_at_zero() -> None:
    chart = history_chart("rate", [(step, 1e-8 * (5 - step)) for step in range(5)])
    assert chart is not None
    assert [tick.text for tick in chart.y_ticks] == ["0", "2e-8", "4e-8", "6e-8"]
    heights = [float(point.partition(",")[2]) for point in chart.series[0].lines[0].split()]
    assert max(heights) - min(heights) > 50
    low, high, values = axis(5e-324, 5e-324)
    assert low < high and values == sorted(set(values))


def test_the_label_of_a_limit_lies_where_no_point_is() -> None:
    windows = [window(10 * place, requests=20 + place % 2 if place else 10) for place in range(12)]
    chart = line_chart("p99", "ms", windows, lambda one: one.p99_ms, None, Limit(20.0, "20 ms"))
    assert chart is not None
    limit = chart.limit
    assert limit is not None
    assert limit.at is not None
    assert limit.label_y > limit.at  # above it the values are
    assert limit.label_y <= chart.height


def test_the_label_of_a_limit_that_ended_among_values_stands_behind_it() -> None:
    windows = [window(10 * place, requests=16 + place % 10) for place in range(40)]
    windows.append(window(900, requests=30))
    limit = Limit(20.0, "20 ms", spans_s=((0.0, 400.0),))
    chart = line_chart("p99", "ms", windows, lambda one: one.p99_ms, None, limit)
    assert chart is not None
    assert chart.limit is not None
    assert chart.limit.label_x > chart.limit.lines[-1][1]


def test_a_limit_is_drawn_only_while_it_holds() -> None:
    windows = [window(10 * place) for place in range(11)]
    since = line_chart(
        "p99",
        "ms",
        windows,
        lambda one: one.p99_ms,
        None,
        Limit(12.0, "12 ms", spans_s=((0.0, 25.0), (55.0, 999.0))),
    )
    later = line_chart(
        "p99", "ms", windows, lambda one: one.p99_ms, None, Limit(12.0, "12 ms", spans_s=((500.0, 999.0),))
    )
    assert since is not None
    assert later is not None
    assert since.limit is not None
    middle, quarter = (since.left + since.right) / 2, (since.right - since.left) * 25 / 110 + since.left
    assert since.limit.lines == ((since.left, pytest.approx(quarter, abs=0.1)), (middle, since.right))
    assert later.limit is not None
    assert later.limit.at is None
    assert later.limit.untold == "set after this traffic"


def test_a_limit_against_the_version_itself_holds_while_it_is_stable() -> None:
    first, second = (
        Revision(
            endpoint="d", endpoint_id=1, number=number, model="late", stable=number, canary=None, shadows=(), steps=(),
            created_ms=1000 * number, actor="a", reason="r", previous=None, cause={},
        )
        for number in (1, 2)
    )  # fmt: skip
    steps = [
        PolicyStep(number=3, created_ms=1800, actor="a", guardrail_count=1, changes=("rollout.min_requests 1 → 2",)),
        PolicyStep(number=2, created_ms=1500, actor="a", guardrail_count=1, changes=("guardrails.0.errors 1 → 2",)),
        PolicyStep(number=1, created_ms=500, actor="a", guardrail_count=1, changes=()),
    ]  # fmt: skip
    told: dict[str, Any] = {
        "endpoint": "d", "revision": 2, "version": 2, "route": "stable", "start_s": 0, "end_s": 1, "count": 9,
        "statistic": "z", "statistic_value": 0.0, "breached": False, "sentence": "s",
    }  # fmt: skip
    findings = [
        Finding(**told, kind="errors", name="error_ratio", observed=0.0, limit=0.01),
        Finding(**told, kind="quality", name="roc_auc", observed=0.9, limit=0.05, against=0.9),
    ]
    found = limits_of(findings, "roc_auc", [second, first], steps)
    assert found["errors"] is not None
    assert found["errors"].spans_s == ((1.5, math.inf),)
    assert found["quality"] is not None
    assert found["quality"].spans_s == ((2.0, math.inf),)
    back = limits_of(findings, "roc_auc", [replace(first, number=3, created_ms=4000), second, first], steps)
    assert back["quality"] is not None
    assert back["quality"].spans_s == ((1.5, 2.0), (4.0, math.inf))
