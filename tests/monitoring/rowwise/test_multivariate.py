from __future__ import annotations

import numpy as np
import pytest

from penstock.base.errors import Corrupt
from penstock.monitoring.guardrails.limits import MultivariateLimit
from penstock.monitoring.guardrails.measured import Reference
from penstock.monitoring.guardrails.multivariate import judge_multivariate
from penstock.monitoring.profile import Profile
from penstock.monitoring.rowwise.learned import learn, rows_of, separation_of
from penstock.monitoring.rowwise.multivariate import separation
from penstock.monitoring.rowwise.rows import ROWS_MAX, Rows, sampled_rows
from penstock.monitoring.variation import reference_profile
from penstock.monitoring.windows import WindowKey

KEY = WindowKey("delay", 10_000, 3, 2, "stable")


def table(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Return a table of numbers, some missing, and texts that go with one of them."""
    wind = rng.normal(10, 3, count)
    gust = np.where(rng.random(count) < 0.1, np.nan, wind + rng.normal(0, 1, count))
    carrier = np.where(wind + rng.normal(0, 2, count) > 10, "AA", "UA").astype(object)
    return {"wind": wind, "gust": gust, "carrier": carrier, "hour": rng.integers(0, 24, count)}


def referred(columns: dict[str, np.ndarray]) -> Reference:
    profile = reference_profile(columns)
    profile.learned = learn(columns)
    again = Profile.from_bytes(profile.to_bytes())
    assert again.to_bytes() == profile.to_bytes()
    return Reference(profile=again, rows=rows_of(again), separation=separation_of(again))


def test_features_that_no_longer_go_together_are_found_though_each_looks_as_before() -> None:
    rng = np.random.default_rng(1)
    reference = referred(table(rng, 12_000))
    live = table(rng, 800)
    (held,) = judge_multivariate(MultivariateLimit(), KEY, Rows.of(live, start_s=9_700), reference)
    assert (held.state, held.start_s, held.count) == ("held", 9_700, 800)
    assert "without drift: up to" in held.sentence and "gives them away" not in held.sentence
    rng.shuffle(live["gust"])
    rng.shuffle(live["carrier"])
    (found,) = judge_multivariate(MultivariateLimit(), KEY, Rows.of(live), reference)
    assert found.state == "breached", found.sentence
    assert found.observed > 0.75
    told = found.sentence.partition("what gives them away, by what the AUC loses without it: ")[2]
    assert all(name in told for name in ("wind", "gust", "carrier")) and "hour" not in told, found.sentence


def test_texts_that_are_new_and_values_that_are_missing_are_told_apart_with_their_column() -> None:
    rng = np.random.default_rng(2)
    reference = sampled_rows(table(rng, 5000))
    for name, values in (
        ("carrier", np.where(rng.random(600) < 0.5, "ZZ", "AA").astype(object)),
        ("gust", np.full(600, np.nan)),
        ("hour", np.full(600, "text", dtype=object)),
    ):
        found = separation(reference, Rows.of({**table(rng, 600), name: values}))
        assert found is not None and found.area > 0.7
        assert found.features[0][0] == name
        left = separation(reference, Rows.of(table(rng, 600)), left_out=(name,))
        assert left is not None and left.area < 0.6
    absent = table(rng, 600)
    del absent["wind"]
    found = separation(reference, Rows.of(absent))
    assert found is not None and found.area > 0.95
    kept = separation(reference, Rows.of(absent), left_out=("wind",))
    assert kept is not None and kept.area < 0.6


def test_a_reference_whose_stretches_differ_raises_what_is_taken_for_no_drift() -> None:
    rng = np.random.default_rng(3)
    weather = np.repeat(rng.normal(size=40), 200)
    bunched = {"weather": weather + 0.1 * rng.normal(size=8000), "x": rng.normal(size=8000)}
    hour = {"weather": np.full(400, 0.3) + 0.1 * rng.normal(size=400), "x": rng.normal(size=400)}
    (found,) = judge_multivariate(MultivariateLimit(), KEY, Rows.of(hour), referred(bunched))
    assert found.observed > 0.75 and found.state == "held", found.sentence
    in_no_order = {name: values[rng.permutation(8000)] for name, values in bunched.items()}
    (alarm,) = judge_multivariate(MultivariateLimit(), KEY, Rows.of(hour), referred(in_no_order))
    assert alarm.state == "breached"


def test_looks_without_drift_alarm_never_in_numbers_and_texts() -> None:
    rng = np.random.default_rng(4)
    reference = referred(table(rng, 10_000))
    for _ in range(25):
        (found,) = judge_multivariate(
            MultivariateLimit(auc_max=0.5), KEY, Rows.of(table(rng, 300)), reference
        )
        assert found.state == "held", found.sentence


def test_rows_of_a_reference_are_bounded_and_hold_no_text() -> None:
    rng = np.random.default_rng(5)
    learned = learn(table(rng, 30_000))
    kept = Rows.from_bytes(learned["rows"])
    assert kept.row_count == ROWS_MAX and kept.column_names == ("carrier", "gust", "hour", "wind")
    assert b"AA" not in learned["rows"].replace(b"carrier", b"")[:200]
    assert np.isnan(kept.numbers["gust"]).mean() == pytest.approx(0.1, abs=0.03)
    assert len(np.unique(kept.texts["carrier"])) == 2
    assert learn(table(rng, 100), most=0) == {} and learn({}) == {}
    for damaged in (b"", b"\x93\x02\x02\x80", learned["rows"][:-3]):
        with pytest.raises(Corrupt):
            Rows.from_bytes(damaged)
