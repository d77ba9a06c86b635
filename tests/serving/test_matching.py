"""Tensors of a request become what the model takes: by name, in any order, or as one matrix for its columns."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from penstock.base.errors import Invalid
from penstock.records.signature import Column, Signature
from penstock.serving.loaders.answers import fit_output
from penstock.serving.loaders.model import Matrix, join_columns
from penstock.serving.loaders.times import as_times
from penstock.serving.matching import iterate_columns, to_columns
from penstock.serving.tensors import Tensor

WIDE = Signature(tuple(Column(f"f{index}", "FP64") for index in range(64)), ())
MIXED = Signature((Column("a", "FP64"), Column("n", "INT64"), Column("t", "BYTES", False)), ())
IMAGES = Signature((Column("pixels", "FP32", shape=(-1, 3, -1, -1)), Column("age", "FP64")), ())


def doubles(name: str, values: Any, datatype: str = "FP64") -> Tensor:
    return Tensor(name, datatype, np.asarray(values))


def refused(signature: Signature, *tensors: Tensor) -> str:
    with pytest.raises(Invalid) as error:
        to_columns(signature, tensors)
    return error.value.code


def test_named_columns_in_any_order_are_one_matrix_in_the_signatures_order() -> None:
    rows = np.arange(128.0).reshape(2, 64)
    named = [doubles(f"f{index}", rows[:, index]) for index in range(64)]
    for tensors in (named, named[::-1], [doubles(one.name, one.values.reshape(2, 1)) for one in named]):
        columns, row_count = to_columns(WIDE, tensors)
        assert isinstance(columns, Matrix)
        assert row_count == 2
        assert np.array_equal(columns.values_by_row, rows)
        assert columns["f63"].tolist() == [63.0, 127.0]
    narrow = [Tensor(one.name, "FP32", one.values.astype(np.float32)) for one in named]
    assert to_columns(WIDE, narrow)[0]["f1"].dtype == np.float64


def test_one_tensor_stands_for_all_columns_under_any_name_but_a_columns_own() -> None:
    rows = np.arange(128.0).reshape(2, 64)
    columns, row_count = to_columns(WIDE, [doubles("input-0", rows)])
    assert isinstance(columns, Matrix)
    assert columns.values_by_row is rows
    assert row_count == 2
    whole, _ = to_columns(WIDE, [doubles("predict", rows.astype(np.int64), "INT64")])
    assert whole["f63"].tolist() == [63.0, 127.0]
    assert refused(WIDE, doubles("f0", rows)) == "serving.bad_shape"
    assert refused(WIDE, doubles("x", rows[:, :63])) == "serving.bad_shape"
    assert refused(WIDE, doubles("x", rows[:0])) == "serving.bad_shape"
    assert refused(WIDE, doubles("x", rows), doubles("y", rows)) == "serving.unknown_input"
    assert refused(MIXED, doubles("x", np.zeros((2, 3)))) == "serving.wrong_datatype"
    texts = Signature((Column("a", "BYTES"), Column("b", "BYTES")), ())
    pair, _ = to_columns(texts, [Tensor("x", "BYTES", np.array([["p", "q"]], dtype=object))])
    assert (pair["a"].tolist(), pair["b"].tolist()) == (["p"], ["q"])


def test_what_is_missing_or_infinite_is_told_by_the_columns_name() -> None:
    rows = np.zeros((2, 64))
    for value, code in ((np.nan, "serving.missing_value"), (np.inf, "serving.bad_data")):
        rows[1, 7] = value
        assert refused(WIDE, doubles("x", rows)) == code
        named = [doubles(f"f{index}", rows[:, index]) for index in range(64)]
        with pytest.raises(Invalid, match="'f7'") as error:
            to_columns(WIDE, named)
        assert error.value.code == code
    assert refused(WIDE, *[doubles(f"f{index}", [0.0]) for index in range(63)]) == "serving.missing_input"
    twice = [doubles(f"f{min(index, 62)}", [0.0]) for index in range(64)]
    assert refused(WIDE, *twice) == "serving.repeated_input"
    uneven = [doubles(f"f{index}", [0.0] * (1 + index // 63)) for index in range(64)]
    assert refused(WIDE, *uneven) == "serving.bad_shape"


def test_tensors_of_any_rank_are_checked_and_passed_as_they_are() -> None:
    pixels = np.zeros((2, 3, 8, 9), np.float32)
    columns, row_count = to_columns(IMAGES, [doubles("age", [1.0, 2.0]), doubles("pixels", pixels, "FP32")])
    assert columns["pixels"] is pixels
    assert row_count == 2
    for wrong in (pixels[:, :2], pixels[0], pixels[:0], pixels[:1]):
        assert (
            refused(IMAGES, doubles("pixels", wrong, "FP32"), doubles("age", [1.0, 2.0]))
            == "serving.bad_shape"
        )
    age = doubles("age", [1.0, 2.0])
    assert refused(IMAGES, doubles("pixels", pixels.astype(float)), age) == "serving.wrong_datatype"
    pixels[0, 0, 0, 0] = np.nan
    assert refused(IMAGES, doubles("pixels", pixels, "FP32"), age) == "serving.missing_value"
    only = Signature((Column("input-0", "FP64", shape=(-1, 4)),), ())
    assert to_columns(only, [doubles("whatever", np.zeros((3, 4)))])[1] == 3
    assert refused(only, doubles("whatever", np.zeros((3, 5)))) == "serving.bad_shape"
    fixed = Signature((Column("x", "FP32", shape=(1, 4)),), ())
    assert to_columns(fixed, [doubles("x", np.zeros((1, 4), np.float32), "FP32")])[1] == 1
    assert refused(fixed, doubles("x", np.zeros((2, 4), np.float32), "FP32")) == "serving.bad_shape"


def test_text_that_may_be_missing_may_be_and_dates_must_be_dates() -> None:
    empty = Tensor("t", "BYTES", np.array([None, "a"], dtype=object))
    columns, _ = to_columns(MIXED, [doubles("a", [1.0, 2.0]), doubles("n", [1, 2], "INT64"), empty])
    assert columns["t"].tolist() == [None, "a"]
    days = Signature((Column("day", "BYTES", meaning="date"),), ())
    assert refused(days, Tensor("day", "BYTES", np.array(["soon"], dtype=object))) == "serving.bad_data"
    assert refused(days, Tensor("day", "BYTES", np.array([None], dtype=object))) == "serving.missing_value"
    assert to_columns(days, [Tensor("day", "BYTES", np.array(["2026-11-28"], dtype=object))])[1] == 1


@pytest.mark.parametrize("zone", ["", "Europe/Berlin"])
@pytest.mark.parametrize("text", [None, "", "NaT"])
def test_a_time_that_is_missing_is_missing_in_any_words(zone: str, text: str | None) -> None:
    def signature(*, required: bool) -> Signature:
        return Signature((Column("at", "BYTES", required, meaning="datetime", zone=zone),), ())

    sent = Tensor("at", "BYTES", np.array(["2026-11-28T08:30:00Z", text], dtype=object))
    assert refused(signature(required=True), sent) == "serving.missing_value"
    assert to_columns(signature(required=False), [sent])[1] == 2


def test_a_boolean_that_may_be_missing_is_one_zero_or_nan() -> None:
    flags = Signature((Column("f", "FP64", False, meaning="boolean"), Column("a", "FP64")), ())
    columns, _ = to_columns(flags, [doubles("x", [[1.0, 5.0], [0.0, 5.0], [np.nan, 5.0]])])
    assert columns["f"].tolist()[:2] == [1.0, 0.0] and np.isnan(columns["f"][2])
    with pytest.raises(Invalid, match="'f' holds 5, and takes 1 for true, 0 for false and NaN"):
        to_columns(flags, [doubles("x", [[5.0, 1.0]])])
    assert refused(flags, doubles("f", [0.5, np.nan]), doubles("a", [1.0, 1.0])) == "serving.bad_data"
    assert refused(flags, doubles("f", [np.inf]), doubles("a", [1.0])) == "serving.bad_data"


def test_requests_are_joined_and_what_is_watched_are_columns() -> None:
    parts = [to_columns(WIDE, [doubles("x", np.full((rows, 64), float(rows)))])[0] for rows in (1, 2)]
    joined = join_columns(parts)
    assert isinstance(joined, Matrix)
    assert joined["f0"].tolist() == [1, 2, 2]
    mixed = join_columns([parts[0], dict(parts[1])])
    assert mixed["f63"].tolist() == [1, 2, 2]
    tensors = {"v": np.zeros((2, 3)), "image": np.zeros((2, 4, 4)), "age": np.zeros(2)}
    assert [name for name, _ in iterate_columns(tensors)] == ["v[0]", "v[1]", "v[2]", "age"]


def test_times_with_an_offset_are_taken_in_utc_and_nothing_warns() -> None:
    texts = [
        "2026-11-28T08:30:00+02:00",
        "2026-11-28 08:30:00.5-0330",
        "2026-11-28T08:30Z",
        "2026-11-28",
        None,
    ]
    values = np.array(texts, dtype=object)
    signature = Signature((Column("t", "BYTES", False, meaning="datetime"),), ())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        columns, _ = to_columns(signature, [Tensor("t", "BYTES", values)])
        found = as_times(columns["t"]).astype("datetime64[ms]").astype(str).tolist()
    assert found == [
        "2026-11-28T06:30:00.000",
        "2026-11-28T12:00:00.500",
        "2026-11-28T08:30:00.000",
        "2026-11-28T00:00:00.000",
        "NaT",
    ]
    for wrong in ("2026-13-28T08:30:00+02:00", "late"):
        assert refused(signature, Tensor("t", "BYTES", np.array([wrong], dtype=object))) == "serving.bad_data"


def test_a_model_that_gives_none_has_failed_also_for_a_single_row() -> None:
    for datatype in ("FP64", "INT64", "BYTES"):
        with pytest.raises(ValueError, match="the model gave None for 'y'"):
            fit_output(None, Column("y", datatype), 1)
