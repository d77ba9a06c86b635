"""The examples in docstrings hold. Only the modules that have one are imported for it."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"


def test_every_example_in_a_docstring_holds() -> None:
    wrong, tried = [], 0
    for path in sorted(SOURCE.rglob("*.py")):
        if ">>> " not in path.read_text(encoding="utf-8"):
            continue
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        module = importlib.import_module(name)
        runner = doctest.DocTestRunner(verbose=False)
        told: list[str] = []
        for example in doctest.DocTestFinder(exclude_empty=True).find(module):
            runner.run(example, out=told.append)
        found = runner.summarize(verbose=False)
        tried += found.attempted
        wrong += [f"{name}: {found.failed} of {found.attempted}", *told] if found.failed else []
    assert wrong == [], "\n".join(wrong)
    assert tried > 100
