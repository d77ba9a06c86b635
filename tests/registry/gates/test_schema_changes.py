"""What a schema file asks otherwise than an earlier one."""

from __future__ import annotations

import json
from typing import Any

from penstock.registry.gates.schema_changes import UNTOLD, compare_schemas


def _file(column: dict[str, Any] | None, **more: Any) -> bytes:
    columns = {"id": {"type": "string"}, **({} if column is None else {"wind": column})}
    return json.dumps({"columns": columns, **more}).encode()


def test_every_rule_that_lets_more_pass_is_told_as_such_and_its_reverse_is_not() -> None:
    number = {"type": "number", "min": 0, "max": 100}
    text = {"type": "string", "values": ["a", "b"]}
    for before, after, told in (
        (_file(number), _file({**number, "max": 9000}), "wind max 100.0 → 9000.0"),
        (_file(number), _file({**number, "min": -5}), "wind min 0.0 → -5.0"),
        (_file(number), _file({"type": "number", "min": 0}), "wind max 100.0 → –"),
        (_file(number), _file({**number, "nullable": True}), "wind may miss 0 → 1 of its values"),
        (_file(number), _file({**number, "max_missing_ratio": 0.5}), "wind may miss 0 → 0.5 of its values"),
        (_file(number), _file({**number, "required": False}), "wind required true → false"),
        (_file({**number, "mean_max": 1}), _file({**number, "mean_max": 2}), "wind mean_max 1.0 → 2.0"),
        (_file({**number, "mean_min": 1}), _file(number), "wind mean_min 1.0 → –"),
        (_file({**number, "type": "integer"}), _file(number), "wind type integer → number"),
        (_file(text), _file({**text, "values": ["a", "b", "c"]}), 'wind values ["a", "b"] → ["a", "b", "c"]'),
        (_file(text), _file({"type": "string"}), 'wind values ["a", "b"] → –'),
        (_file(number), _file(None), "wind is no longer asked for"),
        (_file(None, rows={"min": 9}), _file(None), "rows min 9 → 1"),
        (_file(None, extra_columns="forbid"), _file(None), "extra_columns forbid → allow"),
    ):
        assert [(one.words, one.is_looser) for one in compare_schemas(before, after)] == [(told, True)], told
        assert [one.is_looser for one in compare_schemas(after, before)] == [False], told
    optional = {**number, "required": False}
    forbids = {"extra_columns": "forbid"}
    assert compare_schemas(_file(None, **forbids), _file(optional, **forbids))[0].is_looser


def test_a_type_of_another_kind_and_a_file_that_cannot_be_read_let_more_pass() -> None:
    assert compare_schemas(_file({"type": "date"}), _file({"type": "string"}))[0].is_looser
    assert compare_schemas(_file({"type": "string"}), _file({"type": "date"}))[0].is_looser
    assert compare_schemas(None, _file(None)) == ((UNTOLD, True),)
    assert compare_schemas(b"{}", _file(None)) == ((UNTOLD, True),)
    swapped = [_file({"type": "string", "values": values}) for values in (["a", "b"], ["b", "a"])]
    assert compare_schemas(*swapped) == ()
