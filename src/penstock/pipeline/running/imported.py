"""Which Python modules of the repository a stage's command uses without listing them: read from the source, not run.

Only `python FILE.py` and `python -m MODULE` are understood, and only what an `import` statement names.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from penstock.pipeline.stage import Stage

_PYTHON = re.compile(r"(?:.*/)?python(?:\d(?:\.\d+)?)?$")
_WITH_VALUE = {"-W", "-X", "--check-hash-based-pycs"}
MOST_MODULES = 500


def unlisted_modules(root: Path, stage: Stage) -> tuple[str, ...]:
    """Return the files, relative to `root`, that a stage imports, directly or through others, and does not depend on.

    What cannot be read or found says nothing.
    """
    listed = [os.path.normpath(root / path) for path in stage.reads]
    found: dict[str, None] = {}
    for program, places in _programs(root / stage.directory, stage.commands):
        pending, seen = [program], {program}
        while pending and len(seen) < MOST_MODULES:
            for path in _imports(pending.pop(), places):
                if path not in seen and path.is_relative_to(root):
                    seen.add(path)
                    pending.append(path)
        for path in sorted(seen - {program}):
            if not any(str(path) == one or str(path).startswith(f"{one}{os.sep}") for one in listed):
                found[path.relative_to(root).as_posix()] = None
    return tuple(found)


def _programs(directory: Path, commands: tuple[str, ...]) -> Iterator[tuple[Path, tuple[Path, ...]]]:
    """Yield each Python file that commands run, and where it finds its modules."""
    for line in (line for command in commands for line in command.splitlines()):
        try:
            words = list(shlex.shlex(line, posix=True, punctuation_chars=True))
        except ValueError:
            continue
        for at, word in enumerate(words):
            if not _PYTHON.match(word):
                continue
            rest = iter(words[at + 1 :])
            for option in rest:
                if option == "-m":
                    place = _find(next(rest, ""), (directory,))
                    if place is not None:
                        main = place.with_name("__main__.py")
                        is_package = place.name == "__init__.py" and main.is_file()
                        yield main if is_package else place, (directory,)
                    break
                if option in _WITH_VALUE:
                    next(rest, None)
                elif not option.startswith("-") or option == "-":
                    place = Path(os.path.normpath(directory / option))
                    if place.suffix == ".py" and place.is_file():
                        yield place, (place.parent,)
                    break


def _imports(file: Path, places: tuple[Path, ...]) -> Iterator[Path]:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names, level, inside = [alias.name for alias in node.names], 0, False
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            names = [base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)]
            level, inside = node.level, True
        else:
            continue
        around = (file.parents[level - 1],) if level and level <= len(file.parents) else places
        for name in filter(None, names):
            yield from _along(name, around)
        if inside and level and (start := around[0] / "__init__.py").is_file():
            yield start


def _along(name: str, places: tuple[Path, ...]) -> Iterator[Path]:
    """Yield the files that importing a dotted name runs: its packages' and its own."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        found = _find(".".join(parts[:count]), places)
        if found is not None:
            yield found


def _find(name: str, places: tuple[Path, ...]) -> Path | None:
    if not name or not all(part.isidentifier() for part in name.split(".")):
        return None
    for place in places:
        base = place.joinpath(*name.split("."))
        for path in (base / "__init__.py", base.with_name(f"{base.name}.py")):
            if path.is_file():
                return path
    return None
