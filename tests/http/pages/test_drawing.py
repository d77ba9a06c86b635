"""Charts: time as it passed, limits, revisions named, curves over one another."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from penstock.flows.production.windows import WindowView
from penstock.http.pages.drawing.axes import Tick, labels_apart, time_ticks
from penstock.http.pages.drawing.charts import Frame, Limit, bar_chart, line_chart
from penstock.http.pages.drawing.histories import history_chart
from penstock.http.pages.runs.compare_views import overlay


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
    assert [tick.text for tick in chart.x_ticks] == ["0", "10", "20"]
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
