"""Values that a Python file assigns, read without running it.

What counts are assignments of literals to names: of the module, of classes (under the class's name), and to `self.x` in
a class's `__init__`.

Source: dvc/utils/serialize/_py.py (3.67).
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any


def parse_python(text: str) -> dict[str, Any]:
    """Return the values by name, those of classes nested.

    Raises:
        SyntaxError: it is not Python.

    Example:
        >>> parse_python("rate = 0.1\\nclass Train:\\n    layers: list = [1, 2]\\nother = f()")
        {'rate': 0.1, 'Train': {'layers': [1, 2]}}
    """
    return _values(ast.parse(text).body)


def _values(body: Iterable[ast.stmt]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            found[statement.name] = _values(statement.body)
        elif isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            found.update(_values(statement.body))
        else:
            found.update(_assigned(statement))
    return found


def _assigned(statement: ast.stmt) -> Iterator[tuple[str, Any]]:
    if isinstance(statement, ast.Assign):
        target = statement.targets[0]
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        target = statement.target
    else:
        return
    name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", None)
    try:
        value = _as_lists(ast.literal_eval(statement.value)) if statement.value is not None else None
    except ValueError:
        return  # not a literal
    if name is not None:
        yield name, value


def _as_lists(value: Any) -> Any:
    """Return a value with lists for tuples: a lock has no others, and reads back lists."""
    if isinstance(value, dict):
        return {key: _as_lists(one) for key, one in value.items()}
    return [_as_lists(one) for one in value] if isinstance(value, list | tuple) else value
