"""`decide` without a store: case tables, and laws over whatever may be seen."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.flows.production.controlling.deciding import (
    FAILED,
    HELD,
    NOT_ROLLED_BACK,
    Advance,
    History,
    Look,
    RollBack,
    decide,
    subject_of,
)
from penstock.flows.production.progress import Tally
from penstock.monitoring.alerts import Alert, Subject
from penstock.monitoring.findings import Finding
from penstock.monitoring.settings import (
    EndpointSettings,
    GuardrailEntry,
    MonitorSettings,
    QualityLimit,
    RolloutSettings,
)
from penstock.serving.deployments import Canary, Revision

DAY_MS = 86_400_000
NOW_MS = 100 * DAY_MS
BOTH = EndpointSettings(model="m@champion", on_breach=("rollback", "alert"))


def revision(number: int, stable: int, canary: int | None = None, **values: Any) -> Revision:
    made: dict[str, Any] = {
        "endpoint": "delay",
        "endpoint_id": 1,
        "number": number,
        "model": "m",
        "stable": stable,
        "canary": Canary(canary, 20.0) if canary else None,
        "shadows": (),
        "steps": (50.0, 100.0) if canary else (),
        "created_ms": NOW_MS - 3_600_000,
        "actor": "person:ada",
        "reason": "",
        "previous": number - 1 or None,
        "cause": {},
    }
    return Revision(**{**made, **values})


def finding(route: str = "stable", version: int = 2, kind: str = "errors", **values: Any) -> Finding:
    made: dict[str, Any] = {
        "kind": kind,
        "endpoint": "delay",
        "revision": 2,
        "version": version,
        "route": route,
        "start_s": 0,
        "end_s": 60,
        "name": {"errors": "error_ratio", "quality": "roc_auc"}.get(kind, "x"),
        "observed": 0.5,
        "limit": 0.1,
        "count": 100,
        "statistic": "z",
        "statistic_value": 9.0,
        "breached": True,
        "sentence": f"{route} {kind}",
    }
    return Finding(**{**made, **values})


def look(current: Revision, *findings: Finding, **step: int) -> Look:
    return Look(current, findings, Tally(**step), NOW_MS)


def alert_about(subject: Subject, **values: Any) -> Alert:
    return Alert(
        id=7,
        fingerprint=subject.fingerprint,
        endpoint="delay",
        name=subject.name,
        labels=subject.labels,
        summary="",
        starts_ms=0,
        **values,
    )


def test_a_version_that_won_its_canary_is_rolled_back_like_any_other() -> None:
    won = revision(4, 3, kind="promoted", cause={"findings": [{"kind": "quality"}]})
    history = History((won, revision(3, 1, 3, kind="advanced"), revision(2, 1, 3), revision(1, 1)))
    action = decide(look(won, finding(version=3, kind="quality")), history, BOTH).action
    assert isinstance(action, RollBack)
    assert (action.stable, action.out) == (1, 3)


def test_a_canary_that_is_worse_than_allowed_and_not_surely_so_is_held_not_advanced() -> None:
    settings = EndpointSettings(
        model="m@champion",
        rollout=RolloutSettings(steps=(50, 100), min_requests=10, hold_s=0, min_labels=50),
        guardrails=(GuardrailEntry(quality=QualityLimit(metric="mae", max_drop=1000, min_labels=50)),),
    )
    current = revision(2, 1, 3)
    values: dict[str, Any] = {
        "kind": "quality",
        "name": "mae",
        "limit": 1000.0,
        "against": 8304.0,
        "breached": False,
    }
    worse = look(
        current, finding("canary", 3, observed=12_000.0, **values), request_count=100, label_count=61
    )
    assert decide(worse, History((current,)), settings).action is None
    within = look(
        current, finding("canary", 3, observed=8_900.0, **values), request_count=100, label_count=61
    )
    assert isinstance(decide(within, History((current,)), settings).action, Advance)


@pytest.mark.parametrize(
    ("revisions", "rolled_back", "reason"),
    [
        ([revision(3, 1, kind="rolled_back"), revision(2, 2), revision(1, 1)], (), "came_by_rollback"),
        ([revision(1, 2)], (), "nothing_before"),
        ([revision(2, 2, created_ms=NOW_MS - 90 * DAY_MS), revision(1, 1)], (), "long_stable"),
        ([revision(2, 2), revision(1, 1)], (("m", 1),), "all_rolled_back"),
    ],
)
def test_a_rollback_that_is_wanted_and_not_done_is_told_once_with_its_reason(
    revisions: list[Revision], rolled_back: tuple[tuple[str, int], ...], reason: str
) -> None:
    history = History(tuple(revisions), frozenset(rolled_back))
    seen = look(revisions[0], finding(version=revisions[0].stable))
    decision = decide(seen, history, BOTH)
    (told,) = decision.openings
    assert decision.action is None
    assert (told.subject.name, told.event, told.cause["reason"]) == (NOT_ROLLED_BACK, "endpoint.not_rolled_back", reason)  # fmt: skip
    known = msgspec.structs.replace(alert_about(told.subject))
    again = decide(seen, History(history.revisions, history.rolled_back, (known,)), BOTH)
    assert again.openings == ()
    calm = decide(look(revisions[0]), History(history.revisions, history.rolled_back, (known,)), BOTH)
    assert [one.alert.id for one in calm.closings] == [7]


def test_an_outage_of_everything_does_not_take_a_stable_version_of_90_days_back() -> None:
    old = revision(2, 2, created_ms=NOW_MS - 90 * DAY_MS)
    decision = decide(look(old, finding(), finding(kind="latency")), History((old, revision(1, 1))), BOTH)
    assert decision.action is None
    assert "stable for 90 days" in decision.openings[0].summary


def test_of_earlier_versions_one_that_was_rolled_back_is_passed_over() -> None:
    now = revision(4, 4)
    history = History((now, revision(3, 3), revision(2, 2), revision(1, 1)), frozenset({("m", 3)}))
    action = decide(look(now, finding(version=4)), history, BOTH).action
    assert isinstance(action, RollBack)
    assert action.stable == 2


@pytest.mark.parametrize(
    ("found", "settings", "expected"),
    [
        (finding("canary", 2), BOTH, RollBack),
        (finding("canary", 2), EndpointSettings(model="m@champion"), None),
        (finding("canary", 2, action="alert"), BOTH, None),
        (finding("canary", 2, action="rollback"), EndpointSettings(model="m@champion"), RollBack),
        (finding("stable", 1, action="rollback"), BOTH, None),
        (finding("canary", 2, kind="drift"), BOTH, RollBack),
    ],
)
def test_a_canary_goes_for_what_is_its_own_fault(
    found: Finding, settings: EndpointSettings, expected: Any
) -> None:
    now = revision(2, 1, 2)
    action = decide(look(now, found), History((now, revision(1, 1))), settings).action
    assert (type(action) if action else None) == expected


def test_drift_that_stable_shows_too_is_not_the_canarys_fault() -> None:
    now = revision(2, 1, 2)
    both = (finding("canary", 2, kind="drift"), finding("stable", 1, kind="drift"))
    assert decide(look(now, *both), History((now, revision(1, 1))), BOTH).action is None


GUARDED = EndpointSettings(
    model="m@champion",
    rollout=RolloutSettings(min_requests=500, hold_s=60),
    guardrails=(GuardrailEntry(quality=QualityLimit(metric="roc_auc", max_drop=0.1)),),
)
HELD_WELL = finding("canary", 2, kind="quality", breached=False)


@pytest.mark.parametrize(
    ("found", "step", "settings", "percent", "words"),
    [
        (HELD_WELL, {"request_count": 500, "label_count": 200}, GUARDED, 50, ""),
        (HELD_WELL, {"request_count": 87}, GUARDED, None, "waits: 87 of 500 requests, 0 of 200 labels; then it advances to 50 %"),
        (
            finding("canary", 2, kind="quality", breached=False, unjudged="too_few"),
            {"request_count": 500, "label_count": 200},
            GUARDED,
            None,
            "waits: quality roc_auc not judged yet; then it advances to 50 %",
        ),
        (
            finding("canary", 2, kind="drift", breached=False, unjudged="no_reference"),
            {"request_count": 500, "label_count": 200},
            GUARDED,
            None,
            "is held at 20 %: drift is not judged: canary drift",
        ),
        (
            finding("canary", 2, kind="drift", breached=False, unjudged="no_reference"),
            {"request_count": 500, "label_count": 200},
            msgspec.structs.replace(GUARDED, rollout=RolloutSettings(unjudged="allow")),
            50,
            "",
        ),
    ],
)  # fmt: skip
def test_a_canary_advances_only_on_what_was_judged(
    found: Finding, step: dict[str, int], settings: EndpointSettings, percent: float | None, words: str
) -> None:
    from penstock.flows.production.progress import progress_of

    now = revision(2, 1, 2)
    decision = decide(look(now, found, **step), History((now, revision(1, 1))), settings)
    assert (decision.action.percent if isinstance(decision.action, Advance) else None) == percent
    progress = progress_of(now, Tally(**step), [found], settings, NOW_MS)
    assert progress is not None
    assert not words or progress.sentence == words


def test_a_held_rollout_is_told_at_once_when_it_is_blocked_and_else_after_its_deadline() -> None:
    now = revision(2, 1, 2)
    history = History((now, revision(1, 1)))
    blocked = finding("canary", 2, kind="drift", breached=False, unjudged="no_reference")
    (told,) = decide(look(now, blocked), history, GUARDED).openings
    assert told.subject.name == HELD
    young = revision(2, 1, 2, created_ms=NOW_MS - 3_599_000)
    assert decide(look(young, HELD_WELL), history, GUARDED).openings == ()
    old = revision(2, 1, 2, created_ms=NOW_MS - 3_601_000)
    (late,) = decide(look(old, HELD_WELL), history, GUARDED).openings
    assert "0 of 500 requests, 0 of 200 labels" in late.summary


def test_a_second_breach_after_a_quiet_spell_is_news_again_and_a_short_one_is_not() -> None:
    now = revision(1, 2)
    told = alert_about(subject_of(finding()))
    fresh_s = NOW_MS // 1000 - 8
    breached, well = look(now, finding()), look(now, finding(breached=False, start_s=fresh_s))
    settings = EndpointSettings(model="m@champion", monitor=MonitorSettings(window_s=2))
    assert decide(breached, History((now,), alerts=(told,)), settings).news == ()
    assert decide(well, History((now,), alerts=(told,)), settings).marks == ((7, NOW_MS),)
    quiet = msgspec.structs.replace(told, clean_ms=NOW_MS - 3_000)
    assert not decide(well, History((now,), alerts=(quiet,)), settings).closings
    assert decide(breached, History((now,), alerts=(quiet,)), settings).marks == ((7, None),)
    over = msgspec.structs.replace(told, clean_ms=NOW_MS - 10_000)
    assert [one.reason for one in decide(well, History((now,), alerts=(over,)), settings).closings] == ["the guardrail holds again"]  # fmt: skip
    old = look(now, finding(breached=False, start_s=fresh_s - 5))
    assert not decide(old, History((now,), alerts=(over,)), settings).closings
    longer = msgspec.structs.replace(settings, monitor=MonitorSettings(window_s=2, resolve_windows=9))
    assert not decide(well, History((now,), alerts=(over,)), longer).closings
    assert len(decide(breached, History((now,)), settings).news) == 1


def test_a_measure_that_hovers_about_its_limit_is_told_once() -> None:
    now, alerts, told = revision(1, 2), (), []
    settings = EndpointSettings(model="m@champion", monitor=MonitorSettings(window_s=2))
    rng = np.random.default_rng(3)
    for second in range(600):
        psi = 0.095 + 0.02 * rng.normal() if second < 500 else 0.03
        time_ms = NOW_MS + 1000 * second
        seen = finding(kind="drift", observed=psi, breached=psi > 0.1, near=0.08 <= psi <= 0.1, start_s=time_ms // 1000 - 10)  # fmt: skip
        decision = decide(Look(now, (seen,), Tally(), time_ms), History((now,), alerts=alerts), settings)
        for _, clean_ms in decision.marks:
            alerts = (msgspec.structs.replace(alerts[0], clean_ms=clean_ms),)
        if decision.news:
            told.append(("firing", second))
            alerts = (alert_about(subject_of(seen)),)
        if decision.closings:
            told.append(("resolved", second))
            alerts = ()
    assert [one for one, _ in told] == ["firing", "resolved"]
    assert told[1][1] >= 510


def test_an_alert_stays_open_while_nothing_is_known_and_ends_with_its_version() -> None:
    now = revision(1, 2)
    told = alert_about(subject_of(finding()))
    silent = look(now, finding(breached=False, unjudged="no_traffic"))
    decision = decide(silent, History((now,), alerts=(told,)), BOTH)
    assert not decision.closings
    assert not decision.marks
    gone = decide(
        look(revision(2, 3), finding(version=3, breached=False)), History((now,), alerts=(told,)), BOTH
    )
    assert [one.reason for one in gone.closings] == ["version 2 is not stable any more"]


findings = st.builds(
    finding,
    st.sampled_from(["stable", "canary"]),
    st.integers(1, 3),
    st.sampled_from(["errors", "latency", "drift", "quality"]),
    breached=st.booleans(),
    action=st.sampled_from([None, "alert", "rollback"]),
    unjudged=st.sampled_from([None, "too_few", "no_reference"]),
).map(lambda one: msgspec.structs.replace(one, breached=one.breached and one.unjudged is None))
revisions = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.sampled_from(["deployed", "promoted", "rolled_back", "canary", "advanced", "shadowed"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
).map(
    lambda made: tuple(
        revision(number, stable, 9 if canary else None, kind=kind)
        for number, (stable, kind, canary) in reversed(list(enumerate(made, start=1)))
    )
)


@given(
    st.lists(findings, max_size=5),
    revisions,
    st.sampled_from([BOTH, GUARDED]),
    st.integers(0, 1000),
    st.booleans(),
)
def test_whatever_is_seen_the_laws_of_a_decision_hold(
    found: list[Finding], history: tuple[Revision, ...], settings: EndpointSettings, count: int, is_told: bool
) -> None:
    seen = Look(history[0], tuple(found), Tally(request_count=count, label_count=count), NOW_MS)
    first = decide(seen, History(history), settings)
    assert first == decide(seen, History(history), settings)
    if isinstance(first.action, RollBack):
        assert first.action.findings
        assert all(one.breached for one in first.action.findings)
        assert first.action.out in history[0].versions
        assert first.action.out != first.action.stable or first.action.model != history[0].model
    if isinstance(first.action, Advance):
        canary = [one for one in found if one.route == "canary"]
        assert not any(one.breached and one.kind != "drift" for one in canary)
        assert all(one.unjudged is None for one in canary)
        assert count >= settings.rollout.min_requests
    assert len({subject_of(one).fingerprint for one in first.news}) == len(first.news)
    told = tuple(
        msgspec.structs.replace(alert_about(one), id=index)
        for index, one in enumerate(
            [*map(subject_of, first.news), *(one.subject for one in first.openings)], start=1
        )
    )
    if is_told:
        second = decide(seen, History(history, alerts=told), settings)
        assert (second.news, second.openings) == ((), ())
        assert second.action == first.action
        assert not {one.alert.name for one in second.closings} - {"PenstockGuardrailBreached", FAILED}
