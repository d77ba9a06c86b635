"""Errors of a regression without labels: as the labels then say where inputs moved, and told where that is not so."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from penstock.monitoring.bins import edges_of
from penstock.monitoring.estimating.estimated import Estimated, estimate_errors
from penstock.monitoring.estimating.losses import find_losses, fit_losses, keep_losses
from penstock.monitoring.profile import Profile
from penstock.monitoring.quality.measures import Quality
from penstock.monitoring.variation import reference_profile

Floats = npt.NDArray[np.float64]
Columns = dict[str, npt.NDArray[np.generic]]


def flights(
    rng: np.random.Generator, rows: int, wind: float = 0.0, night: float = 0.3
) -> tuple[Columns, Floats, Floats]:
    """Return inputs, a model's answers and the truth: by night and in wind the model is further off."""
    windy, hour = (
        rng.gamma(2 + wind, 1, rows),
        np.where(rng.random(rows) < night, "night", "day").astype(object),
    )
    answers = 10 + 2 * windy
    truth = answers + rng.normal(0, 1, rows) * (0.5 + windy) * np.where(hour == "night", 2.0, 1.0)
    return {"wind": windy, "hour": hour}, answers, truth


def fitted(rng: np.random.Generator) -> Profile:
    trained, _, _ = flights(rng, 20_000)
    reference = reference_profile(trained)
    model = fit_losses(reference, *flights(rng, 8_000))
    assert model is not None
    keep_losses(reference, model)
    return Profile.from_bytes(reference.to_bytes())


def seen(reference: Profile, columns: Columns, answers: Floats) -> tuple[Profile, Profile]:
    features, outputs = Profile(edges=edges_of(reference)), Profile()
    features.update(columns)
    outputs.update({"prediction": answers})
    return features, outputs


def quality_of(answers: Floats, truth: Floats) -> Quality:
    quality = Quality()
    quality.add_values(answers, truth)
    return quality


def estimated(
    reference: Profile, window: tuple[Profile, Profile], quality: Quality | None = None
) -> Estimated:
    losses = find_losses(reference)
    assert losses is not None
    found = estimate_errors(losses, reference, window, quality)
    assert found is not None
    return found


def test_expected_errors_follow_the_inputs_and_are_what_the_labels_say_within_their_error() -> None:
    rng = np.random.default_rng(8)
    reference = fitted(rng)
    losses = find_losses(reference)
    assert losses is not None
    assert losses.absolute.explained_ratio > 0.1
    mean = losses.absolute.base
    beyond = 0
    for wind, night in ((0.0, 0.3), (1.0, 0.3), (0.0, 0.8), (-1.0, 0.1), (0.5, 0.5)):
        for _ in range(10):
            columns, answers, truth = flights(rng, 3_000, wind, night)
            found = estimated(reference, seen(reference, columns, answers))
            mae, error = found.metrics["mae"]
            off = float(np.abs(answers - truth).mean())
            beyond += abs(mae - off) > max(3 * error, 0.1 * off)
            assert abs(mae - off) < 0.2 * off + 3 * error, (wind, night, mae, off)
            if (wind, night) != (0.0, 0.3):
                assert abs(mae - off) < abs(mean - off), "nearer than what held-out rows say of all"
            assert found.metrics["rmse"][0] == pytest.approx(
                np.sqrt(np.mean((answers - truth) ** 2)), rel=0.3
            )
    assert beyond <= 5


def test_labels_say_how_far_the_expected_errors_were_off_and_whether_to_trust_them() -> None:
    rng = np.random.default_rng(9)
    reference = fitted(rng)
    columns, answers, truth = flights(rng, 3_000, 1.0)
    window = seen(reference, columns, answers)
    unchecked = estimated(reference, window)
    few = estimated(reference, window, quality_of(answers[:50], truth[:50]))
    good = estimated(reference, window, quality_of(answers, truth))
    otherwise = estimated(reference, window, quality_of(answers, truth + 20))
    assert [one.calibration for one in (unchecked, few, good, otherwise)] == [
        "unchecked",
        "unchecked",
        "good",
        "off",
    ]
    assert set(good.gaps) == {"mae", "rmse"} and abs(good.gaps["mae"]) < 0.5
    assert otherwise.gaps["mae"] < -10
    assert "too few labels came" in few.sentence and "not to be trusted" in otherwise.sentence
    assert "where labels came it was off: mae by" in good.sentence


def test_what_the_window_lacks_counts_as_missing_and_too_little_says_nothing() -> None:
    rng = np.random.default_rng(10)
    reference = fitted(rng)
    columns, answers, _ = flights(rng, 500)
    without = estimated(reference, seen(reference, {"wind": columns["wind"]}, answers))
    assert np.isfinite(without.metrics["mae"][0])
    losses = find_losses(reference)
    assert losses is not None
    assert estimate_errors(losses, reference, (Profile(), Profile())) is None
    assert estimate_errors(losses, reference, seen(reference, columns, answers[:20])) is None
    assert fit_losses(reference, *flights(rng, 100)) is None
    constant = reference_profile({"x": np.ones(1_000)})
    always = fit_losses(constant, {"x": np.ones(1_000)}, np.full(1_000, 3.0), np.full(1_000, 3.0))
    assert always is not None
    keep_losses(constant, always)
    assert estimated(constant, seen(constant, {"x": np.ones(500)}, np.full(500, 3.0))).metrics["mae"] == (
        0.0,
        0.0,
    )


def test_an_estimate_is_held_to_the_labels_of_the_rows_that_they_are_of() -> None:
    rng = np.random.default_rng(12)
    reference = fitted(rng)
    losses = find_losses(reference)
    assert losses is not None
    calm, calm_answers, calm_truth = flights(rng, 3_000, 0.0)
    rough, rough_answers, _ = flights(rng, 3_000, 2.0)
    window, labels = seen(reference, rough, rough_answers), quality_of(calm_answers, calm_truth)
    mixed = estimate_errors(losses, reference, window, labels)
    held = estimate_errors(losses, reference, window, labels, seen(reference, calm, calm_answers))
    assert mixed is not None and held is not None
    assert (mixed.calibration, held.calibration) == ("off", "good")
    assert mixed.metrics == held.metrics
    wrong = quality_of(calm_answers, calm_truth + 20)
    found = estimate_errors(losses, reference, window, wrong, seen(reference, calm, calm_answers))
    assert found is not None and found.calibration == "off"
