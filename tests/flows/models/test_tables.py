"""A table as what a model takes: an optional column may be absent, a tensor may not."""

from __future__ import annotations

import polars as pl
import pytest

from penstock.base.errors import Invalid
from penstock.flows.models.tables import table_inputs
from penstock.records.signature import Column, Signature


def test_a_tensor_whose_values_may_be_missing_is_asked_of_the_table() -> None:
    age, gap = Column("age", "FP64"), Column("gap", "FP64", required=False)
    frame = pl.DataFrame({"age": [1.0, 2.0]})
    assert list(table_inputs(Signature((age, gap), ()), frame)) == ["age"]
    pixels = Column("pixels", "FP32", required=False, shape=(-1, 8))
    with pytest.raises(Invalid, match="'pixels'"):
        table_inputs(Signature((age, pixels), ()), frame)
