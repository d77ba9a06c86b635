"""Import skops without all that it imports to learn scikit-learn's public estimators.

skops asks `sklearn.utils.all_estimators`, which imports every package of scikit-learn on its way: its tests with
pytest, and its adapters of other array libraries with PyTorch and the like where they are installed. Only what is
public is looked at here, which gives the same list (tests/serving/loaders/test_quick_skops.py). Measured with
scikit-learn 1.9, pandas and PyTorch installed: 1 s and 177 MB in place of 9 s and 371 MB.

skops also asks for the module of each function of numpy and scipy, and looks for each in every module. It is told of
all in one look here, which gives the same names: 0.2 s in place of 0.75 s where 2,700 modules are imported.

scikit-learn imports pandas where it is installed, and never asks for what it imported: 40 MB and 0.4 s, which a
model costs that is given no pandas frame. It is not found here; whoever needs it imports it.
"""

from __future__ import annotations

import inspect
import pkgutil
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from operator import itemgetter
from types import ModuleType
from typing import Any

import numpy as np


class Unfound:
    """A context in which this thread does not find packages that nobody has imported yet; other threads do.

    Args:
        names: packages that the code imported within does without.
    """

    def __init__(self, *names: str) -> None:
        self._names = frozenset(names)
        self._thread = 0

    def __enter__(self) -> None:
        self._thread = threading.get_ident()
        sys.meta_path = [
            self,
            *sys.meta_path,
        ]  # another list: threads that import walk through the one before

    def __exit__(self, *_error: object) -> None:
        sys.meta_path = [one for one in sys.meta_path if one is not self]

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise ModuleNotFoundError for one of the packages, and leave all else to those who find modules."""
        if name in self._names and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is not looked for here", name=name)
        return None


with Unfound("pandas"):
    import sklearn
    import sklearn.utils
    from sklearn.base import BaseEstimator

SKLEARN_VERSION: str = sklearn.__version__
_NOT_PUBLIC = frozenset({"tests", "externals", "setup", "conftest", "experimental", "estimator_checks"})


def public_estimators() -> list[tuple[str, type]]:
    """Return scikit-learn's public estimators by name, as `sklearn.utils.all_estimators()` does."""
    found: set[tuple[str, type]] = set()
    with warnings.catch_warnings(), Unfound("pandas"):
        warnings.simplefilter("ignore", FutureWarning)
        for name in _modules(sklearn.__path__, "sklearn."):
            found.update(inspect.getmembers(import_module(name), inspect.isclass))
    return sorted((one for one in found if _is_public(*one)), key=itemgetter(0))


def _is_public(name: str, kind: type) -> bool:
    is_estimator = issubclass(kind, BaseEstimator) and name != "BaseEstimator"
    return is_estimator and not name.startswith("_") and not getattr(kind, "__abstractmethods__", None)


def _modules(path: Any, prefix: str) -> Iterator[str]:
    for _, name, is_package in pkgutil.iter_modules(path, prefix):
        last = name.rpartition(".")[2]
        if last in _NOT_PUBLIC or last.startswith("_"):
            continue
        yield name
        if is_package:
            yield from _modules(import_module(name).__path__, f"{name}.")


class Homes:
    """In which module a function of numpy's kind (`ufunc`) is found first, as `skops.io._utils.whichmodule` tells."""

    def __init__(self, ask: Callable[[Any, str], str]) -> None:
        self._ask = ask
        self._count = 0
        self._homes: dict[tuple[str, int], tuple[int, str]] = {}
        self._answering: list[tuple[int, str, ModuleType]] = []

    def __call__(self, obj: Any, name: str) -> str:
        """Return the module's name."""
        if not isinstance(obj, np.ufunc) or "." in name or getattr(obj, "__module__", None) is not None:
            return self._ask(obj, name)
        if len(sys.modules) != self._count:
            self._look()
        place, home = self._homes.get((name, id(obj)), (len(sys.modules), "__main__"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            for earlier, module_name, module in self._answering:  # what they have is told by asking alone
                if earlier >= place:
                    break
                try:
                    if getattr(module, name, None) is obj:
                        return module_name
                except (AttributeError, ImportError):
                    continue
        return home

    def _look(self) -> None:
        """Note every such function of every module."""
        self._homes, self._answering, self._count = {}, [], len(sys.modules)
        for place, (module_name, module) in enumerate(sys.modules.copy().items()):
            if module is None or module_name in {"__main__", "__mp_main__"}:
                continue
            if type(module) is not ModuleType or "__getattr__" in vars(module):
                self._answering.append((place, module_name, module))
                continue
            for name, value in vars(module).items():
                if issubclass(type(value), np.ufunc):  # `isinstance` asks the value, and some warn then
                    self._homes.setdefault((name, id(value)), (place, module_name))


def import_skops() -> Any:
    """Return `skops.io`."""
    before, restore = sklearn.utils.all_estimators, []

    def told() -> list[tuple[str, type]]:
        utils = sys.modules["skops.io._utils"]  # which is there when skops asks
        restore.append((utils, utils.whichmodule))
        utils.whichmodule = Homes(utils.whichmodule)  # type: ignore[attr-defined]
        return public_estimators()

    sklearn.utils.all_estimators = told
    try:
        return import_module("skops.io")
    finally:
        sklearn.utils.all_estimators = before
        for utils, whichmodule in restore:
            utils.whichmodule = whichmodule  # type: ignore[attr-defined]
