"""Commands that ask before they remove never ask where nobody can answer: they are refused, and name the flag."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import penstock
from projects import Sample
from servers.forking import run_penstock


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (("model", "delete", "late/1"), "penstock model delete late/1 --force"),
        (("model", "delete", "late"), "penstock model delete late --force"),
        (("destroy",), "penstock destroy --force"),
        (("gc", "-w"), "penstock gc -f"),
    ],
)
def test_without_a_terminal_nothing_is_asked_and_the_flag_is_named(
    words: tuple[str, ...], flag: str, released: Sample
) -> None:
    released.write("data/raw.csv", "another\n")
    assert run_penstock(released.root, "add", "data/raw.csv").returncode == 0
    released.close()
    done = run_penstock(released.root, *words)
    assert done.returncode == 1, done.stderr
    assert "nobody can be asked" in done.stderr
    assert flag in done.stderr
    assert "[y/N]" not in done.stderr + done.stdout
    assert "interrupted" not in done.stderr


def test_every_question_of_a_command_is_asked_by_one_function() -> None:
    """Those that have an answer of their own without a terminal ask whether there is one first."""
    root = Path(penstock.__file__).parent
    asking = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"confirm", "prompt"}
        if isinstance(node.value, ast.Name) and node.value.id == "click"
    }
    assert asking == {"cli/output.py", "cli/setup.py", "cli/pipelines/repro.py"}
    for name in asking:
        assert "can_ask()" in (root / name).read_text(), name
