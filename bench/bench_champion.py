"""How often the champion gate is wrong: simulations of its own comparisons, on one core.

Two modes at alpha = 0.05 on made-up held-out rows whose truth is known. `not_worse` must refuse an equal model in no
more than 5 % of sets, also over several metrics; `non_inferior` must pass one that is worse by exactly the margin in no
more than 5 %. Also told: how often a worse model is refused, and an equal one passed (power). `make bench-champion`
writes bench/results/champion.json; tests/stats/test_paired.py has the same cases in a smaller form.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from penstock.stats.paired import PairedTest, delong, holm, mcnemar, paired_means

RESULTS = Path(__file__).parent / "results" / "champion.json"
ALPHA = 0.05
Array = np.ndarray[Any, Any]
NORMAL = NormalDist()


class Case(NamedTuple):
    """Held-out sets: so many rows, the share of positives, and the rows of a group that share an effect."""

    name: str
    rows: int
    positives: float
    group: int

    @property
    def groups(self) -> Array | None:
        return None if self.group == 1 else np.repeat(np.arange(self.rows // self.group), self.group)


CASES = (
    Case("even classes", 1000, 0.5, 1),
    Case("few rows", 200, 0.5, 1),
    Case("2 % positives", 2000, 0.02, 1),
    Case("groups of 20", 2000, 0.3, 20),
    Case("groups of 100", 4000, 0.3, 100),
    Case("2 % positives in groups of 20", 4000, 0.02, 20),
)


def shared(rng: np.random.Generator, case: Case, weight: float = 0.3) -> Array:
    """Return unit noise, (rows,), of which rows of a group share the part `weight` of the variance."""
    own = rng.normal(size=case.rows)
    if case.group == 1:
        return own
    together = rng.normal(size=case.rows // case.group)[
        np.repeat(np.arange(case.rows // case.group), case.group)
    ]
    return math.sqrt(weight) * together + math.sqrt(1 - weight) * own


def labels_of(rng: np.random.Generator, case: Case) -> Array:
    """Return labels with at least twenty of either class, as the gate asks."""
    while True:
        cut = NORMAL.inv_cdf(1 - case.positives)
        labels = (shared(rng, case) > cut).astype(float)
        if 20 <= labels.sum() <= case.rows - 20:
            return labels


def accuracies(rng: np.random.Generator, case: Case, drop: float) -> PairedTest:
    """Compare a model that is right in 85 % of rows with one right in `drop` fewer."""
    both = shared(rng, case)
    ours, theirs = (
        (0.7 * both + math.sqrt(0.51) * shared(rng, case) < NORMAL.inv_cdf(0.85 - less)).astype(float)
        for less in (drop, 0.0)
    )
    return mcnemar(ours, theirs, groups=case.groups, alpha=ALPHA)


def areas(rng: np.random.Generator, case: Case, drop: float) -> PairedTest:
    """Compare scores with a true area of 0.8 with others of `drop` less, under shared noise."""
    labels, both = labels_of(rng, case), shared(rng, case)
    ours, theirs = (
        math.sqrt(2) * NORMAL.inv_cdf(0.8 - less) * labels + 0.7 * both + math.sqrt(0.51) * shared(rng, case)
        for less in (drop, 0.0)
    )
    return delong(labels, ours, theirs, groups=case.groups, alpha=ALPHA)


def means(rng: np.random.Generator, case: Case, drop: float) -> PairedTest:
    """Compare squared errors of 0.2 in the mean with others of `drop` more."""
    ours, theirs = (0.2 + more + 0.15 * shared(rng, case) for more in (drop, 0.0))
    return paired_means(ours, theirs, groups=case.groups, alpha=ALPHA)


METRICS: dict[str, Callable[[np.random.Generator, Case, float], PairedTest]] = {
    "accuracy": accuracies,
    "roc_auc": areas,
    "brier": means,
}


def simulate(rng: np.random.Generator, case: Case, metric: str, margin: float, count: int) -> dict[str, Any]:
    """Return how often each mode is wrong, and right, on so many held-out sets."""
    make = METRICS[metric]
    equal = [make(rng, case, 0.0) for _ in range(count)]
    worse = [make(rng, case, margin) for _ in range(count)]
    return {
        "case": case.name,
        "metric": metric,
        "margin": margin,
        "sets": count,
        "not_worse_refuses_equal": sum(one.p_worse < ALPHA for one in equal) / count,
        "non_inferior_passes_worse_by_margin": sum(one.low > -margin for one in worse) / count,
        "not_worse_refuses_worse_by_margin": sum(one.p_worse < ALPHA for one in worse) / count,
        "non_inferior_passes_equal": sum(one.low > -margin for one in equal) / count,
    }


def several(rng: np.random.Generator, case: Case, count: int) -> dict[str, Any]:
    """Return how often `not_worse` over three metrics refuses an equal model, with Holm's rule and without."""
    refused = alone = 0
    for _ in range(count):
        chances = {name: make(rng, case, 0.0).p_worse for name, make in METRICS.items()}
        refused += min(holm(chances).values()) < ALPHA
        alone += min(chances.values()) < ALPHA
    return {
        "case": case.name,
        "metric": "three at once",
        "sets": count,
        "not_worse_refuses_equal": refused / count,
        "without_holm": alone / count,
    }


def run(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Return all cases."""
    rng = np.random.default_rng(seed)
    found = []
    for case in CASES:
        found += [simulate(rng, case, metric, 0.05, count) for metric in METRICS]
        found.append(several(rng, case, count))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=2000)
    parser.add_argument("--no-write", action="store_true")
    given = parser.parse_args()
    started = time.perf_counter()
    found = run(given.sets)
    for one in found:
        print(json.dumps(one))
    limit = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / given.sets)
    wrong = [
        one
        for one in found
        if max(one["not_worse_refuses_equal"], one.get("non_inferior_passes_worse_by_margin", 0.0)) > limit
    ]
    print(
        f"{len(found)} cases in {time.perf_counter() - started:.0f} s, {len(wrong)} above 5 % beyond chance"
    )
    if not given.no_write:
        RESULTS.write_text(json.dumps({"alpha": ALPHA, "cases": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
