"""Which Python modules of the repository a stage's command uses without listing them: read from the source, not run.

Only `python FILE.py` and `python -m MODULE` are understood, and only what an `import` statement names.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from penstock.data.formats.imports import find_module, imported_files
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
        for path in imported_files(root, (program,), places, most=MOST_MODULES):
            if path == program:
                continue
            if not any(str(path) == one or str(path).startswith(f"{one}{os.sep}") for one in listed):
                found[path.relative_to(root).as_posix()] = None
    return tuple(found)


def _programs(directory: Path, commands: tuple[str, ...]) -> Iterator[tuple[Path, tuple[Path, ...]]]:
    """Yield each Python file that commands run, and where it finds its modules."""
    lines = (line for command in commands for line in command.splitlines())
    for line in (line for line in lines if "python" in line):
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
                    place = next(find_module(next(rest, ""), (directory,)), None)
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
