"""`calibration`: probabilities mean what they say: of the rows with a score of 0.3, three in ten are 1.

Source: Naeini, Cooper, Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015, section 3
(equal bins of the score, the mean score of each bin). The interval is the percentile bootstrap of the rows.
"""

from __future__ import annotations

import msgspec
import numpy as np

from penstock.registry.gates.asking import weigh
from penstock.registry.gates.check import Evidence, Floats, Gate, Outcome
from penstock.registry.gates.two_classes import score_two_classes


class CalibrationGate(msgspec.Struct, frozen=True, kw_only=True):
    """The expected calibration error over `bins` equal bins, at most `max_error`, and the Brier score, at most `max_brier`."""

    max_error: float | None = None
    max_brier: float | None = None
    bins: int = 15
    min_rows: int = 200
    resamples: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a check that cannot fail, and values outside their range."""
        limits = [one for one in (self.max_error, self.max_brier) if one is not None]
        if not limits or not all(0 < one < 1 for one in limits):
            raise ValueError("a calibration check needs `max_error` or `max_brier`, in (0, 1)")
        if self.bins < 2 or self.min_rows < 1 or self.resamples < 100:
            raise ValueError("`bins` is at least 2, `min_rows` at least 1, `resamples` at least 100")


def check_calibration(gate: CalibrationGate, evidence: Evidence) -> Outcome:
    """Compare the mean score of each bin with its share of ones.

    Raises:
        Invalid: the rows cannot be scored, or have more than two classes.
    """
    labels, scores = score_two_classes(evidence.held_out, "brier", "calibration")
    n = len(labels)
    if n < gate.min_rows:
        return Outcome("error", f"{n} held-out rows are too few, {gate.min_rows} are needed", n=n)
    if not (np.isin(labels, (0, 1)).all() and (scores >= 0).all() and (scores <= 1).all()):
        return Outcome("error", "the labels are not 0 and 1, or the scores no probabilities", n=n)
    error, bins = calibration_error(labels, scores, gate.bins)
    generator = np.random.default_rng(gate.seed)
    drawn = [
        calibration_error(labels[rows], scores[rows], gate.bins)[0]
        for rows in (generator.integers(0, n, n) for _ in range(gate.resamples))
    ]
    low, high = (float(one) for one in np.quantile(drawn, [0.025, 0.975]))
    squared = float(np.mean((scores - labels) ** 2))
    expected, within = [], True
    if gate.max_error is not None:
        expected.append(f"an error of at most {gate.max_error:g}")
        within = error <= gate.max_error
    if gate.max_brier is not None:
        expected.append(f"a Brier score of at most {gate.max_brier:g}")
        within = within and squared <= gate.max_brier
    words = " and ".join(expected)
    return Outcome(
        "pass" if within else "fail",
        f"scores are off by {error:.4f} on average, Brier score {squared:.4f}, must be {words}",
        observed=error,
        expected=words,
        n=n,
        interval=(low, high),
        evidence={"brier": squared, "bins": bins},
    )


def calibration_error(labels: Floats, scores: Floats, bins: int) -> tuple[float, list[dict[str, float]]]:
    """Return the mean gap between score and share of ones, weighed by rows, and each bin that has rows."""
    index = np.minimum((scores * bins).astype(np.int64), bins - 1)
    count = np.bincount(index, minlength=bins).astype(np.float64)
    mean_score = np.bincount(index, scores, bins) / np.maximum(count, 1)
    share = np.bincount(index, labels, bins) / np.maximum(count, 1)
    error = float((count * np.abs(mean_score - share)).sum() / max(len(labels), 1))
    rows = np.flatnonzero(count)
    told = [
        {"n": float(count[one]), "score": float(mean_score[one]), "share": float(share[one])} for one in rows
    ]
    return error, told


GATE = Gate(
    settings=CalibrationGate,
    check=check_calibration,
    title=lambda gate: "calibration",
    weighed=weigh(
        max_error="higher", max_brier="higher", bins="lower", min_rows="lower", resamples="lower", seed="any"
    ),
)
