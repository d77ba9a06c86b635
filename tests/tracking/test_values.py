"""Values of tags: a text is cut, JSON stays JSON."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from penstock.records.limits import MAX_JSON_TAG_VALUE, MAX_TAG_VALUE
from penstock.tracking.values import fit_tag


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=9) | st.floats() | st.none(), max_size=4))
def test_json_that_is_not_too_long_is_kept_as_it_is(entry: dict[str, object]) -> None:
    text = (
        json.dumps([entry, "x" * MAX_TAG_VALUE], ensure_ascii=False)
        .replace("NaN", "0")
        .replace("Infinity", "1")
    )
    assert fit_tag(text) == text


def test_a_list_that_is_too_long_loses_its_oldest_entries() -> None:
    entries = [{"number": number, "text": "ü" * 1000} for number in range(1500)]
    kept = json.loads(fit_tag(json.dumps(entries)))
    assert kept == entries[-len(kept) :]
    text = fit_tag(json.dumps(entries, ensure_ascii=False, separators=(",", ":")))
    assert 0.99 * MAX_JSON_TAG_VALUE < len(text) <= MAX_JSON_TAG_VALUE
    assert json.loads(fit_tag(json.dumps(["x" * (MAX_JSON_TAG_VALUE + 1)]))) == []


def test_other_long_values_are_cut() -> None:
    for text in ("x" * 9000, "[" + "x" * 9000, "{" + "[" * 9000, "[1" + " " * 9000):
        assert fit_tag(text) == text[:MAX_TAG_VALUE]
