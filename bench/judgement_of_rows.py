"""How often what is judged on whole rows, slices and causes is wrong, and what it finds: parts of `bench_judgement`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from penstock.monitoring.guardrails.blocks import Block
from penstock.monitoring.guardrails.limits import MultivariateLimit, OutlierLimit, SliceSettings, SlicesLimit
from penstock.monitoring.guardrails.measured import Reference
from penstock.monitoring.guardrails.multivariate import judge_multivariate
from penstock.monitoring.guardrails.outliers import judge_outliers
from penstock.monitoring.guardrails.slices import judge_slices
from penstock.monitoring.rowwise.causes import Cause, explain
from penstock.monitoring.rowwise.labelled import LabelledRows
from penstock.monitoring.rowwise.learned import learn, rows_of, separation_of
from penstock.monitoring.rowwise.outliers import learn_outliers
from penstock.monitoring.rowwise.rows import Rows
from penstock.monitoring.rowwise.slices import slices_of
from penstock.monitoring.variation import reference_profile
from penstock.monitoring.windows import Window, WindowKey

Array = np.ndarray[Any, Any]
KEY = WindowKey("bench", 100_000, 1, 1, "stable")


def table(rng: np.random.Generator, count: int, columns: int) -> dict[str, Array]:
    """Return a table in which columns go together in pairs, a fifth are texts and a tenth have gaps."""
    made: dict[str, Array] = {}
    for place in range(columns):
        before = made.get(f"c{place - 1}")
        values = rng.normal(size=count)
        if before is not None and before.dtype != object and place % 2:
            values = 0.8 * np.nan_to_num(before) + 0.6 * values
        if place % 5 == 4:
            made[f"c{place}"] = np.array(["a", "b", "c", "d"], dtype=object)[np.digitize(values, [-1, 0, 1])]
        else:
            made[f"c{place}"] = (
                np.where(rng.random(count) < 0.1, np.nan, values) if place % 10 == 3 else values
            )
    return made


def referred(columns: dict[str, Array]) -> Reference:
    profile = reference_profile(columns)
    profile.learned = learn(columns)
    return Reference(profile=profile, rows=rows_of(profile), separation=separation_of(profile))


def multivariate_alarms(rng: np.random.Generator, scale: float) -> list[dict[str, Any]]:
    rows = []
    for columns, count, per_request in (
        (5, 300, 1),
        (20, 300, 1),
        (20, 1000, 1),
        (60, 300, 1),
        (20, 1000, 10),
    ):
        looks = max(10, round(scale * 400))
        reference = referred(table(rng, 20_000, columns))
        areas, off, at_limit, at_half = [], [], 0, 0
        for _ in range(looks):
            live = table(rng, count // per_request, columns)
            live = {name: np.repeat(values, per_request) for name, values in live.items()}
            groups = np.repeat(np.arange(count // per_request), per_request)
            given = Rows.of(live, groups)
            (found,) = judge_multivariate(MultivariateLimit(auc_max=0.5), KEY, given, reference)
            error = (found.observed - found.statistic_value) / 3
            areas.append(found.observed)
            off.append((found.observed - 0.5) / error)
            at_half += found.breached
            at_limit += found.observed - 3 * error > 0.65
        rows.append({
            "columns": columns, "rows": count, "rows a request": per_request, "looks": looks,
            "area mean": float(np.mean(areas)), "area largest": float(np.max(areas)),
            "deviation in errors": float(np.std(off)), "largest in errors": float(np.max(off)),
            "false at 0.5": at_half / looks, "false at 0.65": at_limit / looks,
        })  # fmt: skip
    return rows


def _apart(live: dict[str, Array], rng: np.random.Generator) -> None:
    rng.shuffle(live["c1"])


def _shifted(live: dict[str, Array], rng: np.random.Generator) -> None:
    live["c6"] = live["c6"] + 1.0


def _new_text(live: dict[str, Array], rng: np.random.Generator) -> None:
    live["c4"] = np.where(rng.random(len(live["c4"])) < 0.5, "new", live["c4"]).astype(object)


def multivariate_power(rng: np.random.Generator, scale: float) -> list[dict[str, Any]]:
    rows = []
    reference = referred(table(rng, 20_000, 20))
    for name, plant, column in (
        ("apart", _apart, "c1"),
        ("shift 1", _shifted, "c6"),
        ("new text", _new_text, "c4"),
    ):
        for count in (300, 1000):
            looks = max(5, round(scale * 60))
            found, named, areas = 0, 0, []
            for _ in range(looks):
                live = table(rng, count, 20)
                plant(live, rng)
                (one,) = judge_multivariate(MultivariateLimit(), KEY, Rows.of(live), reference)
                found += one.breached
                named += column in one.sentence.partition("without it: ")[2]
                areas.append(one.observed)
            rows.append({"planted": name, "rows": count, "found": found / looks, "column named": named / looks, "area": float(np.mean(areas))})  # fmt: skip
    return rows


def outlier_alarms(rng: np.random.Generator, scale: float) -> list[dict[str, Any]]:
    rows = []
    for ratio, burst in ((0.05, 1), (0.05, 10), (0.03, 30), (0.1, 1), (0.1, 10)):
        rollouts, looks, size = max(20, round(scale * 300)), 50, 200
        breaches, at = 0, []
        for _ in range(rollouts):
            starts = np.cumsum(rng.random(looks * size + burst) < ratio / burst)
            flags = (starts[burst:] > starts[:-burst]).reshape(looks, size)
            blocks = [
                Block(
                    start_s=index, request_count=size, scored_row_count=size, outlier_row_count=int(one.sum()),
                    outlier_run_count=int(one[0] + (one[1:] & ~one[:-1]).sum()),
                )
                for index, one in enumerate(flags)
            ]  # fmt: skip
            for look in range(1, looks + 1):
                found = next(
                    judge_outliers(OutlierLimit(), Window(key=KEY, window_s=60), blocks[:look]), None
                )
                if found is not None and found.breached:
                    breaches += 1
                    at.append(look * size)
                    break
        rows.append({"ratio": ratio, "burst": burst, "rollouts": rollouts, "breached": breaches / rollouts, "rows to a breach": float(np.median(at)) if at else -1.0})  # fmt: skip
    return rows


def labelled(
    rng: np.random.Generator, count: int, bad: float, hard: float = 0.2, turned: bool = False
) -> LabelledRows:
    """Return rows of ten slices, one of them bad; a share `hard` that no model knows; `turned` labels."""
    chosen, is_hard = rng.integers(0, 10, count), rng.random(count) < hard
    x = rng.normal(size=count)
    logit = np.where(is_hard, 0.0, 3 * x)
    truth = rng.random(count) < 1 / (1 + np.exp(-np.where(turned & ~is_hard, -0.5 * logit, logit)))
    guess = np.where(rng.random(count) < np.where(chosen == 3, bad, 0.0), ~truth, logit > 0)
    return LabelledRows(
        columns={"slice": chosen.astype(str).astype(object), "hard": is_hard.astype(float), "x": x, "y": rng.normal(size=count)},
        outputs={"prediction": guess.astype(np.int64)},
        labels=truth.astype(int).tolist(),
        requests=rng.integers(0, 2**31, count),
        times_s=np.arange(count),
        classes=(0, 1),
    )  # fmt: skip


def slice_alarms(rng: np.random.Generator, scale: float) -> list[dict[str, Any]]:
    rows = []
    wanted, limit = (
        (SliceSettings(feature="slice", min_labels=50),),
        SlicesLimit(metric="accuracy", max_drop=0.0),
    )
    for bad in (0.0, 0.2, 0.4):
        rollouts = max(10, round(scale * 150))
        breaches, right, at = 0, 0, []
        for _ in range(rollouts):
            whole = labelled(rng, 4000, bad)
            for count in range(600, 4001, 400):
                found = slices_of(whole.taken(np.arange(count)), wanted)
                told = [one.name for one in judge_slices(limit, KEY, found) if one.breached]
                if told:
                    breaches += 1
                    right += told == ["slice=3"]
                    at.append(count)
                    break
        rows.append({"wrong in one slice": bad, "rollouts": rollouts, "breached": breaches / rollouts, "that slice alone": right / rollouts, "labels": float(np.median(at)) if at else -1.0})  # fmt: skip
    return rows


def causes_told(rng: np.random.Generator, scale: float) -> list[dict[str, Any]]:
    rows = []
    makes: dict[str, Callable[[], LabelledRows]] = {
        "nothing": lambda: labelled(rng, 600, 0.0),
        "covariate": lambda: labelled(rng, 600, 0.0, hard=0.8),
        "concept": lambda: labelled(rng, 600, 0.0, turned=True),
        "both": lambda: labelled(rng, 600, 0.0, hard=0.5, turned=True),
    }
    for name, make in makes.items():
        count = max(10, round(scale * 100))
        told = [explain(labelled(rng, 1000, 0.0), make(), "accuracy") for _ in range(count)]
        said = {verdict: sum(isinstance(one, Cause) and one.verdict == verdict for one in told) / count for verdict in ("covariate", "concept", "both", "unclear")}  # fmt: skip
        rows.append({"planted": name, "times": count, **said, "no drop told": sum(not isinstance(one, Cause) for one in told) / count})  # fmt: skip
    return rows


def costs_of_rows(rng: np.random.Generator, scale: float) -> dict[str, float]:
    columns = table(rng, 20_000, 20)
    start = time.perf_counter()
    reference = referred(columns)
    learned_s = time.perf_counter() - start
    live = Rows.of(table(rng, 1000, 20))
    start = time.perf_counter()
    list(judge_multivariate(MultivariateLimit(), KEY, live, reference))
    looked_s = time.perf_counter() - start
    model = learn_outliers(columns)
    assert model is not None
    start = time.perf_counter()
    for _ in range(20):
        model.is_outlier(columns, 20_000)
    scored_s = (time.perf_counter() - start) / 20
    kept = sum(map(len, reference.profile.learned.values())) if reference.profile is not None else 0
    return {
        "registering s": learned_s,
        "look s": looked_s,
        "outliers us a row": 1e6 * scored_s / 20_000,
        "kept bytes": kept,
    }
