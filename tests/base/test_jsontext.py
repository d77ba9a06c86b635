"""Whatever a document holds, its JSON is JSON."""

from __future__ import annotations

import datetime
import json
from typing import NoReturn

from hypothesis import given
from hypothesis import strategies as st

from penstock.base.jsontext import render_json

_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters()), st.dates(), st.binary()
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner), st.tuples(inner), st.dictionaries(_SCALARS, inner), st.frozensets(_SCALARS)
    ),
    max_leaves=8,
)


def strict(text: str) -> object:
    """Parse JSON of the standard: no NaN, no infinities, and nothing around it."""

    def refuse(name: str) -> NoReturn:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


@given(_VALUES)
def test_any_value_becomes_json(value: object) -> None:
    text = render_json(value)
    strict(text)
    text.encode()


def test_what_json_has_no_word_for_is_a_text() -> None:
    value = {"a": [float("nan"), {"b": float("-inf")}], float("inf"): 1, (1, 2): datetime.date(2024, 1, 1)}
    wanted = {"a": ["NaN", {"b": "-Infinity"}], "Infinity": 1, "(1, 2)": "2024-01-01"}
    assert strict(render_json(value)) == wanted


def test_what_json_has_words_for_stays() -> None:
    for value in (1.5, 1e300, "NaN", [1, 2], {"1": True, "x": None}):
        assert json.loads(render_json(value)) == value
