"""Predictions are deleted by their age, which their ids tell."""

from __future__ import annotations

from penstock.base.store.database import Database
from penstock.serving.predictions.ids import PredictionId
from penstock.serving.predictions.stored import (
    Prediction,
    StoredLabel,
    add_labels,
    add_predictions,
    delete_predictions,
    forget_features,
    list_labels,
    list_predictions,
)


def test_only_what_is_older_goes_with_its_labels(database: Database) -> None:
    ids = [PredictionId(time_ms, 7, 9, "canary", 3, 5).encode() for time_ms in (1000, 2000, 3000)]
    with database.write() as connection:
        for one in ids:
            row = Prediction(id=one, version=1, endpoint="e", revision=1, route="stable", window_start_s=0, outputs=b"", row_count=1, features=b"x")  # fmt: skip
            add_predictions(connection, [row])
            add_labels(connection, [StoredLabel(prediction_id=one, received_ms=1, values=[1])])
        assert forget_features(connection, 3000) == 2
        assert [row.features for row in list_predictions(connection, ids)] == [None, None, b"x"]
        assert delete_predictions(connection, 2000).rows == 1
        assert [row.id for row in list_predictions(connection, ids)] == ids[1:]
        assert [row.prediction_id for row in list_labels(connection, ids)] == ids[1:]
        assert delete_predictions(connection, 3001, limit=1).rows == 1
        assert delete_predictions(connection, 3001, limit=1).rows == 1
        assert delete_predictions(connection, 3001, limit=1).rows == 0
