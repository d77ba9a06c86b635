from __future__ import annotations

import numpy as np
import pytest

from monitoring.traffic import window
from penstock.monitoring.guardrails.freshness import judge_age, judge_silence, lacking
from penstock.monitoring.guardrails.judging import judge
from penstock.monitoring.guardrails.limits import FreshnessLimit
from penstock.monitoring.guardrails.traffic import Traffic
from penstock.monitoring.profile import Profile
from penstock.monitoring.settings import GuardrailEntry
from penstock.monitoring.windows import WindowKey

NOW = WindowKey("delay", 100_000, 3, 2, "stable")
SILENCE = FreshnessLimit(max_silence_s=900)


def test_an_endpoint_is_silent_for_longer_than_it_may_be_and_one_that_never_spoke_is_not_judged() -> None:
    for last_s, state in ((99_900, "held"), (98_000, "breached")):
        (found,) = judge_silence(SILENCE, NOW, last_s)
        assert (found.kind, found.name, found.state) == ("freshness", "silence_s", state)
    assert "no request came for 33 minutes, since 1970-01-02" in found.sentence
    assert list(judge_silence(SILENCE, NOW, None)) == []
    entry = GuardrailEntry(freshness=SILENCE)
    (never,) = judge([entry], Traffic(key=NOW))
    assert never.unjudged == "no_traffic"
    canary = Traffic(key=WindowKey("delay", 100_000, 3, 3, "canary"), last_s=10)
    (only,) = judge([entry], Traffic(key=NOW, heard_s=99_900), canary)
    assert (only.route, only.state) == ("stable", "held")


@pytest.mark.parametrize(("unit", "times"), [("s", 1), ("ms", 1000)])
def test_rows_are_as_old_as_their_column_of_times_says(unit: str, times: int) -> None:
    limit = FreshnessLimit(column="at", max_age_s=600, unit=unit)  # type: ignore[arg-type]
    for age_s, state in ((60, "held"), (7200, "breached")):
        at = times * (660.0 - age_s - np.arange(100))
        (found,) = judge_age(limit, window(features=Profile.of({"at": at})))
        assert (found.name, found.state) == ("at_age_s", state)
        assert found.observed == pytest.approx(age_s + 50, abs=3)
    few = window(features=Profile.of({"at": np.arange(3.0)}))
    assert list(judge_age(limit, few)) == [] and lacking(limit, few) == (3, "3 of 20 rows with at yet")
    texts = window(features=Profile.of({"at": np.array(["2026-01-01"], dtype=object)}))
    assert f"send it as a number of {unit} since 1970" in lacking(limit, texts)[1]


def test_a_limit_is_on_exactly_one_of_silence_and_age() -> None:
    for wrong in (
        {},
        {"max_silence_s": 1, "max_age_s": 1, "column": "at"},
        {"max_age_s": 1},
        {"max_silence_s": 0},
    ):
        with pytest.raises(ValueError, match=r"exactly one|belong together|positive"):
            FreshnessLimit(**wrong)
