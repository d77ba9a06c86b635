"""The flavour of a class of one's own: its source, and what that imports from beside it, goes along with the files
that it wrote itself.

The class has `predict(rows)`, which returns an array, a frame or a mapping of arrays, a row an entry. What it learned it
writes in `save(folder)` and reads in `load(folder)`; it is made without arguments. Reading it runs its code.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.base.errors import Invalid
from penstock.serving.loaders.answers import as_answer
from penstock.serving.loaders.fed import Answer
from penstock.serving.loaders.flavour import CODE_MODULES, Flavour, Saving, inside
from penstock.serving.loaders.own_code import CODE, import_own, keep_sources

STATE = "state"


class PythonFlavour(Flavour):
    """Any object with `predict` whose class lies in a file of its own."""

    name = "penstock_python"

    def takes(self, model: Any) -> bool:
        """Whether it is an object, or a class, that can predict."""
        return callable(getattr(model, "predict", None))

    def save(self, model: Any, folder: Path, saving: Saving) -> dict[str, Any]:
        """Copy the class's source and let the object write what it learned.

        Raises:
            Invalid: the class cannot be loaded elsewhere, or holds what it does not write.
        """
        made = model if inspect.isclass(model) else type(model)
        source = _source_of(made)
        if not hasattr(model, "save") and not inspect.isclass(model) and getattr(model, "__dict__", None):
            raise Invalid(
                f"{made.__qualname__} has learned {', '.join(sorted(vars(model))[:5])}, and has no `save` to write it",
                code="registry.bad_class",
                hint="give the class save(self, folder) and load(self, folder)",
            )
        kept = keep_sources([made.__module__], folder / CODE)
        if kept:
            place = {"module": made.__module__, CODE_MODULES: kept}
        else:  # a class of an installed package goes alone
            (folder / CODE).mkdir()
            shutil.copyfile(source, folder / CODE / source.name)
            place = {"file": source.name}
        if hasattr(model, "save") and not inspect.isclass(model):
            (folder / STATE).mkdir()
            model.save(folder / STATE)
        return {"code": CODE, "class": made.__qualname__, **place}

    def runs_code(self, options: Mapping[str, Any]) -> bool:
        """A class is code."""
        return True

    def read(self, folder: Path, options: Mapping[str, Any], trusted: Sequence[str] | None = None) -> Any:
        """Import the class from the folder, make an object and let it load what it wrote."""
        if "module" in options:
            made = import_own(str(options["module"]))
        else:
            made = _imported(inside(folder, f"{CODE}/{options['file']}"))
        for name in str(options["class"]).split("."):
            made = getattr(made, name)
        model = made()  # type: ignore[operator]
        if hasattr(model, "load"):
            model.load(folder / STATE)
        return model

    def mend(self, error: Exception, options: Mapping[str, Any]) -> str | None:
        """Tell how a module that only its state needs, such as that of a pickled helper's class, goes along.

        Sources are found by the imports in the file of the class.
        """
        if not isinstance(error, ModuleNotFoundError) or not error.name:
            return None
        top = error.name.partition(".")[0]
        place = f"{str(options['module']).replace('.', '/')}.py" if "module" in options else options["file"]
        return (
            f"write `import {top}` into {place}, the file of {options['class']}, so that its source goes along, and save the "
            f"model again; where {top} is a package, install it"
        )

    def takes_matrix(self, model: Any) -> bool:
        """It is given what it was saved with."""
        return False

    def answer(self, model: Any, rows: Any, wanted: frozenset[str] | None) -> Answer:
        """Ask it."""
        return as_answer(model.predict(rows))


def _source_of(made: type) -> Path:
    if made.__module__ == "__main__":
        raise Invalid(
            f"{made.__qualname__} is defined in the script that runs; a serve process cannot import it from there",
            code="registry.bad_class",
            hint="put the class into a file of its own and import it",
        )
    try:
        source = inspect.getsourcefile(made)
    except TypeError:
        source = None
    if source is None or "<locals>" in made.__qualname__ or not Path(source).is_file():
        raise Invalid(
            f"the source of {made.__module__}.{made.__qualname__} cannot be found in a file",
            code="registry.bad_class",
            hint="define the class at the top of a file of its own",
        )
    return Path(source)


def _imported(path: Path) -> Any:
    """Return the module in a file; the same content is imported once."""
    name = f"penstock_model_{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise Invalid(f"{path} is no module", code="serving.model_does_not_load")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    writes_bytecode, sys.dont_write_bytecode = (
        sys.dont_write_bytecode,
        True,
    )  # the folder is what was registered
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.dont_write_bytecode = writes_bytecode
    return module


FLAVOUR = PythonFlavour()
