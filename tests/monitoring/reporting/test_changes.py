"""What changed between two tables: every kind of change is found, told in words, and ranked; what is chance is not."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from penstock.monitoring.profile import Profile
from penstock.monitoring.reporting.changes import FeatureChange, TableReport, compare_profiles
from penstock.monitoring.reporting.markdown import tables_markdown
from penstock.monitoring.reporting.pages import DRAWN_MAX, render_tables
from penstock.monitoring.reporting.pictures import Line, draw_bars, draw_lines

N = 4000


def table(seed: int, **more: object) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    columns = {
        "steady": rng.normal(size=N),
        "shifted": rng.normal(size=N),
        "wider": rng.normal(size=N),
        "hour": rng.integers(0, 24, N),
        "carrier": rng.choice(["AA", "DL", "UA"], N),
        "flag": rng.random(N) < 0.5,
        "retyped": rng.normal(size=N),
        "gone": rng.normal(size=N),
        "holey": rng.normal(size=N),
        "nothing": np.full(N, np.nan),
    }
    return {name: np.asarray(values) for name, values in {**columns, **more}.items() if values is not None}


@pytest.fixture(scope="module")
def report() -> TableReport:
    rng = np.random.default_rng(9)
    now = table(
        1,
        shifted=rng.normal(0.5, 1, N),
        wider=rng.normal(0, 2, N),
        carrier=rng.choice(["AA", "DL", "ZZ"], N),
        retyped=rng.choice(["1", "2"], N),
        gone=None,
        added=rng.normal(size=N),
        holey=np.where(rng.random(N) < 0.3, np.nan, rng.normal(size=N)),
    )
    return compare_profiles(Profile.of(table(0)), Profile.of(now), ("before.csv", "now.csv"))


def test_no_value_of_a_redacted_column_is_told_and_its_distance_is() -> None:
    rng = np.random.default_rng(3)
    before = {
        "iban": rng.choice(["DE-SECRET", "AT-SECRET"], N, p=[0.9, 0.1]),
        "pay": rng.normal(51234.5, 3, N),
    }
    now = {"iban": rng.choice(["DE-SECRET", "FR-SECRET"], N, p=[0.2, 0.8]), "pay": rng.normal(51239.5, 3, N)}
    names, tables = ("before", "now"), (Profile.of(before), Profile.of(now))
    plain = compare_profiles(*tables, names)
    hidden = compare_profiles(*tables, names, redacted=("iban", "pay"))
    for one in (plain, hidden):
        said = msgspec.json.encode(one).decode() + render_tables(one) + tables_markdown(one)
        assert ("SECRET" in said) is (one is plain)
        assert ("5123" in said) is (one is plain)
    for name in ("iban", "pay"):
        shown, kept = feature(plain, name), feature(hidden, name)
        assert (kept.state, kept.psi, len(kept.bars)) == (shown.state, shown.psi, len(shown.bars))
    assert feature(hidden, "iban").sentence.startswith("value ")
    assert "deviations" in feature(hidden, "pay").sentence


def feature(report: TableReport, name: str) -> FeatureChange:
    return next(one for one in report.features if one.name == name)


def test_every_kind_of_change_is_told_and_what_is_chance_is_not(report: TableReport) -> None:
    states = {one.name: one.state for one in report.features}
    assert states == {
        "retyped": "retyped", "gone": "gone", "added": "new", "carrier": "drifted", "shifted": "drifted",
        "wider": "drifted", "holey": "drifted", "steady": "steady", "hour": "steady", "flag": "steady",
        "nothing": "empty",
    }  # fmt: skip
    assert report.sentence == (
        "7 of 11 features changed: retyped, gone, added, carrier, wider and 2 more."
    ) or report.sentence.startswith("7 of 11 features changed: retyped, gone, added, carrier, ")


def test_words_say_how_a_feature_moved(report: TableReport) -> None:
    assert "before and" in feature(report, "shifted").sentence
    assert feature(report, "shifted").sentence.startswith("mean ")
    assert feature(report, "wider").sentence.startswith("standard deviation ")
    assert (
        "'UA' 33" in feature(report, "carrier").sentence or "'ZZ' 0.0%" in feature(report, "carrier").sentence
    )
    assert "never seen before" in feature(report, "carrier").sentence
    assert "missing 0.0% before and " in feature(report, "holey").sentence
    assert feature(report, "retyped").sentence == "was numbers and is text"
    assert feature(report, "steady").sentence == "as before"


def test_both_distributions_have_the_same_bars_and_each_adds_up_to_all(report: TableReport) -> None:
    for one in report.features:
        for whole, side in (
            (sum(bar.reference for bar in one.bars), one.reference),
            (sum(bar.current for bar in one.bars), one.current),
        ):
            if one.bars and side.kind != "absent":
                assert whole == pytest.approx(1, abs=0.01), one.name
    assert feature(report, "retyped").bars == ()
    assert feature(report, "nothing").bars == ()


def test_whole_numbers_have_a_bar_each_so_none_seems_more_frequent(report: TableReport) -> None:
    bars = feature(report, "hour").bars[1:-1]
    assert [bar.label for bar in bars] == [str(hour) for hour in range(24)]
    assert max(bar.reference for bar in bars) < 0.06


def test_a_constant_has_a_bar_and_an_empty_table_is_told() -> None:
    constant = Profile.of({"x": np.full(100, 5.5)})
    same = compare_profiles(constant, constant)
    assert same.features[0].state == "steady"
    assert sum(bar.reference for bar in same.features[0].bars) == pytest.approx(1)
    empty = compare_profiles(constant, Profile())
    assert "no rows" in empty.sentence
    assert empty.features[0].state == "gone"
    assert "no rows" in render_tables(empty)


def test_a_change_in_too_few_rows_is_told_as_one_that_cannot_be_told() -> None:
    few = compare_profiles(Profile.of({"flag": np.ones(5)}), Profile.of({"flag": np.zeros(3)}))
    assert (few.features[0].state, few.changed) == ("unsure", ())
    assert "5 rows before and 3 now are too few to tell" in few.features[0].sentence
    assert "Too few rows to tell of flag." in few.sentence
    assert ">unsure<" in render_tables(few)
    many = compare_profiles(Profile.of({"flag": np.ones(500)}), Profile.of({"flag": np.zeros(300)}))
    assert many.features[0].state == "drifted"


def test_a_page_of_thousands_of_features_stays_small() -> None:
    rng = np.random.default_rng(0)
    wide = Profile.of({f"feature_{index}": rng.normal(size=50) for index in range(300)})
    report = compare_profiles(wide, wide)
    text = render_tables(msgspec.structs.replace(report, features=report.features * 10))
    assert text.count("<svg") == DRAWN_MAX
    assert "more features" in text
    assert len(text.encode()) < 2_000_000


def test_names_from_tables_are_text_in_pages_and_cells_in_markdown() -> None:
    odd = Profile.of({'<img src=x onerror="1">|': np.array(["<script>", "b\n|"] * 50, dtype=object)})
    report = compare_profiles(odd, odd, ("a<b>", "c|d"))
    page, text = render_tables(report), tables_markdown(report)
    assert "<img" not in page
    assert "<script>" not in page
    assert "a&lt;b&gt;" in page
    assert "\\|" in text
    link = "[all well](http://evil.example)\r\n# fine <img src=x> a_b"
    report = compare_profiles(Profile.of({link: np.zeros(99)}), Profile.of({link: np.ones(99)}), (link, link))
    assert link.partition("]")[0] in report.sentence
    lines = tables_markdown(report).splitlines()
    for line in (lines[0], lines[2], next(one for one in lines if one.startswith("| \\["))):
        assert "\\[all well\\](" in line
        assert "<img" not in line
    assert "a_b" in lines[2]
    assert not any(line.startswith("# fine") for line in lines)
    assert len({line.count(" | ") for line in text.splitlines() if line.startswith("| ")}) == 1


def test_pictures_break_where_nothing_is_known_and_are_absent_where_nothing_is() -> None:
    nan = float("nan")
    assert draw_lines([Line(name="a", moments=[1, 2], values=[nan, nan])], "x", []) == ""
    drawn = draw_lines(
        [Line(name="a", moments=[1, 2, 3, 4], values=[1.0, nan, 2.0, 3.0])], "x", [(1, "then")]
    )
    assert drawn.count("<polyline") == 2
    assert 'aria-label="x"' in drawn
    assert draw_bars((), "none", is_text=False).startswith("<svg")
