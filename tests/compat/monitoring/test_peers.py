"""Distances and quality without labels, beside NannyML, Evidently and scipy on the same data, within stated bounds."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facts import fact
from penstock.monitoring.bins import edges_of
from penstock.monitoring.drift import FeatureDrift, compare
from penstock.monitoring.estimating.estimated import estimate, estimate_errors
from penstock.monitoring.estimating.losses import fit_losses
from penstock.monitoring.profile import Profile
from penstock.monitoring.variation import reference_profile

SCRIPT = Path(__file__).with_name("ask_peers.py")
ROWS = 4_000
WINDOWS = ((0.0, 0.3), (1.0, 0.3), (0.0, 0.8), (-1.0, 0.1))


def columns_to_compare() -> dict[str, tuple[list[float], list[float]]]:
    """Return pairs of columns: no drift, a small one, a large one, a wider one, a skewed one."""
    rng = np.random.default_rng(21)
    normal = rng.normal(3, 2, ROWS)
    return {
        name: (before.round(6).tolist(), now.round(6).tolist())
        for name, before, now in (
            ("none", normal, rng.normal(3, 2, ROWS)),
            ("small", normal, rng.normal(3.4, 2, ROWS)),
            ("large", normal, rng.normal(6, 2, ROWS)),
            ("wider", normal, rng.normal(3, 4, ROWS)),
            ("skewed", rng.gamma(2, 5, ROWS), rng.gamma(3, 5, ROWS)),
        )
    }


def classified() -> tuple[dict[str, list[float]], list[float]]:
    """Return scores with labels that are calibrated, and later ones that are less sure."""
    rng = np.random.default_rng(22)
    scores = rng.beta(0.6, 0.6, 2 * ROWS).round(6)
    labels = (rng.random(2 * ROWS) < scores).astype(float)
    return {"score": scores.tolist(), "label": labels.tolist()}, rng.beta(2, 2, ROWS).round(6).tolist()


def regressed(rows: int, seed: int, wind: float = 0.0, night: float = 0.3) -> dict[str, list[float]]:
    """Return a regression's inputs, answers and truth: by night and in wind it is further off."""
    rng = np.random.default_rng(seed)
    windy, by_night = rng.gamma(2 + wind, 1, rows).round(6), (rng.random(rows) < night).astype(float)
    answer = 10 + 2 * windy
    truth = answer + (rng.normal(0, 1, rows) * (0.5 + windy) * (1 + by_night)).round(6)
    return {
        "wind": windy.tolist(),
        "night": by_night.tolist(),
        "answer": answer.tolist(),
        "label": truth.tolist(),
    }


def regressed_windows() -> list[dict[str, list[float]]]:
    return [regressed(ROWS, 40 + index, *moved) for index, moved in enumerate(WINDOWS)]


def peers() -> dict[str, Any]:
    """Return what the peers say of all of it."""

    def ask() -> object:
        reference, scores = classified()
        windows = [
            {name: one for name, one in window.items() if name != "label"} for window in regressed_windows()
        ]
        asked = {
            "distances": columns_to_compare(),
            "probabilities": {"reference": reference, "scores": scores},
            "losses": {"reference": regressed(3 * ROWS, 39), "windows": windows},
        }
        done = subprocess.run(
            [os.environ["PENSTOCK_NANNYML_PYTHON"], SCRIPT],
            input=json.dumps(asked), capture_output=True, text=True, check=True, timeout=300,
        )  # fmt: skip
        return json.loads(done.stdout.strip().splitlines()[-1])

    found: dict[str, Any] = fact(
        peers,
        ask,
        program="nannyml",
        inputs=(columns_to_compare, classified, regressed_windows, SCRIPT.read_text()),
    )
    return found


def drift_of(before: list[float], now: list[float]) -> FeatureDrift:
    reference = reference_profile({"x": np.array(before)})
    current = Profile(edges=edges_of(reference))
    current.update({"x": np.array(now)})
    (found,) = compare(reference, current)
    return found


def test_distances_are_those_of_the_peers_and_rank_columns_as_they_do() -> None:
    theirs = peers()["distances"]
    ours = {name: drift_of(*pair) for name, pair in columns_to_compare().items()}
    for name, (before, _) in columns_to_compare().items():
        mine, peer = ours[name], theirs[name]
        deviation = float(np.std(before))
        assert mine.ks is not None and mine.wasserstein is not None
        for measured in (peer["scipy ks"], peer["nannyml kolmogorov_smirnov"]):
            assert mine.ks == pytest.approx(measured, abs=0.015), (
                name
            )  # ours is less the sketches' error of 0.01
        for measured in (peer["scipy wasserstein"], peer["nannyml wasserstein"]):
            assert mine.wasserstein == pytest.approx(measured / deviation, abs=0.04), name
        assert mine.wasserstein == pytest.approx(peer["evidently wasserstein"], abs=0.04), name
        # bins differ: theirs are of equal width or other quantiles, ours the reference's deciles
        assert mine.jensen_shannon == pytest.approx(peer["nannyml jensen_shannon"], abs=0.1), name
        assert mine.jensen_shannon == pytest.approx(peer["evidently jensenshannon"], abs=0.1), name
    for measure in ("psi", "jensen_shannon", "wasserstein"):
        order = sorted(ours, key=lambda name: getattr(ours[name], measure))
        assert (order[0], order[1]) == ("none", "small"), measure
    for measure in ("evidently psi", "nannyml jensen_shannon", "evidently wasserstein"):
        order = sorted(theirs, key=lambda name: theirs[name][measure])
        assert (order[0], order[1]) == ("none", "small"), measure


def test_quality_estimated_from_probabilities_is_nannyml_s() -> None:
    _, scores = classified()
    profile = Profile()
    profile.update({"probability": np.array(scores)})
    found = estimate(profile)
    assert found is not None
    for name, value in peers()["probabilities"].items():
        assert found.metrics[name][0] == pytest.approx(value, abs=0.02), name


def test_errors_expected_without_labels_are_as_near_to_the_truth_as_nannyml_s() -> None:
    known = {name: np.array(values) for name, values in regressed(3 * ROWS, 39).items()}
    answers, labels = known.pop("answer"), known.pop("label")
    reference = reference_profile(known)
    losses = fit_losses(reference, known, answers, labels)
    assert losses is not None
    off: dict[str, list[float]] = {"ours": [], "theirs": []}
    for window, theirs in zip(regressed_windows(), peers()["losses"], strict=True):
        table = {name: np.array(values) for name, values in window.items()}
        said, truth = table.pop("answer"), table.pop("label")
        features, outputs = Profile(edges=edges_of(reference)), Profile()
        features.update(table)
        outputs.update({"prediction": said})
        found = estimate_errors(losses, reference, (features, outputs))
        assert found is not None
        mae = float(np.abs(said - truth).mean())
        assert found.metrics["mae"][0] == pytest.approx(theirs["mae"], rel=0.12)
        assert found.metrics["rmse"][0] == pytest.approx(theirs["rmse"], rel=0.3)
        off["ours"].append(abs(found.metrics["mae"][0] - mae) / mae)
        off["theirs"].append(abs(theirs["mae"] - mae) / mae)
    assert max(off["ours"]) < 0.12, off
    assert np.mean(off["ours"]) < np.mean(off["theirs"]) + 0.03, off
