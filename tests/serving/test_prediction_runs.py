"""Runs of a batch: a row of the store for many rows, each found, labelled and deleted by its own id, on both engines."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from penstock.base.store.database import Database, connect
from penstock.base.store.migrate import upgrade
from penstock.flows.production.live.joining import join_labels
from penstock.monitoring.settings import MonitorSettings
from penstock.serving.predictions.encoding import decode_columns, encode_columns
from penstock.serving.predictions.ids import PredictionId
from penstock.serving.predictions.runs import encode_run, nth_id, place_in
from penstock.serving.predictions.stored import (
    Prediction,
    add_predictions,
    delete_predictions,
    list_labels,
    list_predictions,
)
from penstock.serving.recorder import Label
from penstock.serving.told.events import Half, drop_halves, find_halves, keep_half
from servers.postgres import PostgresServer

FIRST = PredictionId(1_700_000_000_000, 3, 5, "stable", 4_000_003, 998)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('runs')}/penstock.db"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.new_schema()
    made = connect(url)
    upgrade(made)
    yield made
    made.close()


def stored(start: int, count: int) -> Prediction:
    first = msgspec.structs.replace(FIRST, counter=start)
    return Prediction(
        id=first.encode(), version=1, endpoint="late", revision=5, route="stable", window_start_s=1_700_000_000,
        outputs=encode_columns({"probability": (start + np.arange(count)) / 10_000}), row_count=count, is_run=True,
        features=encode_columns({"hour": np.arange(count)}),
    )  # fmt: skip


def test_ids_of_a_run_count_on_as_single_ids_do() -> None:
    for counter in (0, 998, (1 << 28) - 1500):
        first = msgspec.structs.replace(FIRST, counter=counter)
        ids = [one.tobytes().decode() for one in encode_run(first, 1500)]
        singles = [msgspec.structs.replace(first, counter=counter + row).encode() for row in range(1500)]
        assert ids == singles
        assert nth_id(ids[0], 77) == ids[77]
        assert place_in(ids[0], msgspec.structs.replace(first, counter=counter + 77)) == 77
    other = msgspec.structs.replace(FIRST, worker=1)
    assert place_in(FIRST.encode(), other) == -1


@pytest.mark.slow
def test_each_row_is_found_labelled_once_and_deleted_with_its_label(store: Database) -> None:
    ids = [one.tobytes().decode() for one in encode_run(FIRST, 2_000)]
    single = Prediction(
        id=msgspec.structs.replace(FIRST, worker=7).encode(), version=1, endpoint="late", revision=5, route="stable",
        window_start_s=1_700_000_000, outputs=encode_columns({"probability": np.array([0.5])}), row_count=1,
    )  # fmt: skip
    with store.write() as connection:
        add_predictions(connection, [stored(998, 1_000), stored(1_998, 1_000), single])
        add_predictions(connection, [stored(998, 1_000)])  # again, as after a kill
    wanted = [ids[0], ids[999], ids[1_000], ids[1_999], single.id]
    beyond = [
        msgspec.structs.replace(FIRST, counter=997).encode(),
        msgspec.structs.replace(FIRST, counter=2_998).encode(),
        msgspec.structs.replace(FIRST, worker=8).encode(),
        "no id",
    ]
    with store.write() as connection:
        found = {one.id: one for one in list_predictions(connection, [*wanted, *beyond], lock=True)}
        assert sorted(found) == sorted(wanted)
        values = [float(decode_columns(found[one].outputs)["probability"][0]) for one in wanted]
        assert values == [0.0998, 0.1997, 0.1998, 0.2997, 0.5]
        assert decode_columns(found[ids[999]].features or b"")["hour"].tolist() == [999]
        labels = [
            Label(msgspec.structs.replace(FIRST, counter=998 + row), ids[row], [row % 2])
            for row in range(0, 2_000, 7)
        ]
        counts = [
            join_labels(connection, "late", given, MonitorSettings(), (1, iter(range(start, start + 99))))
            for start, given in ((1, labels), (200, labels[:10]))
        ]
        assert [(one.accepted, one.duplicate, one.unknown) for one in counts] == [(286, 0, 0), (0, 10, 0)]
        assert len(list_labels(connection, ids)) == 286
        assert delete_predictions(connection, FIRST.time_ms + 1).rows == 3
        assert list_labels(connection, ids) == []
        assert list_predictions(connection, wanted) == []


@pytest.mark.slow
def test_halves_of_a_call_wait_for_each_other(store: Database) -> None:
    half = Half(call_id="c", side="request", time_ms=None, service=None, payload={"instances": [1]})
    with store.write() as connection:
        for _ in range(2):
            keep_half(connection, "late", half, 5)
        keep_half(connection, "late", msgspec.structs.replace(half, side="response", time_ms=9), 6)
        assert find_halves(connection, "late", "c") == {
            "request": (5, {"instances": [1]}), "response": (9, {"instances": [1]})
        }  # fmt: skip
        drop_halves(connection, "late", "c")
        assert find_halves(connection, "late", "c") == {}
