"""The recorder and the label join behind a data plane, on a real store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.base.errors import Unavailable
from penstock.base.store.database import Database, connect, metadata
from penstock.flows.production.live.recording import LiveRecorder
from penstock.monitoring.profile import NumberColumn
from penstock.monitoring.quality.counts import request_number
from penstock.monitoring.quality.labels import score
from penstock.monitoring.quality.measures import Quality
from penstock.monitoring.settings import MonitorSettings
from penstock.monitoring.windows import Window, list_windows, recent
from penstock.serving.classes import Served
from penstock.serving.predictions.encoding import decode_columns
from penstock.serving.predictions.ids import PredictionId
from penstock.serving.predictions.stored import list_predictions
from penstock.serving.recorder import Exchange, Label, LabelCounts

TIME_MS = 1_700_000_040_000


def make_id(counter: int, time_ms: int = TIME_MS) -> PredictionId:
    return PredictionId(time_ms, 1, 1, "stable", 1, counter)


def observe(counter: int, probabilities: list[float], **changes: Any) -> Exchange:
    identity = make_id(counter, changes.get("time_ms", TIME_MS))
    scores = np.array(probabilities)
    values: dict[str, Any] = {
        "endpoint": "delay",
        "revision": 1,
        "version": 3,
        "route": "stable",
        "time_ms": TIME_MS,
        "id": identity.encode(),
        "counter": counter,
        "inputs": {"hour": np.arange(len(scores))},
        "outputs": {"probability": scores},
        "row_count": len(scores),
        "latency_s": 0.003,
    }
    return Exchange(**{**values, **changes})


def label(counter: int, values: list[Any]) -> Label:
    identity = make_id(counter)
    return Label(identity, identity.encode(), values)


@pytest.fixture
def recorder(database: Database) -> Iterator[LiveRecorder]:
    made = LiveRecorder(database, 1, {"delay": MonitorSettings(feature_ratio=1.0)}, flush_s=3600)
    yield made
    made.close()


def window(database: Database) -> Window:
    with database.read() as connection:
        (found,) = list_windows(connection, "delay")
    return found


def test_what_was_recorded_becomes_a_window(recorder: LiveRecorder, database: Database) -> None:
    recorder.record(observe(1, [0.2, 0.8]))
    recorder.flush()
    recorder.record(observe(2, [0.4]))
    recorder.record(observe(3, [0.4], outputs={}, error="model"))
    recorder.flush()
    found = window(database)
    assert (found.request_count, found.error_count, found.row_count) == (3, 1, 4)
    assert (found.key.start_s, found.window_s) == (TIME_MS // 1000 // 60 * 60, 60)
    assert found.features.row_count == 4
    assert found.outputs.row_count == 3
    assert found.quantile_s(0.5) == pytest.approx(0.003, rel=0.06)
    with database.read() as connection:
        assert recent([found], "stable", 5) is not None
        assert recent([found], "canary", 5) is None
        (stored,) = list_predictions(connection, [make_id(2).encode()])
    assert decode_columns(stored.outputs)["probability"].tolist() == [0.4]
    assert stored.features is not None


def test_a_label_joins_a_prediction_that_was_not_yet_written(
    recorder: LiveRecorder, database: Database
) -> None:
    recorder.record(observe(1, [0.9]))
    assert recorder.add_labels("delay", [label(1, [1])]) == LabelCounts(accepted=1)
    recorder.flush()
    found = window(database)
    assert (found.request_count, found.quality.label_count) == (1, 1)
    assert found.quality.brier() == pytest.approx(0.01)


def test_labels_reach_the_window_of_their_prediction_also_from_another_process(
    recorder: LiveRecorder, database: Database
) -> None:
    recorder.record(observe(1, [0.9]))
    recorder.flush()
    other = LiveRecorder(database, 2, flush_s=3600)
    assert other.add_labels("delay", [label(1, [1])]).accepted == 1
    other.close()
    assert recorder.add_labels("delay", [label(1, [1])]).duplicate == 1
    assert window(database).quality.label_count == 1


def test_unknown_predictions_and_wrong_row_counts_are_told(recorder: LiveRecorder) -> None:
    recorder.record(observe(1, [0.9, 0.1]))
    counts = recorder.add_labels("delay", [label(1, [1]), label(2, [1])])
    assert (counts.unknown, counts.misfit, list(counts.reasons.values())) == (1, 1, ["1 label for 2 rows"])


def test_a_shadow_is_judged_by_the_same_labels(recorder: LiveRecorder, database: Database) -> None:
    recorder.record(observe(1, [0.9]))
    recorder.record(observe(1, [0.1], version=4, route="shadow"))
    assert recorder.add_labels("delay", [label(1, [1])]) == LabelCounts(accepted=1)
    recorder.flush()
    with database.read() as connection:
        briers = {one.key.version: one.quality.brier() for one in list_windows(connection, "delay")}
        assert len(list_predictions(connection, [make_id(1).encode()])) == 2
    assert briers == {3: pytest.approx(0.01), 4: pytest.approx(0.81)}


def test_a_flush_that_fails_is_repeated_and_counts_once(database: Database) -> None:
    made = LiveRecorder(database, 1, flush_s=3600)
    made.record(observe(1, [0.5]))
    metadata.tables["windows"].drop(database.engine)
    with pytest.raises(Unavailable):
        made.flush()
    metadata.create_all(database.engine)
    made.record(observe(2, [0.5]))
    made.flush()
    made.close()
    assert window(database).request_count == 2


def test_a_wait_for_the_store_is_told_and_so_is_its_end(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "penstock")
    metadata.tables["windows"].drop(database.engine)
    made = LiveRecorder(database, 1, flush_s=0.02)
    made.record(observe(1, [0.5]))
    deadline = time.monotonic() + 60
    while "wait for the store: " not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.01)
    metadata.create_all(database.engine)
    while "no longer, what waited is written" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.01)
    made.close()
    assert caplog.text.count("no longer, what waited is written") == 1
    assert window(database).request_count == 1


def test_answers_that_are_no_numbers_are_counted_by_request_and_by_row(
    recorder: LiveRecorder, database: Database
) -> None:
    good, none, mostly = [0.5] * 200, [float("nan")], [0.5, float("inf")]
    for counter, scores in enumerate((good, none, mostly, [*good, float("nan")], none), start=1):
        recorder.record(observe(counter, scores))
    recorder.record(observe(9, [0.5], outputs={}, error="model"))
    recorder.flush()
    found = window(database)
    assert (found.nonfinite_count, found.nonfinite_run_count, found.nonfinite_row_count) == (3, 2, 4)


def test_a_run_of_answers_that_are_no_numbers_does_not_wait_for_the_flush(database: Database) -> None:
    made = LiveRecorder(database, 1, {"delay": MonitorSettings(flush_s=600)}, flush_s=600)
    for counter in range(1, 4):
        made.record(observe(counter, [float("nan")]))
    while not _is_written(database):
        time.sleep(0.02)
    made.close()
    assert window(database).nonfinite_count == 3


def test_features_are_counted_at_the_edges_of_the_reference(
    recorder: LiveRecorder, database: Database
) -> None:
    recorder.mark(Served("delay", 1, 3), {"hour": np.array([0.0, 1.0])})
    for counter in (1, 2):
        recorder.record(observe(counter, [0.1, 0.2, 0.3]))
        recorder.flush()
    column = window(database).features.column("hour")
    assert isinstance(column, NumberColumn) and column.marks is not None
    assert column.marks.counts.tolist() == [0, 2, 0, 2, 2]


def _is_written(database: Database) -> bool:
    with database.read() as connection:
        return bool(list_windows(connection, "delay"))


events = st.lists(
    st.tuples(st.integers(1, 5), st.lists(st.sampled_from([0, 1, None]), min_size=2, max_size=2)), max_size=15
)


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(events, st.lists(st.booleans(), min_size=15, max_size=15))
def test_the_last_labels_hold_however_they_come(
    tmp_path_factory: pytest.TempPathFactory, arrivals: list[tuple[int, list[Any]]], flushes: list[bool]
) -> None:
    store = connect(f"sqlite:///{tmp_path_factory.mktemp('join')}/store.db")
    metadata.create_all(store.engine)
    recorder = LiveRecorder(store, 1, flush_s=3600)
    held: dict[tuple[int, int], int] = {}
    for counter in range(1, 6):
        recorder.record(observe(counter, [0.3, 0.7]))
    for (counter, values), is_flushed in zip(arrivals, flushes, strict=False):
        if is_flushed:
            recorder.flush()
        counts = recorder.add_labels("delay", [label(counter, values)])
        said = {(counter, row): value for row, value in enumerate(values) if value is not None}
        new = {place for place in said if place not in held}
        changed = {place for place, value in said.items() if held.get(place, value) != value}
        held |= said
        outcome = "corrected" if changed else "accepted" if new else "duplicate" if said else "misfit"
        assert counts == LabelCounts(**{outcome: 1}, reasons=counts.reasons)
        assert bool(counts.reasons) is (outcome == "misfit")
    for counter in range(1, 6):
        known = [held.get((counter, row)) for row in (0, 1)]
        again = recorder.add_labels("delay", [label(counter, known)])
        assert (again.duplicate, again.misfit) == ((0, 1) if known == [None, None] else (1, 0))
    recorder.close()
    quality = window(store).quality
    assert quality.label_count == len(held)
    assert quality.positive_count == sum(held.values())
    said_of = {pair: counts.tolist() for pair, counts in quality.classes.items()}
    assert said_of == {pair: counts.tolist() for pair, counts in once(held).classes.items()}
    assert quality.left_out == 0
    np.testing.assert_allclose(quality.sums, once(held).sums, atol=1e-9)
    np.testing.assert_array_equal(quality.fine, once(held).fine if held else quality.fine)
    store.close()


def once(held: dict[tuple[int, int], int]) -> Quality:
    """Return what the labels that hold say when each came once."""
    made = Quality()
    for (counter, row), value in held.items():
        outputs = {"probability": np.array([(0.3, 0.7)[row]])}
        made = made.merge(score(outputs, [value], requests=[request_number(make_id(counter).encode())]))
    return made
