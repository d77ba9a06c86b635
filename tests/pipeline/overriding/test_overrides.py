"""Which parameters `-S` changes, and what the files say afterwards."""

from __future__ import annotations

import pytest

from penstock.base.errors import Conflict, Invalid, NotFound, PenstockError
from penstock.pipeline.overriding.overrides import Override, combine
from penstock.pipeline.overriding.writing import apply_overrides

PARAMS = "# all\nlr: 0.1  # rate\nmodel:\n  depth: 3\n  sizes: [1, 2]\n1: one\n"


def changed(*texts: str, text: str = PARAMS, file: str = "params.yaml") -> str:
    (overrides,) = combine(texts)
    return apply_overrides(text, file, overrides)


def test_every_combination_is_tried_the_last_parameter_first() -> None:
    found = [[one.text for one in chosen] for chosen in combine(["a=1,2", "other.json:b=x,y"])]
    assert found == [
        ["a=1", "other.json:b=x"], ["a=1", "other.json:b=y"], ["a=2", "other.json:b=x"], ["a=2", "other.json:b=y"]
    ]  # fmt: skip
    assert combine([]) == [()]
    assert combine(["~a"]) == [(Override("params.yaml", "a", "delete", has_value=False),)]
    for text in ["lr", "=1", "a b=1", ":a=1", "~"]:
        with pytest.raises(Invalid, match="does not say"):
            combine([text])
    with pytest.raises(Invalid, match="combinations"):
        combine(["a=range(200)", "b=range(200)"])


def test_values_are_set_and_the_rest_of_the_file_stays() -> None:
    assert changed("lr=0.2") == PARAMS.replace("0.1", "0.2")
    assert changed("lr=0.1", "model.depth=3") == PARAMS
    assert changed("model.sizes.1=5") == PARAMS.replace("[1, 2]", "[1, 5]")
    assert changed("1=two") == PARAMS.replace("one", "two")
    assert changed("~model", "~1") == "# all\nlr: 0.1  # rate\n"
    assert changed("~lr=0.1").startswith("# all\nmodel:") or "lr" not in changed("~lr=0.1")
    assert "  width: 4\n" in changed("+model.width=4")
    assert changed("++new.deep=null").endswith("new:\n  deep:\n")
    assert changed("model={depth: 4}") == PARAMS.replace("depth: 3", "depth: 4")
    assert changed("a=2", text='{"a": 1, "b": "é"}', file="p.json") == '{\n    "a": 2,\n    "b": "é"\n}\n'


def test_a_name_that_has_dots_itself_is_set_as_it_is_shown() -> None:
    text = "train:\n  a.b: 1\n  v1.2: {x: 3}\nplain.x: 4\n"
    assert changed("train.a.b=5", text=text) == text.replace("a.b: 1", "a.b: 5")
    assert changed("train.v1.2.x=5", "plain.x=6", text=text) == text.replace("x: 3", "x: 5").replace(
        "x: 4", "x: 6"
    )
    assert changed("+train.v1.2.y=1", text=text) == text.replace("{x: 3}", "{x: 3, y: 1}")
    assert changed("~train.a.b", text=text) == text.replace("  a.b: 1\n", "")
    both = "a.b: 1\na:\n  b: 2\n"
    assert changed("a.b=3", text=both) == both.replace("2", "3")
    for refused, kind in {"+train.a.b=1": Conflict, "train.a.c=1": NotFound}.items():
        with pytest.raises(kind):
            changed(refused, text=text)


def test_a_parameter_that_is_not_there_or_there_already_is_refused() -> None:
    cases: dict[str, type[PenstockError]] = {
        "lrr=1": NotFound, "model.deep=1": NotFound, "lr.x=1": NotFound, "~gone": NotFound, "~lr=0.3": NotFound,
        "+lr=1": Conflict, "model.sizes.2=1": NotFound,
    }  # fmt: skip
    for text, kind in cases.items():
        with pytest.raises(kind):
            changed(text)
    with pytest.raises(NotFound) as refused:
        changed("lrr=1")
    assert "did you mean 'lr'?" in str(refused.value.hint)
    with pytest.raises(Invalid, match="cannot be edited"):
        changed("a=2", text="a = 1\n", file="params.py")
