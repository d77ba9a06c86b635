"""What pages say: numbers, times, names, states and events, each in one way."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from penstock.base.clock import now_ms
from penstock.base.store.events import Event
from penstock.flows.production.overview import EndpointView, FindingView
from penstock.http.pages.runs.compare_views import compare_runs
from penstock.http.pages.runs.tables import commit_of, differing
from penstock.http.pages.telling.conditions import because, best_known, condition_of
from penstock.http.pages.telling.differences import beside
from penstock.http.pages.telling.formatting import (
    ago,
    column,
    columns,
    cut,
    natural,
    number,
    seconds,
    short,
    signed_column,
    visible,
)
from penstock.http.pages.telling.fragments import show
from penstock.http.pages.telling.markdown import markdown
from penstock.http.pages.telling.measures import beside_each_other
from penstock.http.pages.telling.states import state, tone
from penstock.http.pages.telling.timeline import answer_of_events, group_events
from penstock.monitoring.alerts import Alert
from penstock.tracking.entities import Run
from tables import table

EVENT: dict[str, Any] = {"actor": "controller", "summary": "s", "cause": {}, "before": {}, "after": {}}


def event(number_: int, kind: str, subject: str = "endpoint:delay", time_ms: int = 0, **more: Any) -> Event:
    return Event(**{**EVENT, "id": number_, "kind": kind, "subject": subject, "time_ms": time_ms, **more})


def view(health: str, *findings: FindingView, **more: Any) -> EndpointView:
    told: dict[str, Any] = {
        "name": "delay",
        "model": "late",
        "revision": 3,
        "reason": "kept every guardrail",
        "since_ms": 1,
    }
    return EndpointView(
        **{**told, "health": health, "routes": (), "findings": findings, "servers": {"u": "ready"}, **more}
    )


def breach(action: str, end_s: int) -> FindingView:
    return FindingView(
        kind="drift", name="temp", route="stable", breached=True, sentence="PSI is 3", state="breached",
        action=action, end_s=end_s,
    )  # fmt: skip


def test_none_nan_and_infinity_are_three_things() -> None:
    stored = 1.7976931348623157e308  # how a store says infinity
    assert [number(one) for one in (None, math.nan, math.inf, -math.inf, stored, -stored)] == [
        "–", "NaN", "∞", "−∞", "∞", "−∞",
    ]  # fmt: skip
    assert short(stored) == "∞"
    assert column([stored, 1.0, math.nan, None]) == ["∞", "1", "NaN", "–"]


@given(st.lists(st.one_of(st.none(), st.floats()), max_size=8))
def test_a_column_tells_every_number_that_is_not_zero_as_another_than_zero(
    values: list[float | None],
) -> None:
    texts = column(values)
    assert len(texts) == len(values)
    for value, text in zip(values, texts, strict=True):
        if value is not None and math.isfinite(value) and value != 0:
            assert any(digit in text for digit in "123456789∞"), (value, text)


@given(st.text(max_size=300), st.integers(3, 60))
def test_a_long_name_keeps_its_beginning_and_its_end(name: str, length: int) -> None:
    shown = visible(name)
    short_name = cut(name, length)
    assert len(short_name) <= length or short_name == shown
    if len(shown) > length:
        begin, _, end = short_name.rpartition("…")
        assert shown.startswith(begin)
        assert shown.endswith(end)


@given(st.text(max_size=60))
def test_nothing_unseen_is_left_in_a_shown_text(text: str) -> None:
    assert not set(visible(text)) & set(
        "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u200e\u200f\x00"
    )


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_every_duration_can_be_told(value: float) -> None:
    assert seconds(value)


def test_a_time_is_told_as_an_age_for_a_day_and_then_as_a_time() -> None:
    assert ago(now_ms() - 23 * 3_600_000) == "23 h ago"
    assert ago(now_ms() - 25 * 3_600_000).endswith("Z")


def test_only_what_was_judged_good_is_green_and_only_what_is_wrong_now_is_red() -> None:
    assert [state(word).tone for word in ("FINISHED", "FAILED", "refused", "rolled back", "unjudged", "idle")] == [
        "plain", "past", "past", "past", "plain", "plain",
    ]  # fmt: skip
    assert [state(word).tone for word in ("breached", "down", "healthy", "passed")] == [
        "bad",
        "bad",
        "good",
        "good",
    ]
    assert [tone(kind) for kind in ("guardrail.breached", "gate.passed", "alert.resolved")] == [
        "past",
        "good",
        "plain",
    ]


def test_markdown_shows_markup_as_text_and_asks_for_nothing() -> None:
    html = markdown(
        "# T\n<img src=x onerror=alert(1)> ![p](https://evil.example/x) [a](javascript:alert(1)) [b](https://example.org)\n\n"
        "| a |\n|--:|\n| 1 |\n\nev\u202eil"
    )
    for forbidden in ("<img", "<script", 'href="javascript', "style=", "\u202e", "onerror=alert(1)>"):
        assert forbidden not in html
    assert "<h2>T</h2>" in html
    assert 'href="https://example.org" rel="noreferrer nofollow"' in html
    assert "⟨U+202E⟩" in html


@table(
    ("one", "other", "shown"),
    [
        ('["a","b"]', '["a","b","late"]', ("2 in common", "2 in common and late")),
        ("[1, 2]", "[2, 3]", ("1 in common and 1", "1 in common and 3")),
        ('["a"]', '["b"]', ('["a"]', '["b"]')),
        ("[", "[1]", ("[", "[1]")),
        ("3", "4", ("3", "4")),
    ],
)
def test_lists_beside_each_other_show_what_only_one_has(one: str, other: str, shown: tuple[str, str]) -> None:
    assert beside(one, other) == shown


def test_nine_breaches_are_one_row_and_a_decision_keeps_its_own() -> None:
    breaches = [event(place, "guardrail.breached", time_ms=1000 * place) for place in range(20, 11, -1)]
    rows = group_events([*breaches, event(3, "endpoint.rolled_back"), event(2, "guardrail.breached")])
    assert [row.words for row in rows] == ["9 × limit breached", "rolled back", "limit breached"]
    assert rows[0].address == "/endpoints/delay"
    apart = [event(2, "guardrail.breached", time_ms=4_000_000), event(1, "guardrail.breached")]
    assert len(group_events(apart)) == 2


@pytest.mark.parametrize("action", ["alert", "rollback"])
def test_a_breach_is_red_where_it_calls_for_a_rollback_and_amber_where_it_only_alerts(action: str) -> None:
    now = now_ms()
    alert = Alert(
        id=1, fingerprint="f", endpoint="delay", name="n", labels={}, summary="s", starts_ms=now - 5000
    )
    told = condition_of(
        view("breached", breach(action, now // 1000), health_reason="PSI is 3"), [alert], [], now
    )
    assert told.state.tone == {"alert": "warn", "rollback": "bad"}[action]
    assert (told.wrong, told.since_ms, told.is_old) == ("PSI is 3", now - 5000, False)
    assert told.command.startswith(
        {"alert": "penstock monitor status", "rollback": "penstock rollback"}[action]
    )
    assert "kept every guardrail" not in told.wrong


def test_an_alert_that_is_open_is_told_also_where_nothing_is_judged_any_more() -> None:
    now = now_ms()
    alert = Alert(
        id=1, fingerprint="f", endpoint="delay", name="n", labels={"kind": "drift"}, summary="PSI of plan is 3",
        starts_ms=now - 5000,
    )  # fmt: skip
    told = condition_of(view("idle", health_reason="no traffic since noon"), [alert], [], now)
    assert (told.state.tone, told.since_ms) == ("warn", now - 5000)
    assert told.wrong == "PSI of plan is 3; the alert is still open; now idle: no traffic since noon"
    assert told.command == "penstock monitor status delay"
    clean = replace(alert, clean_ms=now - 10)
    assert condition_of(view("healthy"), [clean], [], now).state.tone != "warn"


def test_findings_on_traffic_of_long_ago_are_told_as_such() -> None:
    now = now_ms()
    told = condition_of(view("breached", breach("alert", now // 1000 - 33 * 60)), [], [], now)
    assert told.is_old
    assert told.traffic_ms is not None
    assert now - told.traffic_ms >= 32 * 60_000


def test_what_was_done_names_the_last_rollback_and_its_reason() -> None:
    found = {
        "findings": [{"breached": False, "sentence": "fine"}, {"breached": True, "sentence": "AUC is 0.52"}]
    }
    rollback = event(1, "endpoint.rolled_back", cause=found)
    events = [
        event(4, "retrain.waiting"),
        event(3, "endpoint.deployed"),
        event(2, "guardrail.breached"),
        rollback,
    ]
    told = condition_of(view("down", servers={}), [], events, now_ms())
    assert [one.kind for one in told.done] == ["retrain.waiting", "endpoint.deployed", "endpoint.rolled_back"]
    assert because(rollback) == "AUC is 0.52"
    assert told.command == "penstock serve"


def test_the_metric_that_guardrails_judge_is_told_first() -> None:
    judged = FindingView(kind="quality", name="brier", route="stable", breached=False, sentence="s")
    quality = {"accuracy": 0.7, "brier": 0.1, "roc_auc": 0.8}
    assert [name for name, _ in best_known(view("healthy", judged), quality)] == [
        "brier",
        "roc_auc",
        "accuracy",
    ]


def test_metrics_that_runs_share_are_compared_first_and_a_run_with_changes_says_so() -> None:
    first, second = (
        Run(id=name * 32, experiment="e", name=name, status="FINISHED", start_ms=0, commit="d738f522" * 5)
        for name in "ab"
    )
    first = replace(first, metrics={"alone": 1.0, "shared": 2.0, "zeal": 3.0}, dirty_digest="0" * 64)
    second = replace(second, metrics={"shared": 2.5, "zeal": 1.0})
    rows = compare_runs([first, second])
    assert [one.name for one in rows if one.kind == "metric"] == ["shared", "zeal", "alone"]
    assert commit_of(first) == "d738f522d7 + changes 00000000"
    (code,) = [one for one in rows if one.kind == "code"]
    assert code.differs, "one of them ran with changes that nobody committed"


def test_other_changes_that_nobody_committed_differ() -> None:
    first, second, same = (
        Run(
            id=name * 32,
            experiment="e",
            name=name,
            status="FINISHED",
            start_ms=0,
            commit="c" * 40,
            dirty_digest=digest * 32,
        )
        for name, digest in (("a", "1f"), ("b", "2e"), ("c", "1f"))
    )
    told = [("commit", "cccccccccc + changes 1f1f1f1f", "cccccccccc + changes 2e2e2e2e")]
    assert differing(first, second) == told
    assert differing(first, same) == []
    (code,) = [one for one in compare_runs([first, second]) if one.kind == "code"]
    assert code.differs


def test_a_state_tells_with_its_word_what_was_waived() -> None:
    assert "passed, 1 waived</span>" in show("passed", more=", 1 waived")


def test_numbers_of_a_column_have_the_same_decimals_and_what_is_very_small_is_told_by_itself() -> None:
    assert column([0.4, 0.04679, 1e-13, math.nan]) == ["0.4000", "0.0468", "1e-13", "NaN"]
    assert column([1.0, 0.9227]) == ["1.0000", "0.9227"]
    assert column([7251.0, 0.716, 0.0]) == ["7,251", "0.7160", "0.0000"]
    assert column([12_345.0, 812.5]) == ["12,345", "812"]
    assert signed_column([0.01231, 0.002355, 4.801e-05]) == ["+0.012310", "+0.002355", "+0.000048"]


@given(st.lists(st.floats(0.01, 0.999), min_size=2, max_size=8))
def test_ordinary_numbers_of_a_table_end_at_the_same_decimal(values: list[float]) -> None:
    rows = columns([values, list(reversed(values))])
    assert len({len(text.partition(".")[2]) for row in rows for text in row}) == 1


def test_metrics_of_versions_beside_each_other_have_the_same_decimals() -> None:
    rows = beside_each_other(
        {"auc": 0.7184, "loss": 0.1549}, {"auc": 0.716, "loss": 0.06467}, ["auc", "loss"]
    )
    assert [row[1:3] for row in rows] == [("0.7184", "0.7160"), ("0.1549", "0.0647")]
    assert [row[3] for row in rows] == ["+0.00240", "+0.09023"]


def test_events_are_told_in_a_sentence_what_went_wrong_first() -> None:
    events = [
        event(3, "endpoint.rolled_back"),
        event(2, "guardrail.breached"),
        event(1, "guardrail.breached"),
    ]
    assert answer_of_events(events) == (
        "3 events. What went wrong: 2 × limit breached, 1 × rolled back. The newest: s."
    )
    assert answer_of_events(events[:0]) == ""
    assert "nothing went wrong" in answer_of_events([event(1, "model.registered")])
    assert answer_of_events([event(1, "model.registered")], is_cut=True) == (
        "The newest 1 event, and nothing went wrong in them. The newest: s."
    )
    assert answer_of_events(events, is_cut=True, before=9).startswith(
        "The newest 3 events older than number 9. What went wrong in them: 2 × limit breached"
    )
    assert answer_of_events(events, before=9).startswith("3 events older than number 9. What")


@given(st.text(max_size=12), st.text(max_size=12))
def test_names_are_sorted_with_the_numbers_in_them_by_size(one: str, other: str) -> None:
    assert (natural(one) == natural(other)) is (one == other)
    assert (natural(one) < natural(other)) is not (natural(other) <= natural(one))
    assert sorted(["m112", "m0", "m14", "m105"], key=natural) == ["m0", "m14", "m105", "m112"]
