from __future__ import annotations

import numpy as np
import pytest

from monitoring.traffic import window
from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.limits import ValuesLimit
from penstock.monitoring.guardrails.values import judge_values
from penstock.monitoring.profile import Profile
from penstock.monitoring.variation import reference_profile

Columns = dict[str, np.ndarray]


def table(rng: np.random.Generator, count: int) -> Columns:
    return {
        "wind": np.where(rng.random(count) < 0.1, np.nan, rng.gamma(2.0, 3.0, count)),
        "carrier": np.array(["AA", "UA", "DL"], dtype=object)[rng.integers(0, 3, count)],
        "user": np.array([f"user {one}" for one in rng.integers(0, 100_000, count)], dtype=object),
    }


@pytest.fixture(scope="module")
def reference() -> Profile:
    return reference_profile(table(np.random.default_rng(0), 20_000))


def judged(reference: Profile, columns: Columns, **limits: float | None) -> list[Finding]:
    live = window(features=Profile.of(columns))
    return list(judge_values(ValuesLimit(**limits), live, reference))  # type: ignore[arg-type]


def test_each_thing_that_should_not_come_is_told_with_its_share_and_interval(reference: Profile) -> None:
    rng = np.random.default_rng(1)
    usual = table(rng, 1000)
    for name, values, statistic, words in (
        ("wind", np.where(rng.random(1000) < 0.4, np.nan, usual["wind"]), "missing", "are missing (between"),
        ("wind", np.where(rng.random(1000) < 0.4, 1e6, usual["wind"]), "out_of_range", "are outside of"),
        ("wind", np.full(1000, "calm", dtype=object), "wrong_type", "texts instead of numbers"),
        ("carrier", np.arange(1000.0), "wrong_type", "numbers instead of texts"),
        ("carrier", np.where(rng.random(1000) < 0.4, "ZZ", "AA").astype(object), "unseen", "never seen"),
        ("carrier", np.full(1000, None, dtype=object), "missing", "100.0% of 1,000 values of carrier"),
    ):
        told = {one.name: one for one in judged(reference, {**usual, name: values}) if one.breached}
        assert list(told) == [name]
        assert told[name].statistic == statistic, told[name].sentence
        assert words in told[name].sentence and "surely more than the" in told[name].sentence


def test_what_the_reference_has_too_is_no_breach_however_often_one_looks(reference: Profile) -> None:
    rng = np.random.default_rng(2)
    for _ in range(100):
        for found in judged(
            reference, table(rng, 300), missing_max=0.01, unseen_max=0.01, out_of_range_max=0.01
        ):
            assert not found.breached, found.sentence


def test_what_is_not_limited_is_not_told_and_few_rows_are_not_judged(reference: Profile) -> None:
    rng = np.random.default_rng(3)
    odd = {**table(rng, 1000), "carrier": np.full(1000, "ZZ", dtype=object)}
    assert any(one.breached for one in judged(reference, odd))
    assert not any(one.breached for one in judged(reference, odd, unseen_max=None))
    assert judged(reference, table(rng, 100)) == []
    with pytest.raises(ValueError, match="at least one"):
        ValuesLimit(missing_max=None, wrong_type_max=None, out_of_range_max=None, unseen_max=None)


def test_the_range_of_what_is_redacted_is_not_told(reference: Profile) -> None:
    usual = table(np.random.default_rng(4), 1000)
    live = window(features=Profile.of({**usual, "wind": np.full(1000, 1e6)}))
    limit = ValuesLimit(features=["wind"])
    (told,), (hidden,) = (list(judge_values(limit, live, reference, names)) for names in ((), ("wind",)))
    assert "are outside of 0" in told.sentence
    assert "are outside of the reference's range" in hidden.sentence
    assert told.observed == hidden.observed
