"""Values after `-S name=`, as Hydra's own parser reads them (the table was made with Hydra 1.3)."""

from __future__ import annotations

import math

import pytest

from penstock.base.errors import Invalid
from penstock.pipeline.overriding.values import parse_values

AS_HYDRA = {
    "1": [1],
    "1.0": [1.0],
    "1e-3": [0.001],
    "1E5": [1e5],
    "+4": [4],
    "007": ["007"],
    "0x10": ["0x10"],
    "1_000": [1000],
    ".5": [0.5],
    "5.": [5.0],
    "True": [True],
    "nUll": [None],
    "": [""],
    "'x,y'": ["x,y"],
    r"'it\'s'": ["it's"],
    "[1,2,b]": [[1, 2, "b"]],
    "[[1,2],[3]]": [[[1, 2], [3]]],
    "[]": [[]],
    "{x:1,y:[2,3]}": [{"x": 1, "y": [2, 3]}],
    "{}": [{}],
    "1,2,b": [1, 2, "b"],
    "[1,2],[3]": [[1, 2], [3]],
    "choice(a,b)": ["a", "b"],
    "range(4)": [0, 1, 2, 3],
    "range(1.5)": [0.0, 1.0],
    "range(1.0,3.0)": [1.0, 2.0],
    "range(0,1,0.25)": [0.0, 0.25, 0.5, 0.75],
    "range(3,0,-1)": [3, 2, 1],
    "range(start=1,stop=7,step=3)": [1, 4],
    "hello world": ["hello world"],
    "a:b": ["a:b"],
    "/path/to.txt": ["/path/to.txt"],
    "int(3.7)": [3],
    "-inf": [-math.inf],
    r"a\,b": ["a,b"],
    " 1 ": [1],
}


def test_a_value_is_what_hydra_reads() -> None:
    for text, wanted in AS_HYDRA.items():
        found = parse_values(text)
        assert (found, [type(one) for one in found]) == (wanted, [type(one) for one in wanted]), text


def test_what_cannot_be_read_or_is_not_supported_is_refused() -> None:
    for text in ["a(b", "[a", "'a", "a]", "1,", "[a,,b]", "{a}", "interval(0,1)", "shuffle(1,2)", "foo(1)", "int(x)",
                 "range(0,1,0)", "range(x)", "range(5,1)", "range(1e9)", "[range(3)]", "'a'b"]:  # fmt: skip
        with pytest.raises(Invalid) as refused:
            parse_values(text)
        assert refused.value.code == "experiments.bad_value", text
