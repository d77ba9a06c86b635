from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from penstock.base.errors import Invalid
from penstock.base.settings import parse_settings
from penstock.monitoring.guardrails.limits import SliceSettings, SlicesLimit
from penstock.monitoring.guardrails.slices import judge_slices
from penstock.monitoring.rowwise.labelled import LabelledRows
from penstock.monitoring.rowwise.slices import MISSING, find_slices, slices_of
from penstock.monitoring.settings import EndpointSettings
from penstock.monitoring.windows import WindowKey

KEY = WindowKey("delay", 10_000, 3, 2, "stable")
WANTED = (SliceSettings(feature="carrier", min_labels=100, most=5),)
LIMIT = SlicesLimit(metric="accuracy", max_drop=0.05)


def rows(rng: np.random.Generator, count: int, bad: float = 0.1, share: float = 0.2) -> LabelledRows:
    """Return rows of which a tenth is answered wrong, in one slice a share `bad`."""
    carrier = np.array(["AA", "UA", "DL", "ZZ", None], dtype=object)
    chosen = np.where(rng.random(count) < share, 3, rng.integers(0, 3, count))
    chosen = np.where(rng.random(count) < 0.001, 4, chosen)
    truth = rng.integers(0, 2, count)
    wrong = rng.random(count) < np.where(chosen == 3, bad, 0.1)
    return LabelledRows(
        columns={"carrier": carrier[chosen]},
        outputs={"prediction": np.where(wrong, 1 - truth, truth)},
        labels=truth.tolist(),
        requests=rng.integers(0, 2**31, count),
        times_s=np.arange(count),
        classes=(0, 1),
    )


def test_the_slice_that_is_answered_worse_is_told_with_its_interval_and_no_other() -> None:
    rng = np.random.default_rng(1)
    found = slices_of(rows(rng, 3000, bad=0.4), WANTED)
    assert {one.value for one in found} == {"AA", "UA", "DL", "ZZ"}  # too few are missing
    assert sum(one.label_count for one in found) > 2950
    told = list(judge_slices(LIMIT, KEY, found))
    assert [(one.name, one.breached) for one in told] == [("carrier=ZZ", True)]
    assert told[0].observed == pytest.approx(0.6, abs=0.06) and told[0].against == pytest.approx(
        0.9, abs=0.03
    )
    assert "accuracy where carrier=ZZ is 0." in told[0].sentence and " ± " in told[0].sentence
    (held,) = judge_slices(LIMIT, KEY, slices_of(rows(rng, 3000), WANTED))
    assert held.state == "held"


def test_a_canary_is_compared_with_the_same_slice_of_the_stable_version() -> None:
    rng = np.random.default_rng(2)
    stable = slices_of(rows(rng, 3000, bad=0.4), WANTED)
    as_bad = slices_of(rows(rng, 3000, bad=0.4), WANTED)
    assert not any(one.breached for one in judge_slices(LIMIT, KEY, as_bad, stable))
    worse = slices_of(rows(rng, 3000, bad=0.7), WANTED)
    assert [one.name for one in judge_slices(LIMIT, KEY, worse, stable) if one.breached] == ["carrier=ZZ"]
    assert list(judge_slices(LIMIT, KEY, worse, ())) == []


def test_a_slice_that_is_answered_worse_by_any_factor_is_found() -> None:
    rng = np.random.default_rng(6)
    many = rows(rng, 3000)
    truth = rng.lognormal(3, 0.8, 3000)
    answers = truth * np.where(many.columns["carrier"] == "ZZ", 1e6, np.exp(rng.normal(0, 0.1, 3000)))
    many = replace(many, labels=truth.tolist(), outputs={"prediction": answers}, classes=None)
    limit = SlicesLimit(metric="rmse", max_drop=3.0)
    found = list(judge_slices(limit, KEY, slices_of(many, WANTED)))
    assert [one.name for one in found if one.breached] == ["carrier=ZZ"]


def test_slices_whose_long_values_begin_alike_are_not_mixed_up() -> None:
    page = "https://www.example-shop.com/catalogue/electronics/computers/"
    good, bad = page + "laptops", page + "printers"

    def shop(goods: int, bads: int, seed: int) -> LabelledRows:
        rng = np.random.default_rng(seed)
        pages = np.array([good] * goods + [bad] * bads, dtype=object)
        truth = rng.integers(0, 2, goods + bads)
        right = rng.random(goods + bads) < np.where(pages == good, 0.95, 0.6)
        return replace(
            rows(rng, goods + bads),
            columns={"page": pages},
            outputs={"prediction": np.where(right, truth, 1 - truth)},
            labels=truth.tolist(),
        )

    wanted = (SliceSettings(feature="page"),)
    stable, canary = find_slices(shop(600, 900, 1), wanted), find_slices(shop(900, 600, 2), wanted)
    assert sorted(stable.counts.values()) == [600, 900]
    assert {one.value for one in stable.judged} == {good, bad}
    names = {one.name for one in stable.judged}
    assert len(names) == 2 and names == set(canary.counts)
    assert {len(one.shown) for one in stable.judged} == {60}
    found = list(judge_slices(LIMIT, KEY, canary.judged, stable.judged, canary.counts))
    assert [one.state for one in found] == ["held"], "both are answered as by the stable version"
    most = (SliceSettings(feature="page", most=1),)
    (larger,) = (one for one in stable.judged if one.value == bad)
    assert len(find_slices(shop(900, 600, 2), most, {larger.name}).judged) == 2


def test_labels_without_a_bad_slice_alarm_hardly_ever_however_often_one_looks() -> None:
    rng = np.random.default_rng(3)
    false = 0
    for _ in range(15):
        whole = rows(rng, 2400)
        for count in range(600, 2401, 200):
            part = whole.taken(np.arange(count))
            if any(
                one.breached
                for one in judge_slices(
                    SlicesLimit(metric="accuracy", max_drop=0.0), KEY, slices_of(part, WANTED)
                )
            ):
                false += 1
                break
    assert false <= 1


def test_slices_are_bounded_and_what_is_missing_is_one() -> None:
    rng = np.random.default_rng(4)
    many = rows(rng, 4000)
    ids = np.array([f"user {one % 30}" for one in range(4000)], dtype=object)
    ids[:500] = None
    found = slices_of(replace(many, columns={"user": ids}), (SliceSettings(feature="user", most=3),))
    assert found[0].value == MISSING and len(found) == 3
    assert slices_of(many, (SliceSettings(feature="nothing"),)) == ()


def test_a_number_has_one_name_however_it_is_kept() -> None:
    rng = np.random.default_rng(5)
    many = rows(rng, 600)
    hour = rng.integers(7, 9, 600)
    wanted = (SliceSettings(feature="hour", min_labels=100),)
    lacking = np.where(np.arange(600) == 3, np.nan, hour)
    texts = hour.astype(str).astype(object)
    for values in (hour, hour.astype(float), lacking, texts):
        found = find_slices(replace(many, columns={"hour": values}), wanted)
        assert {one.value for one in found.judged} == {"7", "8"}
    halves = find_slices(replace(many, columns={"hour": hour + 0.5}), wanted)
    truths = find_slices(replace(many, columns={"hour": hour == 7}), wanted)
    assert set(halves.counts) == {"hour=7.5", "hour=8.5"}
    assert set(truths.counts) == {"hour=true", "hour=false"}


def test_a_policy_that_cannot_hold_is_refused_when_it_is_written() -> None:
    for text in (
        "guardrails: [{slices: {metric: accuracy, max_drop: 0.1}}]",
        "monitor: {slices: [{feature: a}]}\nguardrails: [{slices: {metric: accuracy, max_drop: 0.1, features: [b]}}]",
        "guardrails: [{slices: {metric: wrong, max_drop: 0.1}}]\nmonitor: {slices: [{feature: a}]}",
        "monitor: {slices: [{feature: a}, {feature: a}]}",
        "monitor: {slices: [{feature: a, most: 500}]}",
        "monitor: {slices: [{feature: a}], payloads: {redact: [a]}}",
        "guardrails: [{multivariate: {auc_max: 0.4}}]",
        "guardrails: [{outliers: {max_ratio: 0}}]",
        "guardrails: [{values: {missing_max: 2}}]",
        "guardrails: [{freshness: {}}]",
        "guardrails: [{outliers: {}, values: {}}]",
    ):
        with pytest.raises((Invalid, msgspec.ValidationError)):
            parse_settings(f"model: m@champion\n{text}\n", EndpointSettings, "policy")
