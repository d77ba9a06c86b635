"""Which files of a tree a Python file imports: read from the source, nothing is run.

What counts are `import` statements, wherever they stand, and `import_module` and `__import__` of a literal name. Where code
finds its modules otherwise says `unclear_lines`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeGuard

BY_NAME = frozenset({"import_module", "__import__"})
"""Calls that import a module by its name."""
ELSEWHERE = frozenset({"exec", "run_path", "run_module", "spec_from_file_location", "SourceFileLoader"})
"""Calls that run code which no `import` statement names."""


class Wanted(NamedTuple):
    """Dotted names that one statement imports; `level` is that of a relative import."""

    names: tuple[str, ...]
    level: int = 0


class _Read(NamedTuple):
    wanted: tuple[Wanted, ...] = ()
    unclear: tuple[int, ...] = ()


def imported_files(
    root: Path, programs: Iterable[Path], places: tuple[Path, ...], *, most: int | None = None
) -> tuple[Path, ...]:
    """Return the files below `root` that programs import, directly or through others, in order of their paths.

    A program that another one imports is among them. What cannot be read or found says nothing.

    Args:
        root: where the tree begins.
        programs: the files that are run.
        places: directories where modules are looked for; one that is in several counts in each.
        most: how many files are looked at before it is given up to look for more.
    """
    pending = list(programs)
    looked, found = set(pending), set[Path]()
    while pending and (most is None or len(looked) < most):
        for path in _imports(pending.pop(), places):
            if not path.is_relative_to(root):
                continue
            found.add(path)
            if path not in looked:
                looked.add(path)
                pending.append(path)
    return tuple(sorted(found))


def find_module(name: str, places: Iterable[Path]) -> Iterator[Path]:
    """Yield the file of a module, or the `__init__.py` of a package, in each of the places that has it."""
    if not name or not all(part.isidentifier() for part in name.split(".")):
        return
    for place in places:
        base = place.joinpath(*name.split("."))
        for path in (base / "__init__.py", base.with_name(f"{base.name}.py")):
            if path.is_file():
                yield path
                break


def unclear_lines(file: Path) -> tuple[int, ...]:
    """Return the lines at which a file runs code that its text does not name, or changes where modules are found."""
    return _read(file).unclear


def _imports(file: Path, places: tuple[Path, ...]) -> Iterator[Path]:
    for wanted in _read(file).wanted:
        level = wanted.level
        around = (file.parents[level - 1],) if 0 < level <= len(file.parents) else places
        for name in filter(None, wanted.names):
            yield from _along(name, around)
        if level and (start := around[0] / "__init__.py").is_file():
            yield start


def _along(name: str, places: tuple[Path, ...]) -> Iterator[Path]:
    """Yield the files that importing a dotted name runs: its packages' and its own."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        yield from find_module(".".join(parts[:count]), places)


def _read(file: Path) -> _Read:
    try:
        return _parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return _Read()


@lru_cache(maxsize=1024)
def _parse(source: bytes) -> _Read:
    wanted: list[Wanted] = []
    unclear: list[int] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            wanted.append(Wanted(tuple(alias.name for alias in node.names)))
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            inner = (f"{base}.{alias.name}".lstrip(".") for alias in node.names)
            wanted.append(Wanted((base, *inner), node.level))
        elif isinstance(node, ast.Call) and (called := _name(node.func)) in BY_NAME:
            first = node.args[0] if node.args else None
            name = first.value if isinstance(first, ast.Constant) else None
            if isinstance(name, str) and not name.startswith("."):
                wanted.append(Wanted((name,)))
            else:
                unclear.append(node.lineno)
        elif _is_search_path(node) or (isinstance(node, ast.Call) and called in ELSEWHERE):
            unclear.append(node.lineno)
    return _Read(tuple(wanted), tuple(sorted(set(unclear))))


def _is_search_path(node: ast.AST) -> TypeGuard[ast.expr]:
    return isinstance(node, ast.Attribute) and node.attr == "path" and _name(node.value) == "sys"


def _name(node: ast.expr) -> str:
    """Return the last word of what is called: `import_module` of `importlib.import_module`."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
