"""Modules of the user's own that a model is made of: kept in its folder, found again where it is read.

A pipeline with a transformer from `features.py` beside the training script can only be read where `features` can
be imported. Its folder therefore holds the sources, under `code/` as MLflow's `code_paths` does; both programs
read each other's. Two versions of a model may hold different sources of one name: each is read with its own.
An import that a function makes only when it is called finds those of the version that was read last, and only
modules that were imported where it was saved.
"""

from __future__ import annotations

import ast
import importlib
import shutil
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from penstock.base.errors import Invalid
from penstock.records.flavours import IMPORTS
from penstock.serving.loaders.import_turns import Turns

CODE = "code"
_INSTALLED = tuple(
    Path(path).resolve()
    for path in {*sysconfig.get_paths().values(), *sys.path}
    if path.endswith("-packages")
)
_turns = Turns()


def keep_sources(modules: Iterable[str], code: Path) -> list[str]:
    """Copy the sources of modules that are not installed, and of what they import from beside them.

    Args:
        modules: dotted names, such as `features.text`; what is not imported or is installed is left out.
        code: the directory to copy to; it is made when there is anything.

    Returns: the names of what was copied and is imported here.

    Raises:
        Invalid: a module has the name of one of Python's own.
    """
    found: dict[str, tuple[Path, Path]] = {}
    waiting = [
        (name, root) for name in modules if (root := _root_of(sys.modules.get(name.partition(".")[0])))
    ]
    while waiting:
        name, root = waiting.pop()
        source = next((path for path in _places_of(root, name) if path.is_file()), None)
        if name in found or source is None:
            continue
        found[name] = (source, code / source.relative_to(root))
        parent = name.rpartition(".")[0]
        waiting += [(other, root) for other in (*_imports_of(name, source), parent) if other]
    _tops_of(found)
    for source, target in found.values():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return sorted(name for name in found if name in sys.modules)


@contextmanager
def own_code(code: Path, modules: Iterable[str] = ()) -> Iterator[None]:
    """Let imports find a model's own modules while it is read.

    Args:
        code: the directory with their sources.
        modules: those to import at once, so that they are there when a function asks for them later.

    Raises:
        Invalid: a module has the name of one of Python's own, or of a library that is in use here, or importing
            them took too long (`serving.import_too_long`).
        Unavailable: an import that hangs holds modules of the same name (`serving.import_hangs`).
        Exception: whatever importing them raises, such as ModuleNotFoundError of what they need in turn.
    """
    turn = _turns.take(code)
    has_failed = True
    try:
        with IMPORTS.held():  # always within a turn, so that nobody who has one waits for who waits for it
            if not is_imported(code):
                tops = _tops_of(_modules_in(code))
                _turns.check(tops)
                turn.open(tops)
                for name in modules:
                    import_own(name)
            turn.begin_reading()
            yield
        turn.require()
        has_failed = False
    except Exception:
        turn.require()  # what was undone meanwhile explains whatever else went wrong
        raise
    finally:
        _turns.end(turn, has_failed=has_failed)


def import_own(module: str) -> ModuleType:
    """Return a model's module while its code can be found; raises whatever importing it raises."""
    return importlib.import_module(module)


def is_imported(code: Path) -> bool:
    """Whether all sources in a directory were imported before, so that reading the model runs none of them."""
    return all(_is_imported(name, source) for name, source in _modules_in(code).items())


def _tops_of(modules: Iterable[str]) -> set[str]:
    """Return the first parts of dotted names, which no one else may have."""
    tops = {name.partition(".")[0] for name in modules}
    for name in sorted(tops):
        module = sys.modules.get(name)
        if name in sys.stdlib_module_names or (module is not None and _root_of(module) is None):
            raise Invalid(
                f"the model's own module {name!r} has the name of a module of Python or of an installed library",
                code="serving.module_name_taken",
                hint="rename the module, train and save the model again",
                module=name,
            )
    return tops


def _root_of(module: ModuleType | None) -> Path | None:
    """Return the directory that a module of one's own was imported from; None of what is installed."""
    file = getattr(module, "__file__", None)
    if module is None or file is None or not file.endswith(".py"):
        return None
    source = Path(file).resolve()
    if any(source.is_relative_to(place) for place in _INSTALLED) or _is_of_python(source):
        return None
    return source.parent.parent if source.name == "__init__.py" else source.parent


def _is_of_python(source: Path) -> bool:
    return source.is_relative_to(Path(sysconfig.get_path("stdlib")).resolve())


def _imports_of(name: str, source: Path) -> list[str]:
    """Return the dotted names that a module imports, anywhere in it; of `from a import b` both `a` and `a.b`."""
    package = name if source.name == "__init__.py" else name.rpartition(".")[0]
    found = []
    for node in ast.walk(ast.parse(source.read_bytes())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            found += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return found


def _places_of(root: Path, name: str) -> tuple[Path, Path]:
    """Return where a module of a directory may lie."""
    path = root.joinpath(*name.split("."))
    return path.with_name(f"{path.name}.py"), path / "__init__.py"


def _modules_in(code: Path) -> dict[str, Path]:
    """Return the modules below a directory by dotted name, packages before what they hold."""
    found = {}
    for source in sorted(code.rglob("*.py")):
        parts = source.relative_to(code).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if all(part.isidentifier() for part in parts):
            found[name] = source
    return dict(sorted(found.items()))


def _is_imported(name: str, source: Path) -> bool:
    """Whether a module of this name and content was imported before."""
    file = getattr(sys.modules.get(name), "__file__", None)
    try:
        return isinstance(file, str) and Path(file).read_bytes() == source.read_bytes()
    except OSError:
        return False
