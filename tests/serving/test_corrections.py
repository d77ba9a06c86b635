"""Labels that are corrected: what replaces what, where it is counted, and what stays as history."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from penstock.base.clock import now_ms
from penstock.base.store.database import Database
from penstock.flows.chain.lineage import label_details
from penstock.flows.production.live import joining
from penstock.flows.production.live.recording import LiveRecorder
from penstock.monitoring.compaction import DAY_S, delete_windows, find_bundles, merge_bundle
from penstock.monitoring.quality.live import find_live_quality, labelled
from penstock.monitoring.settings import MonitorSettings
from penstock.monitoring.windows import Window, windows
from penstock.serving.predictions.ids import PredictionId
from penstock.serving.predictions.stored import list_labels
from penstock.serving.recorder import Exchange, Label, LabelCounts


def ask(
    recorder: LiveRecorder, counter: int, outputs: dict[str, Any], *, days_ago: int = 0, **more: Any
) -> Label:
    """Record a prediction and return its label, without values yet."""
    time_ms = now_ms() - 1000 * DAY_S * days_ago
    identity = PredictionId(time_ms, 1, 1, "stable", 1, counter)
    columns = {name: np.array(values) for name, values in outputs.items()}
    count = len(next(iter(columns.values())))
    recorder.record(
        Exchange(
            endpoint="delay", revision=1, route="stable", time_ms=time_ms,
            id=identity.encode(), counter=counter, inputs={"hour": np.arange(count)}, outputs=columns,
            row_count=count, latency_s=0.003, **{"version": 3, **more},
        )
    )  # fmt: skip
    return Label(identity, identity.encode(), [None] * count)


def say(label: Label, *values: Any, by: str | None = None) -> Label:
    return Label(label.id, label.text, list(values), by)


def judged(store: Database) -> Window:
    with store.read() as connection:
        found = labelled(connection, "delay", 3, since_s=0)
    assert found is not None
    return found


def tidy(store: Database) -> None:
    """Merge what is settled, as if a minute had passed since."""
    while True:
        with store.read() as connection:
            bundles = find_bundles(connection, now_ms() // 1000 + 180)
        if not bundles:
            return
        for one in bundles:
            with store.write() as connection:
                merge_bundle(connection, one)


def test_a_label_of_another_value_replaces_the_first_one_and_keeps_it_as_history(
    either_store: Database,
) -> None:
    recorder = LiveRecorder(either_store, 1, flush_s=3600)
    one = ask(recorder, 1, {"probability": [0.9]})
    assert recorder.add_labels("delay", [say(one, 1, by="ada")]) == LabelCounts(accepted=1)
    assert recorder.add_labels("delay", [say(one, True)]) == LabelCounts(duplicate=1)
    assert recorder.add_labels("delay", [say(one, 0, by="grace")]) == LabelCounts(corrected=1)
    assert recorder.add_labels("delay", [say(one, 7)]).misfit == 1
    recorder.close()
    quality = judged(either_store).quality
    assert (quality.label_count, quality.positive_count) == (1, 0)
    assert quality.brier() == pytest.approx(0.81)
    with either_store.read() as connection:
        history = [(stored.values, stored.sent_by) for stored in list_labels(connection, [one.text])]
        told = label_details(list_labels(connection, [one.text]))
    assert history == [([1], "ada"), ([0], "grace")]
    assert told["label"] == [0]
    assert [words.partition(" was")[0] for words in told["corrections"]] == ["label [1]"]
    assert told["corrections"][0].endswith("by grace")


def test_a_batch_is_corrected_row_by_row_and_the_others_stay(database: Database) -> None:
    recorder = LiveRecorder(database, 1, flush_s=3600)
    batch = ask(recorder, 1, {"prediction": [1.0, 2.0, 3.0]})
    answers = [
        recorder.add_labels("delay", [say(batch, *values)])
        for values in ((1.5, None, None), (None, 2.0, 3.0), (1.0, 2.0, None), (None, 4.0, None))
    ]
    assert [(one.accepted, one.corrected) for one in answers] == [(1, 0), (1, 0), (0, 1), (0, 1)]
    nothing = recorder.add_labels("delay", [say(batch, None, None, None)])
    assert (nothing.misfit, nothing.duplicate) == (1, 0)
    both = [say(batch, 2.0, None, None), say(batch, 1.0, None, None)]
    assert recorder.add_labels("delay", both) == LabelCounts(corrected=2)
    recorder.close()
    quality = judged(database).quality
    assert (quality.label_count, quality.metric("mae")[0]) == (3, pytest.approx(2 / 3))


def test_a_correction_moves_what_was_merged_to_hours_and_days(database: Database) -> None:
    recorder = LiveRecorder(database, 1, flush_s=3600)
    given = [
        ask(recorder, 10 * days + more, {"prediction": ["no"]}, days_ago=days)
        for days in (0, 5, 40)
        for more in range(3)
    ]
    recorder.add_labels("delay", [say(one, "no") for one in given])
    recorder.flush()
    tidy(database)
    with database.read() as connection:
        merged = {row.start_s: row.label_count for row in connection.execute(windows.select())}
    assert sum(merged.values()) == 9
    monitor = MonitorSettings(classes=("no", "yes"))
    recorder.watch({"delay": monitor})
    assert recorder.add_labels("delay", [say(one, "yes") for one in given[::3]]).corrected == 3
    assert judged(database).quality.accuracy() == pytest.approx(6 / 9)
    with database.read() as connection:
        newest = labelled(connection, "delay", 3, since_s=0, enough=(1, 1))
        starts = {row.start_s for row in connection.execute(windows.select())}
    assert newest is not None
    assert newest.quality.label_count == 3
    assert starts == set(merged)
    tidy(database)
    assert judged(database).quality.label_count == 9
    assert judged(database).quality.accuracy() == pytest.approx(6 / 9)
    recorder.close()


def test_nothing_is_taken_out_of_a_window_that_is_deleted(database: Database) -> None:
    recorder = LiveRecorder(database, 1, flush_s=3600)
    one = ask(recorder, 1, {"probability": [0.9]})
    recorder.add_labels("delay", [say(one, 1)])
    with database.write() as connection:
        delete_windows(connection, now_ms() // 1000 + 1)
    assert recorder.add_labels("delay", [say(one, 0)]).corrected == 1
    assert judged(database).quality.label_count == 1
    recorder.close()


def test_a_correction_that_fails_half_way_changes_nothing_and_is_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = LiveRecorder(database, 1, flush_s=3600)
    one = ask(recorder, 1, {"probability": [0.9]})
    recorder.add_labels("delay", [say(one, 1)])

    def fail(*_: object) -> None:
        raise RuntimeError("of no kind that is known")

    with monkeypatch.context() as broken:
        broken.setattr(joining, "add_partials", fail)
        assert recorder.add_labels("delay", [say(one, 0)]).misfit == 1
    assert judged(database).quality.positive_count == 1
    assert recorder.add_labels("delay", [say(one, 0)]) == LabelCounts(corrected=1)
    assert judged(database).quality.positive_count == 0
    recorder.close()


def test_a_label_is_of_the_classes_that_the_model_knows_whoever_recorded_it(database: Database) -> None:
    recorder = LiveRecorder(database, 1, flush_s=3600)
    asked = [ask(recorder, one, {"prediction": ["a"]}, classes=("a", "b", "c")) for one in (1, 2)]
    foreign = ask(recorder, 3, {"prediction": ["a"]}, version=4)
    recorder.close()
    other = LiveRecorder(database, 2, flush_s=3600)
    counts = other.add_labels("delay", [say(asked[0], "c"), say(asked[1], "d"), say(foreign, "d")])
    other.close()
    assert (counts.accepted, counts.misfit) == (2, 1)
    assert counts.reasons == {asked[1].text: "'d' is none of the classes a and b and c"}


def test_pages_tell_a_correction_at_once_though_they_keep_what_they_counted(database: Database) -> None:
    recorder = LiveRecorder(database, 1, flush_s=3600)
    given = [ask(recorder, counter, {"probability": [0.9]}) for counter in range(1, 4)]
    recorder.add_labels("delay", [say(one, 1) for one in given])
    recorder.flush()

    def told() -> tuple[int, float]:
        with database.read() as connection:
            found = find_live_quality(connection, "delay", 3, (60, 5_000))
        return found.label_count, found.metrics["accuracy"]

    assert told() == (3, 1.0)
    assert told() == (3, 1.0)
    assert recorder.add_labels("delay", [say(given[0], 0)]).corrected == 1
    recorder.flush()
    assert told() == (3, pytest.approx(2 / 3))
    recorder.close()
    with database.read() as connection:
        assert find_live_quality(connection, "delay", 4, (60, 5_000)).metrics == {}
