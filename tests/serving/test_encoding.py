"""Columns as bytes: the quick ways give the same bytes as the plain one."""

from __future__ import annotations

import numpy as np

from penstock.serving.loaders.model import Matrix
from penstock.serving.predictions.encoding import decode_columns, encode_columns, encode_each


def test_columns_in_one_matrix_are_stored_as_single_ones_are() -> None:
    for values in (
        np.arange(6.0).reshape(2, 3),
        np.arange(6.0, dtype="<f4").reshape(3, 2).T,
        np.empty((0, 3)),
        np.arange(120.0).reshape(40, 3),
        np.arange(6_000.0).reshape(2_000, 3),
    ):
        matrix = Matrix(("a", "b", "c"), values)
        stored = encode_columns(matrix)
        assert stored == encode_columns(dict(matrix.items()))
        for name, column in decode_columns(stored).items():
            np.testing.assert_array_equal(column, matrix[name])


def test_many_requests_are_stored_as_each_of_them_alone() -> None:
    one = {"prediction": np.array([1]), "probability": np.array([0.5])}
    texts = np.array(["a", None], dtype=object)
    alike = [{"prediction": np.array([index]), "probability": np.array([index / 7])} for index in range(9)]
    names = ("a", "b")
    for many in (
        [],
        [one],
        alike,
        [{name: np.repeat(values, 3) for name, values in each.items()} for each in alike],
        [*alike, {"probability": np.array([0.1]), "prediction": np.array([3])}],
        [*alike, {"prediction": np.array([3])}],
        [*alike, {**one, "more": np.array([3])}],
        [*alike, {**one, "prediction": np.array([3.0])}],
        [*alike, {**one, "prediction": np.array([3], dtype="<i4")}],
        [*alike, {**one, "prediction": np.array([3, 4])}],
        [*alike, {**one, "prediction": np.array([[3]])}],
        [*alike, {**one, "prediction": np.array(["x"], dtype=object)}],
        [{**each, "prediction": np.array([True])} for each in alike],
        [{"prediction": np.array([1.0], dtype=">f8")}, {"prediction": np.array([2.0], dtype=">f8")}],
        [{"prediction": np.array(["2026-11-29"], dtype="M8[D]")}] * 2,
        [{"prediction": np.empty(0)}] * 2,
        [{}, {}],
        [{"text": texts}, {"text": texts[:1]}],
        [{"image": np.zeros((1, 2, 2))}] * 3,
        [{"wide": np.arange(1_000.0)}] * 3,
        [Matrix(names, np.array([[1.0, index]])) for index in range(5)],
        [Matrix(names, np.array([[1.0, index]], dtype="<f4")) for index in range(5)],
        [Matrix(names, np.ones((2, 2)))] * 2,
        [Matrix(names, np.ones((1, 2))), Matrix(names, np.ones((3, 2)))],
        [Matrix(names, np.ones((1, 2))), Matrix(("b", "a"), np.ones((1, 2)))],
        [Matrix(names, np.ones((1, 2))), one],
        [one, Matrix(names, np.ones((1, 2)))],
        [Matrix((), np.ones((1, 0)))] * 2,
    ):
        assert encode_each(many) == [encode_columns(each) for each in many], many
