from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.errors import Invalid
from penstock.records.signature import Column, Signature
from penstock.serving.codecs import (
    Encoding,
    InferResponse,
    decode_request,
    encode_response,
)
from penstock.serving.loaders.model import numpy_dtype
from penstock.serving.matching import to_columns
from penstock.serving.plain import read_request
from penstock.serving.predictions.feedback import decode_feedback
from penstock.serving.scoring import decode_scoring
from penstock.serving.tensors import Tensor

NUMBERS = [f"{kind}INT{bits}" for kind in ("", "U") for bits in (8, 16, 32, 64)] + ["FP16", "FP32", "FP64"]
ANY = Signature((Column("x", "FP64"),), ())


def values_of(datatype: str, rng: np.random.Generator, count: int) -> np.ndarray:
    dtype = numpy_dtype(datatype)
    if datatype == "BYTES":
        texts = np.empty(count, dtype=object)
        texts[:] = rng.choice(["", "ä", "long " * 9], count).tolist()
        return texts
    if datatype == "BOOL":
        return rng.random(count) < 0.5
    if dtype.kind == "f":
        return rng.normal(size=count).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, count, dtype=dtype, endpoint=True)


@given(st.sampled_from([*NUMBERS, "BOOL", "BYTES"]), st.integers(0, 2**32), st.integers(1, 9), st.booleans())
def test_a_tensor_survives_both_encodings(datatype: str, seed: int, count: int, is_binary: bool) -> None:
    values = values_of(datatype, np.random.default_rng(seed), count)
    response = InferResponse(
        model_name="m", model_version="1", id="i", parameters={}, tensors=(Tensor("x", datatype, values),)
    )
    body, size = encode_response(response, Encoding(default=is_binary))
    head = json.loads(body if size is None else body[:size])
    request = json.dumps({"inputs": head["outputs"]}).encode()
    tail = b"" if size is None else body[size:]
    decoded, _ = decode_request(request + tail, len(request) if is_binary else None, ANY, 0.0)
    (tensor,) = decoded.tensors
    assert tensor.datatype == datatype
    assert tensor.values.dtype == values.dtype
    assert tensor.values.tolist() == values.tolist()


@given(st.binary(max_size=200), st.one_of(st.none(), st.integers(0, 200)))
def test_whatever_comes_is_a_request_or_the_clients_mistake(body: bytes, size: int | None) -> None:
    try:
        decoded, _ = decode_request(body, size, ANY, 0.0)
        to_columns(ANY, decoded.tensors)
    except Invalid as error:
        assert error.message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.just("x") | json_values,
            "shape": st.lists(st.integers(-2, 3), max_size=3) | json_values,
            "datatype": st.sampled_from([*NUMBERS, "BOOL", "BYTES", "BF16"]) | json_values,
            "data": json_values,
            "parameters": st.dictionaries(st.sampled_from(["binary_data_size", "p"]), json_values)
            | json_values,
        },
    )
)
def test_no_input_of_whatever_form_is_more_than_a_mistake(one: dict[str, Any]) -> None:
    body = json.dumps({"inputs": [one]}).encode()
    try:
        decoded, _ = decode_request(body, None, ANY, 0.0)
        to_columns(ANY, decoded.tensors)
    except Invalid as error:
        assert error.message


def test_a_raw_body_is_the_tensor_of_a_model_with_one_input() -> None:
    decoded, encoding = decode_request(np.arange(3.0).tobytes(), 0, ANY, 0.0)
    columns, row_count = to_columns(ANY, decoded.tensors)
    assert (columns["x"].tolist(), row_count) == ([0.0, 1.0, 2.0], 3)
    assert encoding.is_binary("prediction")
    table = Signature((Column("x", "FP64", shape=(-1, 2)),), ())
    decoded, _ = decode_request(np.arange(6.0).tobytes(), 0, table, 0.0)
    assert decoded.tensors[0].values.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    for shape in ((-1, 4), (-1, -1)):
        with pytest.raises(Invalid):
            decode_request(
                np.arange(6.0).tobytes(), 0, Signature((Column("x", "FP64", shape=shape),), ()), 0.0
            )
    text = Signature((Column("t", "BYTES"),), ())
    decoded, _ = decode_request("ä".encode(), 0, text, 0.0)
    assert decoded.tensors[0].values.tolist() == ["ä"]


@pytest.mark.parametrize(
    ("datatype", "value", "is_taken"),
    [
        ("INT32", 5, True),
        ("FP32", 0.5, True),
        ("BOOL", True, True),
        ("INT64", 2**53, True),
        ("INT64", 2**53 + 1, False),
        ("UINT64", 2**63, False),
        ("BYTES", "5", False),
    ],
)
def test_datatypes_widen_when_nothing_is_lost(datatype: str, value: Any, is_taken: bool) -> None:
    tensor = Tensor("x", datatype, np.array([value], dtype=numpy_dtype(datatype)))
    if is_taken:
        columns, _ = to_columns(ANY, [tensor])
        assert columns["x"].dtype == np.float64
    else:
        with pytest.raises(Invalid):
            to_columns(ANY, [tensor])


def test_a_misspelt_input_is_told_with_the_nearest_name() -> None:
    signature = Signature((Column("distance", "FP64"),), ())
    with pytest.raises(Invalid) as caught:
        to_columns(signature, [Tensor("distnce", "FP64", np.zeros(1))])
    assert caught.value.hint == "did you mean 'distance'?"


@given(st.binary(max_size=60))
def test_feedback_is_labels_or_a_mistake(body: bytes) -> None:
    try:
        decode_feedback(body)
    except Invalid as error:
        assert error.hint


ODD_DATA = (
    "[1.5]",
    "[1]",
    "[null]",
    "[1, 2]",
    "[]",
    "[[1]]",
    '["x"]',
    "[true]",
    "1",
    "null",
    "{}",
    "[1e999]",
)


def outcome(data: str, count: int) -> object:
    """Return what columns, the second one with odd data, are read as: values, or the error's code."""
    inputs = [
        f'{{"name": "f{index}", "shape": [1], "datatype": "FP64", "data": {data if index == 1 else "[0.5]"}}}'
        for index in range(count)
    ]
    body = f'{{"inputs": [{", ".join(inputs)}]}}'.encode()
    try:
        request, _ = decode_request(body, None, ANY, 0.0)
    except Invalid as error:
        return error.code
    return [(tensor.name, tensor.datatype, repr(tensor.values.tolist())) for tensor in request.tensors[:3]]


def test_columns_read_together_are_read_as_one_by_one() -> None:
    for data in ODD_DATA:
        assert outcome(data, 8) == outcome(data, 3), data


def test_parameters_that_are_null_are_none() -> None:
    one = '{"name": "x", "shape": [1], "datatype": "FP64", "data": [0.5], "parameters": null}'
    body = f'{{"inputs": [{one}], "outputs": [{{"name": "y", "parameters": null}}], "parameters": null}}'
    request, encoding = decode_request(body.encode(), None, ANY, 0.0)
    assert (request.parameters, request.outputs, encoding) == ({}, ("y",), Encoding())
    assert request.tensors[0].values.tolist() == [0.5]


def test_what_json_has_no_word_for_is_null_and_named() -> None:
    odd = np.array([[1.0, np.nan], [-np.inf, np.inf]])
    texts = np.array(["null", None], dtype=object)
    tensors = (
        Tensor("odd", "FP64", odd),
        Tensor("half", "FP16", np.array([np.inf], dtype=np.float16)),
        Tensor("fine", "FP64", np.array([1.0])),
        Tensor("text", "BYTES", texts),
        Tensor("many", "FP32", np.full(103, np.nan, dtype=np.float32)),
    )
    response = InferResponse(model_name="m", model_version="1", id="i", parameters={}, tensors=tensors)
    body, size = encode_response(response, Encoding())
    assert size is None
    odd_one, half, fine, text, many = json.loads(body)["outputs"]
    assert odd_one["data"] == [1.0, None, None, None]
    assert odd_one["parameters"] == {"penstock-nonfinite": "1: NaN, 2: -Infinity, 3: Infinity"}
    assert half["parameters"] == {"penstock-nonfinite": "0: Infinity"}
    assert "parameters" not in fine and "parameters" not in text
    assert many["parameters"]["penstock-nonfinite"].endswith("99: NaN, and 3 more")
    body, size = encode_response(response, Encoding(by_output={"odd": True}))
    first = json.loads(body[:size])["outputs"][0]
    assert first["parameters"] == {"binary_data_size": 32}, "as it is"


def test_a_mark_before_the_text_is_passed_over_with_and_without_binary_tensors() -> None:
    one = {"name": "x", "shape": [2], "datatype": "FP64"}
    plain = b"\xef\xbb\xbf" + json.dumps({"inputs": [{**one, "data": [0.5, 1.5]}]}).encode()
    described = {**one, "parameters": {"binary_data_size": 16}}
    head = b"\xef\xbb\xbf" + json.dumps({"inputs": [described]}).encode()
    for body, size in ((plain, None), (head + np.array([0.5, 1.5]).tobytes(), len(head))):
        for read in (decode_request, read_request):
            assert read(body, size, ANY, 0.0)[0].tensors[0].values.tolist() == [0.5, 1.5]
    scored = b'\xef\xbb\xbf{"dataframe_split": {"columns": ["x"], "data": [[0.5]]}}'
    assert decode_scoring(scored, "application/json", ANY, 0.0).tensors[0].values.tolist() == [0.5]


@pytest.mark.parametrize("half", ["\\ud83d", "a\\uD83Db", "\\ude00", "\\ud83d\\u0041"])
def test_half_a_character_is_told_as_that(half: str) -> None:
    text = Signature((Column("t", "BYTES"),), ())
    one = '{"name": "t", "shape": [1], "datatype": "BYTES", "data": ["%s"]}'
    for body in (
        '{"inputs": [' + one % half + "]}",
        '{"inputs": [' + one.replace('["%s"]', '[["%s"]]').replace("[1]", "[1, 1]") % half + "]}",
        '{"inputs": [' + one.replace('"t"', f'"{half}"') % "a" + "]}",
    ):
        with pytest.raises(Invalid, match="half of a surrogate pair"):
            decode_request(body.encode(), None, text, 0.0)
    with pytest.raises(Invalid, match="half of a surrogate pair"):
        decode_scoring(f'{{"instances": ["{half}"]}}'.encode(), "application/json", text, 0.0)
    whole = '{"inputs": [' + one % "\\ud83d\\ude00" + "]}"
    assert decode_request(whole.encode(), None, text, 0.0)[0].tensors[0].values.tolist() == ["\U0001f600"]
    with pytest.raises(Invalid) as caught:
        decode_request(whole[:-1].encode(), None, text, 0.0)
    assert "surrogate" not in caught.value.message
