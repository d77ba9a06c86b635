"""Which code of the tree a verdict is bound to beside what penstock.yaml names: what a check's files import, and so on.

The same tree says the same on every machine: modules are looked for in the root, in `src`, beside the file and where its
package begins, and one that is in several of them counts in each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from penstock.data.formats.imports import imported_files, unclear_lines
from penstock.registry.gates.check import Gate

SOURCES = "src"


def bound_files(gate: Gate, settings: Any, root: Path) -> tuple[str, ...]:
    """Return the files whose content belongs to a check: those it names, what comes with them, and what they import."""
    named = tuple(dict.fromkeys((*gate.files(settings), *gate.beside(settings, root))))
    more = (path.relative_to(root).as_posix() for path in _imported(root, named))
    return (*named, *(name for name in more if name not in named))


def unbound_code(gate: Gate, settings: Any, root: Path) -> str | None:
    """Say where a check's code runs other code that cannot be told from its text; None where that is not so.

    Who lists `files` knows what belongs to the check.
    """
    if getattr(settings, "files", ()):
        return None
    for name in bound_files(gate, settings, root):
        if name.endswith(".py") and (lines := unclear_lines(root / name)):
            return (
                f"{name}:{lines[0]} runs code that it does not name in an `import`: a change there leaves a verdict of "
                f"`{gate.title(settings)}` as it is"
            )
    return None


def module_places(root: Path, programs: Sequence[Path]) -> tuple[Path, ...]:
    """Return where modules of the tree are looked for: a check finds none that its verdict is not bound to."""
    beside = (place for path in programs for place in (path.parent, _start_of(path, root)))
    return tuple(dict.fromkeys((root, root / SOURCES, *beside)))


def _imported(root: Path, named: tuple[str, ...]) -> Iterator[Path]:
    programs = [root / name for name in named if name.endswith(".py")]
    if programs:
        yield from imported_files(root, programs, module_places(root, programs))


def _start_of(path: Path, root: Path) -> Path:
    """Return where the package of a file begins: the nearest directory above it that is no package."""
    place = path.parent
    while place != root and (place / "__init__.py").is_file():
        place = place.parent
    return place
