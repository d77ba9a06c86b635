"""What is read in one step is what reading it input by input gives; everything else is left to that."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from penstock.base.errors import Invalid
from penstock.records.signature import Column, Signature
from penstock.serving.codecs import decode_request
from penstock.serving.plain import PLAIN, read_request

SIGNATURE = Signature((Column("x", "FP64"),), (Column("y", "FP64"),))


def one(name: str = "x", shape: Any = (1,), data: Any = (1.5,), **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": list(shape), "datatype": "FP64", "data": data, **more}


READ: dict[str, Any] = {
    "a column": {"inputs": [one()]},
    "a matrix": {"inputs": [one(shape=(2, 3), data=list(range(6)))], "id": "mine"},
    "an empty id": {"inputs": [one()], "id": ""},
    "many columns": {"inputs": [one(str(index), (2,), [index, 0.5]) for index in range(6)]},
    "many matrices": {"inputs": [one(str(index), (2, 1), [index, 0.5]) for index in range(6)]},
    "columns of several lengths": {
        "inputs": [one(str(index), (index,), [0.5] * index) for index in range(6)]
    },
    "nested data": {"inputs": [one(shape=(2, 2), data=[[1, 2], [3, 4]])]},
    "a missing value": {"inputs": [one(shape=(2,), data=[None, 1.0])]},
    "other types": {"inputs": [one(), {**one("n"), "datatype": "INT64", "data": [3]}]},
    "parameters": {"inputs": [one(parameters={"a": 1})], "parameters": {"timeout": 5}},
    "outputs": {"inputs": [one()], "outputs": [{"name": "y", "parameters": {"binary_data": True}}]},
    "no inputs": {"inputs": []},
    "no dimension": {"inputs": [one(shape=(), data=1.0)]},
    "something unknown": {"inputs": [one(more=1)], "else": 2},
    "large numbers": {"inputs": [one(shape=(3,), data=[10**30, -(2**63), 1e300])]},
}
REFUSED: dict[str, bytes] = {
    "a shape of other size": json.dumps({"inputs": [one(shape=(2,))]}).encode(),
    "negative dimensions": json.dumps({"inputs": [one(shape=(-1, -1))]}).encode(),
    "text": json.dumps({"inputs": [one(data=["a"])]}).encode(),
    "33 dimensions": json.dumps({"inputs": [one(shape=[1] * 33)]}).encode(),
    "no JSON": b'{"inputs": [',
    "nothing": b"",
    "what is not UTF-8": json.dumps({"inputs": [one("NAME")]}).encode().replace(b"NAME", b"\xff"),
}


def test_what_is_read_in_one_step_is_read_the_same() -> None:
    for name, body in READ.items():
        text = json.dumps(body).encode()
        found, form = read_request(text, None, SIGNATURE, 1.0)
        wanted, wanted_form = decode_request(text, None, SIGNATURE, 1.0)
        assert form == wanted_form, name
        assert (found.id, found.parameters, found.outputs, found.received_s) == (
            wanted.id,
            wanted.parameters,
            wanted.outputs,
            wanted.received_s,
        ), name
        assert len(found.tensors) == len(wanted.tensors), name
        for ours, theirs in zip(found.tensors, wanted.tensors, strict=True):
            assert (ours.name, ours.datatype) == (theirs.name, theirs.datatype), name
            assert ours.values.dtype == theirs.values.dtype, name
            np.testing.assert_array_equal(ours.values, theirs.values)


def test_what_is_wrong_is_refused_with_the_same_words() -> None:
    for name, body in REFUSED.items():
        with pytest.raises(Invalid) as found:
            read_request(body, None, SIGNATURE, 1.0)
        with pytest.raises(Invalid) as wanted:
            decode_request(body, None, SIGNATURE, 1.0)
        assert found.value.message == wanted.value.message, name


def test_a_plain_request_wants_all_outputs_as_json() -> None:
    _, form = read_request(json.dumps(READ["a column"]).encode(), None, SIGNATURE, 1.0)
    assert form is PLAIN
    assert not form.is_binary("y")
    assert not form.classes
