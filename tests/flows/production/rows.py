"""Predictions with their features as rows of a real store: what the controller reads of whole rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flows.production.endpoints import World
from penstock.base.clock import now_ms
from penstock.monitoring.profile import Profile
from penstock.monitoring.rowwise.learned import learn
from penstock.monitoring.variation import reference_profile
from penstock.serving.predictions.encoding import encode_columns
from penstock.serving.predictions.ids import PredictionId
from penstock.serving.predictions.stored import Prediction, StoredLabel, add_labels, add_predictions

Columns = Mapping[str, np.ndarray]


def table(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Return two numbers that go together, and a text that says nothing of them."""
    wind = rng.normal(size=count)
    carrier = np.array(["AA", "UA", "DL"], dtype=object)[rng.integers(0, 3, count)]
    return {"wind": wind, "gust": wind + 0.3 * rng.normal(size=count), "carrier": carrier}


def learned(columns: Columns) -> Profile:
    """Return a reference as registering makes it."""
    profile = reference_profile(columns)
    profile.learned = learn(columns)
    return profile


def ask(
    world: World,
    features: Columns,
    outputs: Columns | None = None,
    labels: Sequence[Any] | None = None,
    *,
    ago_s: int = 10,
    route: str = "stable",
    slices: Sequence[str] = (),
) -> None:
    """Write a prediction a row, with its features and, where they are given, its answer and its label."""
    revision = world.current()
    version = revision.canary.version if route == "canary" and revision.canary else revision.stable
    count = len(next(iter(features.values())))
    given = outputs if outputs is not None else {"prediction": np.zeros(count)}
    time_ms, made = now_ms() - 1000 * ago_s, []
    for row in range(count):
        world.sequence += 1
        made.append(
            Prediction(
                id=PredictionId(time_ms, 1, revision.number, route, 7, world.sequence).encode(),  # type: ignore[arg-type]
                version=version,
                endpoint=revision.endpoint,
                revision=revision.number,
                route=route,
                window_start_s=time_ms // 1000,
                outputs=encode_columns({name: values[row : row + 1] for name, values in given.items()}),
                row_count=1,
                features=encode_columns({name: values[row : row + 1] for name, values in features.items()}),
                slices=encode_columns({name: features[name][row : row + 1] for name in slices})
                if slices
                else None,
            )
        )
    with world.project.database.write() as connection:
        add_predictions(connection, made)
        if labels is not None:
            add_labels(
                connection,
                [
                    StoredLabel(prediction_id=one.id, received_ms=time_ms + 1, values=[value])
                    for one, value in zip(made, labels, strict=True)
                ],
            )
