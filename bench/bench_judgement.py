"""How often the guardrails are wrong, and how much they need to be right: simulations on one core.

Calls the product's own judgement of made-up traffic: false rollbacks of rollouts without any difference,
requests until a worse canary is rolled back, false breaches of quality, false and found drift, and the
sketches against the exact values. `make bench-judgement` writes bench/results/judgement.json; the suite has
the same cases in a smaller form (tests/monitoring).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from judgement_of_rows import (
    causes_told,
    costs_of_rows,
    multivariate_alarms,
    multivariate_power,
    outlier_alarms,
    slice_alarms,
)
from scipy.signal import lfilter
from scipy.stats import ks_2samp

from penstock.monitoring.bins import NumberBins, edges_of
from penstock.monitoring.drift import compare
from penstock.monitoring.guardrails.blocks import Block
from penstock.monitoring.guardrails.drift import judge_drift
from penstock.monitoring.guardrails.errors import judge_errors
from penstock.monitoring.guardrails.latency import judge_latency
from penstock.monitoring.guardrails.limits import QualityLimit
from penstock.monitoring.guardrails.quality import judge_against_rival
from penstock.monitoring.latency import LatencyHistogram
from penstock.monitoring.profile import NumberColumn, Profile
from penstock.monitoring.quality.measures import Quality
from penstock.monitoring.settings import DriftLimit, ErrorsLimit, LatencyLimit
from penstock.monitoring.variation import reference_profile
from penstock.monitoring.windows import Window, WindowKey
from penstock.stats.classification import area
from penstock.stats.distances import population_stability

OF_ROWS = (multivariate_alarms, multivariate_power, outlier_alarms, slice_alarms, causes_told, costs_of_rows)
RESULTS = Path(__file__).parent / "results" / "judgement.json"
SHARE = 0.1
LOOKS = 50
LIMIT = ErrorsLimit(max_ratio=0.01)
Array = np.ndarray[Any, Any]


def window(route: str, **values: Any) -> Window:
    return Window(key=WindowKey("bench", 0, 1, 1, route), window_s=60, **values)


def live_profile(reference: Profile, columns: dict[str, Array], parts: int = 1) -> Profile:
    """Return rows as the recorder has them in a window: counted at the reference's edges, merged of parts."""
    edges, made = edges_of(reference), []
    for index in range(parts):
        made.append(Profile(edges=edges))
        made[-1].update({name: values[index::parts] for name, values in columns.items()})
    return reduce(Profile.merge, (Profile.from_bytes(one.to_bytes()) for one in made))


def failures(rng: np.random.Generator, looks: int, size: int, ratio: float, burst: int) -> Array:
    """Return requests and runs that fail in each look, `(looks, 2)`; a share `ratio` fails, in bursts."""
    count = looks * size
    if burst == 1:
        failed = rng.random(count, dtype=np.float32) < ratio
    else:
        starts = np.cumsum(rng.random(count + burst, dtype=np.float32) < ratio / burst)
        failed = starts[burst:] > starts[:-burst]
    begun = failed.copy()
    begun[1:] &= ~failed[:-1]
    return np.stack([one.reshape(looks, size).sum(axis=1) for one in (failed, begun)], axis=1)


def blocks(counts: Array, size: int) -> list[Block]:
    return [
        Block(start_s=index, request_count=size, error_count=int(errors), error_run_count=int(runs))
        for index, (errors, runs) in enumerate(counts)
    ]


def suspicious(canary: Array, stable: Array, size: int, others: int) -> list[int]:
    """Return the looks at which some stretch up to now is far above stable: only there can a breach be."""
    sums, other_sums = (np.cumsum(np.concatenate([[0], one[:, 1]])) for one in (canary, stable))
    found = []
    for look in range(1, len(canary) + 1):
        ours = sums[look] - sums[:look]
        both = ours + other_sums[look] - other_sums[:look]
        expected = both * size / (size + others)
        if ((ours - expected) >= 1.5 * np.sqrt(np.maximum(expected, 0.05))).any():
            found.append(look)
    return found


def rollback_look(canary: Array, stable: Array, size: int, others: int, step: int = 1) -> int | None:
    """Return the look that rolls the canary back, or None."""
    ours, theirs = blocks(canary, size), blocks(stable, others)
    for look in suspicious(canary, stable, size, others):
        if look % step == 0:
            found = next(judge_errors(LIMIT, window("canary"), ours[:look], theirs[:look]), None)
            if found is not None and found.breached:
                return look
    return None


def false_rollbacks(rng: np.random.Generator, scale: float) -> list[dict[str, Any]]:
    rows = []
    for burst in (1, 20):
        for ratio in (0.005, 0.01, 0.02, 0.05):
            for size in (20, 100, 1000):
                rollouts = max(20, round(scale * {20: 1000, 100: 600, 1000: 200}[size]))
                others = round(size * (1 - SHARE) / SHARE)
                false = sum(
                    rollback_look(
                        failures(rng, LOOKS, size, ratio, burst),
                        failures(rng, LOOKS, others, ratio, burst),
                        size,
                        others,
                    )
                    is not None
                    for _ in range(rollouts)
                )
                rows.append(
                    {
                        "base": ratio,
                        "burst": burst,
                        "look": size,
                        "rollouts": rollouts,
                        "false": false / rollouts,
                    }
                )
    return rows


def requests_to_rollback(rng: np.random.Generator, scale: float) -> list[dict[str, Any]]:
    rows = []
    for times, looks, size in ((10, 60, 20), (4, 250, 20), (2, 250, 100)):
        rollouts, others = max(20, round(scale * 200)), round(size * (1 - SHARE) / SHARE)
        found = [
            rollback_look(
                failures(rng, looks, size, 0.005 * times, 1),
                failures(rng, looks, others, 0.005, 1),
                size,
                others,
            )
            for _ in range(rollouts)
        ]
        done = [look * size for look in found if look is not None]
        rows.append(
            {
                "times": times,
                "look": size,
                "rollouts": rollouts,
                "found": len(done) / rollouts,
                "mean_requests": float(np.mean(done)) if done else math.nan,
            }
        )
    return rows


def slow_blocks(slow: Array, size: int) -> list[Block]:
    """Return requests as blocks of `size`; the slow ones take 200 ms, the others 10."""
    made = []
    for index, part in enumerate(np.split(np.where(slow, 0.2, 0.01), range(size, len(slow), size))):
        latency = LatencyHistogram()
        latency.update(part)
        made.append(Block(start_s=index, request_count=len(part), latency=latency))
    return made


def too_slow_look(limit: LatencyLimit, ours: list[Block], theirs: list[Block], size: int) -> int | None:
    """Return the look that rolls the canary back, or None; where no more are slow than are borne none can."""
    slow = np.array([block.latency.count_above(limit.limit_s) for block in ours])
    sums = np.cumsum(np.concatenate([[0], slow]))
    for look in range(1, len(ours) + 1):
        since = sums[look] - sums[:look]
        if (since > (1 - limit.rank) * size * np.arange(look, 0, -1)).any() and slow[look - 1]:
            found = next(judge_latency(limit, window("canary"), ours[:look], theirs[:look]), None)
            if found is not None and found.breached:
                return look
    return None


def stalls(rng: np.random.Generator, count: int, ratio: float, length: int) -> Array:
    starts = np.cumsum(rng.random(count + length, dtype=np.float32) < ratio / length)
    return np.asarray(starts[length:] > starts[:-length])


def slow_rollouts(rng: np.random.Generator, scale: float) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    limit = LatencyLimit(p99_ms=50)
    cases = [(0.01, 0.01, length, size) for length in (1, 10, 20) for size in (20, 100, 1000)]
    cases += [(share, 0.005, 1, 100) for share in (0.02, 0.05, 0.2)]
    for share, others, length, size in cases:
        rollouts = max(20, round(scale * {20: 400, 100: 300, 1000: 100}[size]))
        found = [
            too_slow_look(
                limit,
                slow_blocks(stalls(rng, LOOKS * size, share, length), size),
                slow_blocks(stalls(rng, 9 * LOOKS * size, others, length), 9 * size),
                size,
            )
            for _ in range(rollouts)
        ]
        done = [look * size for look in found if look is not None]
        rows.append(
            {
                "slow": share,
                "slow_on_stable": others,
                "in_a_row": length,
                "look": size,
                "rollouts": rollouts,
                "rolled_back": len(done) / rollouts,
                "mean_requests": float(np.mean(done)) if done else None,
            }
        )
    return rows


def scored(rng: np.random.Generator, rows: int, positives: float) -> tuple[Array, Array]:
    labels = (rng.random(rows) < positives).astype(float)
    logits = rng.normal(size=rows) + 1.2 * labels + np.log(positives / (1 - positives)) - 0.3
    return 1 / (1 + np.exp(-logits)), labels


def running(metric: str, scores: Array, labels: Array, size: int) -> tuple[Array, Array]:
    """Return a metric of the first rows after each look, and an error that its standard error never is below."""
    looks = len(labels) // size
    count = np.arange(1, looks + 1) * size
    if metric == "roc_auc":
        bins = np.minimum((scores * 1000).astype(int), 999)
        counts = np.zeros((2, looks, 1000))
        np.add.at(counts, (labels.astype(int), np.arange(len(labels)) // size, bins), 1)
        both = np.cumsum(counts, axis=1)
        found = np.nan_to_num(np.asarray(area(both[0], both[1])), nan=0.5)
        fewest = np.maximum(both.sum(axis=2).min(axis=0), 1)
        return found, np.sqrt(found * (1 - found) / (3 * fewest))
    losses = np.square(scores - labels) if metric == "brier" else ((scores >= 0.5) == (labels > 0.5)) * 1.0
    mean, squares = (np.cumsum(one)[size - 1 :: size] / count for one in (losses, np.square(losses)))
    return mean, np.sqrt(np.maximum(squares - mean * mean, 0) / count)


def false_quality(rng: np.random.Generator, scale: float) -> list[dict[str, Any]]:
    rows = []
    for positives in (0.2, 0.01, 0.005):
        for metric, max_drop in (("roc_auc", 0.03), ("accuracy", 0.005), ("brier", 0.003)):
            rollouts, false = max(20, round(scale * 300)), 0
            limit = QualityLimit(metric=metric, max_drop=max_drop, min_labels=200)
            for _ in range(rollouts):
                ours, theirs = scored(rng, 20 * LOOKS, positives), scored(rng, 180 * LOOKS, positives)
                (own, error), (other, _) = running(metric, *ours, 20), running(metric, *theirs, 180)
                drop = own - other if metric == "brier" else other - own
                for look in (np.flatnonzero(drop > max_drop + 1.5 * error) + 1).tolist():
                    live = window("canary", quality=Quality.of(*(one[: 20 * look] for one in ours)))
                    rival = window("stable", quality=Quality.of(*(one[: 180 * look] for one in theirs)))
                    found = next(judge_against_rival(limit, live, rival), None)
                    if found is not None and found.breached:
                        false += 1
                        break
            rows.append(
                {"positives": positives, "metric": metric, "rollouts": rollouts, "false": false / rollouts}
            )
    return rows


def column(kind: str) -> Callable[[np.random.Generator, int], Array]:
    def independent(rng: np.random.Generator, count: int) -> Array:
        return rng.normal(size=count)

    def chain(rng: np.random.Generator, count: int) -> Array:
        made = lfilter([np.sqrt(1 - 0.81)], [1, -0.9], rng.normal(size=count + 200))
        return np.asarray(made)[200:]

    def groups(rng: np.random.Generator, count: int) -> Array:
        return np.repeat(rng.normal(size=count // 50 + 1), 50)[:count]

    return {"independent": independent, "chain 0.9": chain, "groups of 50": groups}[kind]


def drift_alarms(rng: np.random.Generator, scale: float) -> list[dict[str, Any]]:
    rows = []
    names = [f"f{index}" for index in range(20)]
    strict = DriftLimit(psi_max=0.0, ks_max=0.0)
    for kind in ("independent", "chain 0.9", "groups of 50"):
        draw = column(kind)
        reference = reference_profile({name: draw(rng, 100_000) for name in names})
        for size, count in ((1000, 400), (10_000, 100), (100_000, 40), (1_000_000, 20)):
            windows = max(2, round(scale * count))
            alarms, over_noise = 0, 0
            for _ in range(windows):
                made = {name: draw(rng, size) for name in names}
                live = window("stable", features=live_profile(reference, made))
                alarms += next(judge_drift(DriftLimit(), live, reference)).breached
                over_noise += next(judge_drift(strict, live, reference)).breached
            rows.append(
                {
                    "rows": kind,
                    "window": size,
                    "windows": windows,
                    "alarms": alarms / windows,
                    "over_noise": over_noise / windows,
                }
            )
    return rows


def drift_power(rng: np.random.Generator, scale: float) -> dict[str, Any]:
    reference = reference_profile({"x": rng.normal(size=100_000)})
    windows = max(50, round(scale * 1000))
    found = 0
    for _ in range(windows):
        live = live_profile(reference, {"x": rng.normal(0.5, 1, 1000)})
        found += next(judge_drift(DriftLimit(), window("stable", features=live), reference)).breached
    return {"shift": 0.5, "window": 1000, "windows": windows, "found": found / windows}


def exactness(rng: np.random.Generator, scale: float) -> dict[str, float]:
    psi, ks = [], []
    draws: list[Callable[[float, int], Array]] = [
        lambda shift, count: rng.normal(shift, 1, count),
        lambda shift, count: rng.standard_t(2, count) + shift,
        lambda shift, count: rng.lognormal(shift, 1, count),
        lambda shift, count: rng.uniform(shift, 1 + shift, count),
        lambda shift, count: rng.poisson(3 + shift, count).astype(float),
    ]
    for draw in draws:
        for _ in range(max(1, round(scale * 10))):
            before, now = draw(0.0, 100_000), draw(0.1, 20_000)
            reference = reference_profile({"x": before})
            live = live_profile(reference, {"x": now}, parts=8)
            (found,) = compare(reference, live)
            known = reference.column("x")
            assert isinstance(known, NumberColumn)
            bins = NumberBins(known)
            width = len(bins.counts(known))
            exact = population_stability(
                *(np.bincount(bins.places(one), minlength=width).astype(float) for one in (before, now))
            )
            psi.append((exact, abs(found.psi - exact)))
            ks.append(abs((found.ks or 0.0) - max(0.0, ks_2samp(before, now).statistic - 0.01)))
    below = [error for exact, error in psi if exact <= 0.5]
    return {
        "psi_max_error_up_to_half": max(below),
        "psi_max_error": max(error for _, error in psi),
        "ks_max_error": max(ks),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="how many rollouts and windows, as a factor")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--part", action="append", help="only this part; the others stay in the file")
    arguments = parser.parse_args()
    parts = (
        false_rollbacks, requests_to_rollback, false_quality, drift_alarms, drift_power, exactness, slow_rollouts,
        *OF_ROWS,
    )  # fmt: skip
    rng = np.random.default_rng(20261128)
    results: dict[str, Any] = {"scale": {}}
    if arguments.part and arguments.output.exists():
        results |= json.loads(arguments.output.read_text())
    for part in parts:
        if arguments.part and part.__name__ not in arguments.part:
            continue
        if part is slow_rollouts:  # came later, and must leave the others their numbers
            rng = np.random.default_rng(20261129)
        if part is multivariate_alarms:
            rng = np.random.default_rng(20261130)
        start = time.perf_counter()
        results[part.__name__] = part(rng, arguments.scale)
        results["scale"][part.__name__] = arguments.scale
        arguments.output.write_text(json.dumps(results, indent=1) + "\n")
        shown = results[part.__name__]
        print(f"{part.__name__} ({time.perf_counter() - start:.0f} s)")
        for row in shown if isinstance(shown, list) else [shown]:
            print("  " + ", ".join(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()), flush=True)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
