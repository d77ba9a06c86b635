from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.errors import Invalid
from penstock.serving.predictions.ids import ALPHABET, LENGTH, ROUTES, PredictionId, parse_prediction_id

ids = st.builds(
    PredictionId,
    time_ms=st.integers(0, 2**48 - 1),
    endpoint_id=st.integers(0, 2**24 - 1),
    revision=st.integers(0, 2**24 - 1),
    route=st.sampled_from(ROUTES),
    worker=st.integers(0, 2**24 - 1),
    counter=st.integers(0, 2**28 - 1),
)


@given(ids)
def test_parsing_gives_back_what_was_encoded(one: PredictionId) -> None:
    text = one.encode()
    assert len(text) == LENGTH
    assert parse_prediction_id(text) == parse_prediction_id(text.lower()) == one


@given(ids, ids)
def test_texts_sort_by_time(one: PredictionId, other: PredictionId) -> None:
    if one.time_ms < other.time_ms:
        assert one.encode() < other.encode()


@given(ids, st.integers(0, LENGTH - 1), st.sampled_from(ALPHABET))
def test_every_single_wrong_character_is_found(one: PredictionId, place: int, char: str) -> None:
    text = one.encode()
    wrong = text[:place] + char + text[place + 1 :]
    if wrong != text:
        with pytest.raises(Invalid, match="typing error"):
            parse_prediction_id(wrong)


@pytest.mark.parametrize("text", ["", "U" * LENGTH, "0" * 30, "0" * 32, "é" * LENGTH, "0" * 30 + "1"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_prediction_id(text)
