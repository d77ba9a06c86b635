"""What is read and written without a library means, and is, what the library says; anything else is left to it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.base.yaml12 import load
from penstock.data.formats import yamltext
from penstock.data.formats.plainyaml import parse_plain, render_plain

words = st.one_of(
    st.text("ab1e.-/_ =x0~%+@:#'\"[]{},&*!|>yn", min_size=1, max_size=9),
    st.sampled_from(
        [
            "data/x.csv",
            "../x",
            "cp a b",
            "true",
            "No",
            "1e5",
            "12e34",
            "0x1f",
            "0b1",
            ".5",
            "..",
            "null",
            "a" * 81,
        ]
    ),
    st.text("0123456789abcdef", min_size=32, max_size=32),
)
scalars = st.one_of(words, st.integers(-(10**12), 10**12), st.booleans(), st.none(), st.floats(-1e6, 1e6))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=3)),
    max_leaves=8,
)
documents = st.dictionaries(words, values, min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(documents)
def test_what_is_written_is_ruamels_to_the_byte_and_read_back(document: dict[str, Any]) -> None:
    text = yamltext._dump(document)
    assert render_plain(document) in {None, text}
    found = parse_plain(text)
    assert found is None or repr(found) == repr(load(text))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), words, scalars), min_size=1, max_size=8))
def test_what_is_read_is_what_yaml_says(lines: list[tuple[int, str, object]]) -> None:
    text = "".join(f"{' ' * (2 * indent)}{key}: {value}\n" for indent, key, value in lines)
    found = parse_plain(text)
    if found is None:
        return
    try:
        assert repr(found) == repr(load(text))
    except yaml.YAMLError as error:
        raise AssertionError(f"read {text!r}, which is no YAML") from error


def test_what_pipelines_and_locks_mostly_are_is_plain() -> None:
    lock = "schema: '2.0'\nstages:\n  a:\n    cmd: cp x y\n    deps:\n    - path: x\n      hash: md5\n      size: 2\n"
    assert parse_plain(lock) == load(lock)
    stage = "# why\nstages:\n  a:\n    cmd: python a.py && b\n    deps: [x, y/z]\n    metrics:\n      - m.json:\n          cache: false\n"
    assert parse_plain(stage) == load(stage)
    for text in (
        "a: 1\na: 2\n",
        "a:\n",
        "a: &x 1\n",
        "a: b\n  c\n",
        "a: |\n  x\n",
        "a:\tb\n",
        "- a\n",
        "a: b: c\n",
        "a: yes\n",
    ):
        assert parse_plain(text) is None, text


def test_what_ends_with_a_colon_in_brackets_is_the_text_that_dvc_reads() -> None:
    for text in (
        "params: [other.json:]",
        "params: [é:, b, it's:, c: 1]\nx: {a:, b: c:}\n",
        '- [a b:]\n- {x: [y:]}\n- "a:,"\n- [http://a:80/b]\n',
        "a: [x\n  y:]\nb: [!!str z:]\n",
        'json: {"a":[1],"b":{}}\n',
    ):
        assert load(text) == yamltext.YAML(typ="safe", pure=True).load(text), text
    for text in ("[a:{b: 1}]", "{a: [b:}", "[" + ", ".join(["a:"] * 1000) + "]", "x: [a: b: c]"):
        with pytest.raises(yaml.YAMLError):
            load(text)
