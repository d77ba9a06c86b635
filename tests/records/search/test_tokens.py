"""Tokens: nothing of the text is lost, and quotes and parentheses hold together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.records.search.tokens import Kind, tokenize, unquote


@given(st.text(alphabet="ab1.'\"`(),;=<>-+ \n"))
def test_tokens_and_the_white_space_between_them_are_the_text(text: str) -> None:
    rest = text
    for token in tokenize(text):
        rest = rest.lstrip()
        assert rest.startswith(token.text)
        rest = rest.removeprefix(token.text)
    assert rest.strip() == ""


def test_a_group_is_balanced_and_knows_quotes() -> None:
    tokens = tokenize("a IN (')', (b)) )")

    assert [(token.kind, token.text) for token in tokens] == [
        (Kind.WORD, "a"),
        (Kind.WORD, "IN"),
        (Kind.GROUP, "(')', (b))"),
        (Kind.MARK, ")"),
    ]


def test_an_open_quote_is_a_mark_of_its_own() -> None:
    assert [token.text for token in tokenize("a = 'x y")] == ["a", "=", "'", "x", "y"]


def test_a_word_that_runs_on_is_no_word() -> None:
    assert [token.kind for token in tokenize("a-b 1x 5-3 -5")] == [
        Kind.JUNK,
        Kind.WORD,
        Kind.JUNK,
        Kind.NUMBER,
    ]


@given(st.text(), st.sampled_from("'\"`"))
def test_unquoting_reverses_quoting(text: str, quote: str) -> None:
    assert unquote(quote + text.replace(quote, quote * 2) + quote) == text
