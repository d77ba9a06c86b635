"""Documents are read back as they were, whatever stands in them."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.data.formats.yamltext import dump_document, load_document

ODD = "ab \x85\u2028\u2029\ufeff'\"#:-\n\t\r\\é\U0001f600\udcff,[]{}&*!|>%@`\x07\x1b\xa0"


@settings(max_examples=60, deadline=None)
@given(st.text(ODD, max_size=200))
@example("a\x85b")
@example("ab \udce9 " * 12 + "\udce9ab" * 12)
@example("a\tb " * 18 + "\tend of it")
def test_a_text_is_read_back(name: str) -> None:
    text = dump_document({"outs": [{"path": name, "size": 1}]})
    text.encode()
    assert load_document(text, "x")["outs"] == [{"path": name, "size": 1}]


@pytest.mark.parametrize(
    ("name", "written"), [("a\x85b", r'"a\Nb"'), ("a\nb", r'"a\nb"'), ("a b", "a b"), ("#h", "'#h'")]
)
def test_only_what_needs_it_is_quoted(name: str, written: str) -> None:
    assert dump_document({"path": name}) == f"path: {written}\n"


def test_comments_of_a_document_without_depth_stay() -> None:
    text = "# why\nname: a # which\n\nsize: 1\n# end\n"
    document = load_document(text, "x")
    assert dump_document(document) == text
    document["size"] = 2
    del document["name"]
    assert dump_document(document) == "# why\nsize: 2\n# end\n"
