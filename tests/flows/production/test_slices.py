from __future__ import annotations

import numpy as np
import pytest
from starlette.testclient import TestClient

from flows.production.endpoints import World, scored
from flows.production.rows import ask
from penstock.base.clock import now_ms
from penstock.cli.production.monitor import _render
from penstock.flows.observing.reporting import report_endpoint
from penstock.flows.production.live.recording import LiveRecorder
from penstock.flows.production.live.summarising import prediction_of
from penstock.flows.production.looks import look_of
from penstock.flows.production.overview import overview
from penstock.flows.production.watching import look_around, observe
from penstock.http.app import build_server_app
from penstock.monitoring.guardrails.limits import SliceSettings
from penstock.monitoring.quality.labels import score
from penstock.monitoring.reporting.markdown import endpoint_markdown
from penstock.monitoring.reporting.pages import render_endpoint
from penstock.monitoring.settings import MonitorSettings, PayloadSettings
from penstock.monitoring.windows import WindowKey
from penstock.processes.controller import ControllerLoop
from penstock.serving.predictions.encoding import decode_columns
from penstock.serving.predictions.ids import PredictionId
from penstock.serving.predictions.stored import list_labelled
from penstock.serving.recorder import Exchange, Label
from penstock.serving.workers import WorkerRevision, register_worker, report_revision

POLICY = """\
model: m@champion
monitor: {window_s: 1, windows: 10, slices: [{feature: carrier, min_labels: 100, most: 3}]}
guardrails:
  - slices: {metric: accuracy, max_drop: 0.1}
on_breach: [alert]
"""
QUALITY = """\
model: m@champion
monitor: {window_s: 1, windows: 2}
guardrails:
  - quality: {metric: accuracy, max_drop: 0.05, min_labels: 200}
on_breach: [alert]
"""
CARRIERS = np.array(["AA", "UA", "DL"], dtype=object)


def test_a_slice_that_is_answered_worse_is_told_in_status_metrics_and_an_alert(world: World) -> None:
    rng = np.random.default_rng(1)
    world.policy(POLICY)
    world.deploy(1)
    world.deploy(2)
    (waiting,) = observe(world.project, "delay").findings
    assert (waiting.kind, waiting.unjudged) == ("slices", "too_few")
    carrier = CARRIERS[rng.integers(0, 3, 900)]
    truth = rng.integers(0, 2, 900)
    wrong = rng.random(900) < np.where(carrier == "DL", 0.5, 0.1)
    answers = {"prediction": np.where(wrong, 1 - truth, truth)}
    ask(world, {"carrier": carrier}, answers, truth.tolist(), slices=("carrier",))
    seen = observe(world.project, "delay")
    (found,) = seen.findings
    assert (found.name, found.state) == ("carrier=DL", "breached"), found.sentence
    (view,) = overview(world.project)
    told = {one.value: one for one in view.routes[0].slices}
    assert set(told) == {"AA", "UA", "DL"} and sum(one.label_count for one in told.values()) == 900
    text = _render(view)
    assert "slice   stable: carrier DL: accuracy 0." in text and " ± " in text
    page = TestClient(build_server_app(world.project, ControllerLoop(world.project))).get("/endpoints/delay")
    assert 'data-key="slice-stable-carrier-DL"' in page.text and "Quality by slice" in page.text
    with world.project.database.read() as connection:
        look = look_of(seen, look_around(connection, now_ms()))
    assert len(look.routes[0].measures.slices) == 3
    assert [(one.kind, one.name, one.state) for one in look.guardrails] == [
        ("slices", "features", "breached")
    ]
    report = report_endpoint(world.project, "delay", now_ms() - 3_600_000)
    assert {one.value for one in report.slices} == {"AA", "UA", "DL"}
    assert [one.state for one in report.judged] == ["breached"]
    assert report.sentence.endswith(" Breached: slices on stable.")
    page, text = render_endpoint(report), endpoint_markdown(report)
    assert "<h2>Slices</h2>" in page and "<h2>Guardrails</h2>" in page
    assert "| carrier | DL | " in text and "where carrier=DL is" in text
    world.controller.tick()
    assert [one.labels["name"] for one in world.open_alerts()] == ["carrier=DL"]


def test_every_answer_keeps_what_slices_are_told_by_and_nothing_that_is_redacted() -> None:
    one = Exchange(
        endpoint="delay", revision=1, version=1, route="stable", time_ms=0, id="x", counter=1,
        inputs={"carrier": CARRIERS[:1], "user.plan": CARRIERS[:1], "wind": np.ones(1)},
        outputs={"prediction": np.zeros(1)}, row_count=1, latency_s=0.0,
    )  # fmt: skip
    monitor = MonitorSettings(
        feature_ratio=0.0,
        slices=(SliceSettings(feature="carrier"), SliceSettings(feature="user.plan")),
        payloads=PayloadSettings(redact=("plan",)),
    )
    kept = prediction_of(one, WindowKey("delay", 0, 1, 1, "stable"), monitor)
    assert kept.features is None and kept.slices is not None
    assert list(decode_columns(kept.slices)) == ["carrier"]


def test_a_drop_of_quality_says_whether_the_rows_or_their_meaning_changed(world: World) -> None:
    rng = np.random.default_rng(2)
    world.version(4, accuracy=0.95)
    world.policy(QUALITY)
    world.deploy(1)
    world.deploy(4)
    with world.project.database.write() as connection:  # it has been stable for a while
        connection.exec_driver_sql("UPDATE revisions SET created_ms = created_ms - 90000000")

    def asked(count: int, hard: float, ago_s: int) -> None:
        is_hard = rng.random(count) < hard
        truth = rng.integers(0, 2, count)
        wrong = rng.random(count) < np.where(is_hard, 0.5, 0.05)
        features = {"hard": is_hard.astype(float), "noise": rng.normal(size=count)}
        ask(world, features, {"prediction": np.where(wrong, 1 - truth, truth)}, truth.tolist(), ago_s=ago_s)

    asked(600, 0.1, 5000)
    asked(500, 0.9, 60)
    world.traffic("stable", 500, ago_s=70, quality=scored(500, 0.0, seed=1))
    world.controller.tick()
    (found,) = observe(world.project, "delay").findings
    assert found.state == "breached"
    assert "covariate drift: other rows are asked about (most: hard)" in found.sentence, found.sentence
    (view,) = overview(world.project)
    cause = view.routes[0].cause
    assert cause is not None and cause.verdict == "covariate"
    assert "why     stable: accuracy was" in _render(view)
    assert "covariate drift" in world.open_alerts()[0].summary


def test_why_a_regression_beyond_its_bound_got_worse_is_told_by_a_metric_of_numbers(world: World) -> None:
    rng = np.random.default_rng(4)
    world.version(4, mae=0.1)
    world.policy(QUALITY.replace("metric: accuracy, max_drop: 0.05, min_labels: 200", "metric: r2, min: 0.9"))
    world.deploy(1)
    world.deploy(4)
    with world.project.database.write() as connection:
        connection.exec_driver_sql("UPDATE revisions SET created_ms = created_ms - 90000000")

    def asked(noise: float, ago_s: int) -> None:
        x = rng.normal(size=400)
        ask(world, {"x": x}, {"prediction": x}, (x + noise * rng.normal(size=400)).tolist(), ago_s=ago_s)

    asked(0.1, 5000)
    asked(2.0, 60)
    x = rng.normal(size=400)
    worse = score({"prediction": x}, (x + 2 * rng.normal(size=400)).tolist())
    world.traffic("stable", 400, ago_s=70, quality=worse)
    (view,) = overview(world.project)
    cause = view.routes[0].cause
    assert cause is not None and cause.metric == "mae", view.routes[0].cause_untold


def test_labelled_answers_are_found_newest_or_oldest_first_among_those_of_others(world: World) -> None:
    rng = np.random.default_rng(3)
    world.policy(POLICY)
    world.deploy(1)
    world.deploy(2, endpoint="other")
    for ago_s in (50, 40, 30):
        ask(world, {"carrier": CARRIERS[rng.integers(0, 3, 400)]}, labels=[0] * 400, ago_s=ago_s)
    ask(world, {"carrier": CARRIERS[rng.integers(0, 3, 50)]}, ago_s=20)  # without labels
    now_s = now_ms() // 1000
    with world.project.database.read() as connection:
        for oldest, times in ((False, (30, 40)), (True, (50, 40))):
            found = list_labelled(
                connection, ("delay", 1, "stable"), "features", 1000 * (now_s - 60), 600, oldest=oldest
            )
            ages = [now_s - one.window_start_s for one in found]
            assert len({one.id for one in found}) == 600
            assert [round(age / 10) * 10 for age in (ages[0], ages[-1])] == list(times)
        assert list_labelled(connection, ("delay", 1, "stable"), "slices", 0, 600) == []
        assert list_labelled(connection, ("other", 2, "stable"), "features", 0, 600) == []


def test_a_relation_that_turned_within_the_windows_that_are_judged_is_told_as_concept_drift(
    world: World,
) -> None:
    """Requests of several rows, early ones and recent ones within a minute, through the recorder and its labels."""
    rng = np.random.default_rng(5)
    world.version(4, accuracy=0.95)
    monitor = MonitorSettings(window_s=10, feature_ratio=1.0)
    world.policy(QUALITY.replace("window_s: 1, windows: 2", "window_s: 10, feature_ratio: 1.0"))
    world.deploy(4)
    with world.project.database.write() as connection:
        connection.exec_driver_sql("UPDATE revisions SET created_ms = created_ms - 90000000")
    revision = world.current().number
    recorder = LiveRecorder(world.project.database, 5, {"delay": monitor}, flush_s=600)

    def asked(first: int, requests: int, ago_s: int, *, turned: bool) -> None:
        for counter in range(first, first + requests):
            time_ms = now_ms() - 1000 * ago_s + counter
            identity = PredictionId(time_ms, 1, revision, "stable", 5, counter)
            x = rng.normal(size=10)
            recorder.record(
                Exchange(
                    endpoint="delay", revision=revision, version=4, route="stable", time_ms=time_ms,
                    id=identity.encode(), counter=counter, inputs={"x": x, "noise": rng.normal(size=10)},
                    outputs={"prediction": (x > 0).astype(int)}, row_count=10, latency_s=0.001,
                )
            )  # fmt: skip
            given.append(
                Label(identity, identity.encode(), ((x > 0) ^ turned ^ (rng.random(10) < 0.05)).astype(int).tolist())
            )  # fmt: skip

    given: list[Label] = []
    try:
        asked(0, 12, 40, turned=False)
        recorder.flush()
        assert recorder.add_labels("delay", given).accepted == 12
        asked(100, 12, 15, turned=True)
        recorder.flush()
        recorder.add_labels("delay", given[12:])
        (few,) = overview(world.project)
        assert "not told: 120 of 150 " in few.routes[0].cause_untold and few.routes[0].cause is None
        assert "why     stable: not told: 120 of 150 early labelled rows" in _render(few)
        asked(200, 48, 39, turned=False)
        asked(300, 48, 14, turned=True)
        recorder.flush()
        recorder.add_labels("delay", given[24:])
    finally:
        recorder.close()
    (view,) = overview(world.project)
    cause = view.routes[0].cause
    assert cause is not None and cause.verdict == "concept", view.routes[0].cause_untold
    assert cause.n_before == cause.n_now == 600
    assert "concept drift" in view.findings[0].sentence


def test_quality_beyond_its_limit_and_not_surely_so_is_not_called_ok(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.serving.workers.ALIVE_MS", 600_000)
    world.policy(QUALITY.replace("max_drop: 0.05, min_labels: 200", "min: 0.8, min_labels: 50"))
    world.deploy(1)
    world.deploy(2)
    truth = np.zeros(100, dtype=np.int64)
    seen = score({"prediction": truth + (np.arange(100) < 23)}, truth.tolist())
    world.traffic("stable", 100, quality=seen)
    with world.project.database.write() as connection:
        number = register_worker(connection, host="a", pid=1, url="http://127.0.0.1:8080", time_ms=now_ms())
        said = WorkerRevision(
            endpoint="delay", revision=world.current().number, state="ready", message="", time_ms=now_ms()
        )
        report_revision(connection, number, said)
    (found,) = observe(world.project, "delay").findings
    assert found.is_inconclusive and found.state == "held", found.sentence
    (view,) = overview(world.project)
    assert "beyond  quality: stable version 2: live accuracy is 0.77 over 100 labels" in _render(view)
    assert view.health == "watching"
    words = "1 guardrail is beyond its limit and not surely so yet: stable version 2: live accuracy is 0.77"
    assert view.health_reason.startswith(words), view.health_reason
    with world.project.database.read() as connection:
        look = look_of(observe(world.project, "delay"), look_around(connection, now_ms()))
    assert [one.state for one in look.guardrails] == ["beyond"]
    page = TestClient(build_server_app(world.project, ControllerLoop(world.project))).get("/endpoints/delay")
    assert "beyond, not sure yet" in page.text and "1 guardrail is beyond its limit" in page.text
