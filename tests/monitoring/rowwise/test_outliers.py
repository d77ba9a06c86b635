from __future__ import annotations

import numpy as np
import pytest

from penstock.base.errors import Corrupt
from penstock.flows.chain.outlying import describe
from penstock.monitoring.guardrails.blocks import Block
from penstock.monitoring.guardrails.limits import OutlierLimit
from penstock.monitoring.guardrails.outliers import judge_outliers
from penstock.monitoring.rowwise.outliers import EXPECTED, Marking, OutlierModel, learn_outliers
from penstock.monitoring.variation import reference_profile
from penstock.monitoring.windows import Window, WindowKey, merge_windows


def table(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    wind = rng.gamma(2.0, 3.0, count)
    return {
        "wind": wind,
        "gust": np.where(rng.random(count) < 0.1, np.nan, 1.5 * wind + rng.normal(size=count)),
        "hour": rng.integers(0, 24, count),
        "carrier": np.full(count, "AA", dtype=object),
        "constant": np.ones(count),
    }


def window(start_s: int, outliers: np.ndarray) -> Window:
    runs = int(outliers[:1].sum() + (outliers[1:] & ~outliers[:-1]).sum())
    return Window(
        key=WindowKey("delay", start_s, 1, 2, "stable"),
        window_s=60,
        request_count=len(outliers),
        scored_row_count=len(outliers),
        outlier_row_count=int(outliers.sum()),
        outlier_run_count=runs,
    )


def test_rows_that_break_how_columns_go_together_are_outliers_though_each_value_is_usual() -> None:
    rng = np.random.default_rng(1)
    columns = table(rng, 8000)
    columns["wind"][:10] = 1e9  # wild rows of the reference hide no others
    learned = learn_outliers(columns)
    assert learned is not None
    model = OutlierModel.from_bytes(learned.to_bytes())
    assert model.columns == ("gust", "hour", "wind")
    fresh = table(rng, 20_000)
    assert model.is_outlier(fresh, 20_000).mean() == pytest.approx(EXPECTED, abs=0.003)
    odd = {"wind": np.array([20.0, 5.0]), "gust": np.array([3.0, 7.5]), "hour": np.array([3, 3])}
    assert model.is_outlier(odd, 2).tolist() == [True, False]
    assert {name for name, _ in model.farthest(odd, 0, 2)[:2]} == {"wind", "gust"}
    assert describe(model, odd, 2).startswith(
        "yes: farther than 99.5% of the reference's rows, row 0 mostly in "
    )
    usual = {name: values[1:] for name, values in odd.items()}
    assert describe(model, usual, 1) == "no: it is within the distance of 99.5% of the reference's rows"
    empty = {"wind": np.array(["text"], dtype=object), "gust": np.array([np.nan])}
    assert not model.is_outlier(empty, 1).any()  # what is missing is no outlier; other guardrails tell of it
    assert model.is_outlier({"wind": np.array([np.inf])}, 1).all()


def test_too_few_rows_or_no_numbers_teach_nothing_and_damage_is_told() -> None:
    rng = np.random.default_rng(2)
    assert learn_outliers(table(rng, 100)) is None
    assert learn_outliers({"carrier": np.full(2000, "AA", dtype=object)}) is None
    learned = learn_outliers(table(rng, 2000))
    assert learned is not None
    for damaged in (b"", b"\x90", learned.to_bytes()[:-9]):
        with pytest.raises(Corrupt):
            OutlierModel.from_bytes(damaged)


def test_a_reference_without_what_tells_outliers_still_marks_its_edges() -> None:
    profile = reference_profile(table(np.random.default_rng(3), 1000))
    marking = Marking.of(profile)
    assert set(marking) == {"constant", "gust", "hour", "wind"} and marking.outliers is None


def test_a_share_above_the_limit_is_found_and_one_at_the_limit_is_not_however_often_one_looks() -> None:
    rng = np.random.default_rng(4)
    limit = OutlierLimit(max_ratio=0.05)
    false = 0
    for _ in range(60):
        blocks = [window(60 * one, rng.random(100) < 0.05) for one in range(40)]
        for count in range(2, 41):
            (found,) = judge_outliers(
                limit, merge_windows(blocks[:count]), [Block.of(one) for one in blocks[:count]]
            )
            if found.breached:
                false += 1
                break
    assert false <= 2
    many = [window(60 * one, rng.random(100) < 0.12) for one in range(10)]
    (found,) = judge_outliers(limit, merge_windows(many), [Block.of(one) for one in many])
    assert found.breached and "rows are outliers: " in found.sentence and "surely more" in found.sentence
    few = merge_windows([window(0, np.zeros(100, dtype=bool))])
    assert list(judge_outliers(limit, few)) == []


def test_one_request_of_many_odd_rows_is_no_breach() -> None:
    odd = np.zeros(1000, dtype=bool)
    odd[300:400] = True
    (found,) = judge_outliers(OutlierLimit(max_ratio=0.05), window(0, odd))
    assert found.observed == pytest.approx(0.1) and found.state == "held", found.sentence
