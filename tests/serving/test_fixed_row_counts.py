"""What was exported for one number of rows is refused when it is saved: it could answer no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import penstock
from penstock.base.errors import Invalid
from penstock.registry.package import describe_model

ROWS = np.ones((5, 4), dtype=np.float32)


def graph(first: int | str) -> Any:
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    given = helper.make_tensor_value_info("x", kind, [first, 4])
    found = helper.make_tensor_value_info("y", kind, [first, 4])
    made = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [given], [found])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def program(*, is_dynamic: bool) -> Any:
    torch: Any = pytest.importorskip("torch")
    shapes = ({0: torch.export.Dim("rows")},) if is_dynamic else None
    return torch.export.export(torch.nn.Linear(4, 1), (torch.ones(5, 4),), dynamic_shapes=shapes)


@pytest.mark.parametrize("first", [1, 5])
def test_a_graph_with_a_fixed_first_axis_is_refused_with_what_helps(tmp_path: Path, first: int) -> None:
    with pytest.raises(Invalid, match=rf"\[{first}, 4\].*dynamic first axis") as caught:
        penstock.save_model(graph(first), tmp_path / "m", inputs=ROWS[:first])
    assert caught.value.code == "registry.model_cannot_score"
    assert not (tmp_path / "m").exists()


def test_a_program_with_a_fixed_first_axis_is_refused_with_what_helps(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"\[5, 4\].*dynamic_shapes"):
        penstock.save_model(program(is_dynamic=False), tmp_path / "m", inputs=ROWS)


def test_one_that_takes_any_number_of_rows_is_saved(tmp_path: Path) -> None:
    penstock.save_model(graph("n"), tmp_path / "m", inputs=ROWS)
    assert describe_model(tmp_path / "m").signature.inputs[0].shape == (-1, 4)


def test_a_program_with_dynamic_shapes_is_saved(tmp_path: Path) -> None:
    penstock.save_model(program(is_dynamic=True), tmp_path / "m", inputs=ROWS)
    assert describe_model(tmp_path / "m").signature.inputs[0].shape == (-1, 4)
